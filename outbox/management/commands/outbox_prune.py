"""Deletes closed intents past their retention."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from outbox import pruner


class Command(BaseCommand):
    help = (
        "Deletes closed intents with their attempts: sent, expired and cancelled ones after OUTBOX_RETENTION, dead "
        "ones after OUTBOX_DEAD_RETENTION. Open ones never. Safe to interrupt and to run again; beat runs it daily."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="change nothing, only count")

    def handle(self, **options: Any) -> None:
        done = pruner.count() if options["dry_run"] else pruner.prune()
        for name, number in done.counts.items():
            self.stdout.write(f"{number}: {name}")
        verb = "would delete" if options["dry_run"] else "deleted"
        self.stdout.write(f"{verb} {sum(done.counts.values())} intents")
