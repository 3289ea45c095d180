"""Lets dispatch go on after outbox_pause."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from outbox import breaker
from outbox.management import answers


class Command(BaseCommand):
    help = (
        "Resumes dispatch after a pause; the backlog drains most urgent first. Exits with 0, also when it was not "
        "paused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        answers.add_json(parser)

    def handle(self, **options: Any) -> None:
        changed = breaker.resume("outbox_resume")
        facts = {"paused": False, "changed": changed}
        answers.answer(self, facts, "resumed" if changed else "was not paused", as_json=options["json"])
