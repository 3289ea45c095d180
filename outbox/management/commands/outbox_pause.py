"""Stops dispatch until outbox_resume."""

from typing import Any

from django.core.management.base import BaseCommand

from outbox import breaker


class Command(BaseCommand):
    help = "Pauses dispatch in the whole cluster: mail goes on being enqueued, nothing more is begun."

    def handle(self, **options: Any) -> None:
        self.stdout.write("paused" if breaker.pause("outbox_pause") else "was paused already")
