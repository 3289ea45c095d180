"""Lets dispatch go on after outbox_pause."""

from typing import Any

from django.core.management.base import BaseCommand

from outbox import breaker


class Command(BaseCommand):
    help = "Resumes dispatch after a pause; the backlog drains most urgent first."

    def handle(self, **options: Any) -> None:
        self.stdout.write("resumed" if breaker.resume("outbox_resume") else "was not paused")
