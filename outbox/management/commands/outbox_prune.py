"""Deletes closed intents past their retention."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from outbox import pruner
from outbox.management import answers
from outbox.pruner import Pruned


class Command(BaseCommand):
    help = (
        "Deletes closed intents with their attempts: sent, expired and cancelled ones after OUTBOX_RETENTION, dead "
        "ones after OUTBOX_DEAD_RETENTION. Open ones never. Safe to interrupt and to run again; beat runs it daily. "
        "Exits with 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="change nothing, only count")
        answers.add_json(parser)

    def handle(self, **options: Any) -> None:
        is_dry = options["dry_run"]
        done = pruner.count() if is_dry else self._prune()
        total = sum(done.counts.values())
        answers.answer(
            self,
            {"deleted": 0 if is_dry else total, "would_delete": total if is_dry else 0, "by_reason": done.counts},
            answers.table("past their retention", ["intents", "which"], ((n, name) for name, n in done.counts.items())),
            f"{'would delete' if is_dry else 'deleted'} {total} intents",
            as_json=options["json"],
        )

    def _prune(self) -> Pruned:
        with answers.progress(self) as bar:
            task = bar.add_task("deleting", total=None if bar.disable else sum(pruner.count().counts.values()))
            return pruner.prune(told=lambda deleted: bar.advance(task, deleted))
