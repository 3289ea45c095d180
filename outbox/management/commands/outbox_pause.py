"""Stops dispatch until outbox_resume."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from outbox import breaker
from outbox.management import answers


class Command(BaseCommand):
    help = (
        "Pauses dispatch in the whole cluster: mail goes on being enqueued, nothing more is begun. Exits with 0, "
        "also when it was paused already."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        answers.add_json(parser)

    def handle(self, **options: Any) -> None:
        changed = breaker.pause("outbox_pause")
        facts = {"paused": True, "changed": changed}
        answers.answer(self, facts, "paused" if changed else "was paused already", as_json=options["json"])
