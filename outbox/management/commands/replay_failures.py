"""Sends dead letters back to be tried again."""

from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand
from django.db.models import Count

from outbox import intents, queries
from outbox.management.durations import duration

_BATCH = 500


class Command(BaseCommand):
    help = (
        "Sends dead letters back to pending, with a fresh count of tries. Those whose outcome is unknown (they may "
        "have arrived) only with --include-unknown. Safe to interrupt and to run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=duration, help="died at most so long ago, for instance 2h")
        parser.add_argument("--until", type=duration, help="died at least so long ago, for instance 10m")
        parser.add_argument("--kind", default="", help="only this kind of mail")
        parser.add_argument("--error", default="", help="only those whose reason holds this text")
        parser.add_argument("--id", type=UUID, nargs="+", default=[], help="only these task ids")
        parser.add_argument("--include-unknown", action="store_true", help="also those that may have arrived")
        parser.add_argument("--limit", type=_count, help="at most so many")
        parser.add_argument("--dry-run", action="store_true", help="change nothing, only count")

    def handle(self, **options: Any) -> None:
        letters = queries.DeadLetters(
            since=options["since"],
            until=options["until"],
            kind=options["kind"],
            error=options["error"],
            ids=options["id"],
            include_unknown=options["include_unknown"],
        )
        if options["dry_run"]:
            return self._count(letters, options["limit"])
        return self._replay(letters, options["limit"])

    def _count(self, letters: queries.DeadLetters, limit: int | None) -> None:
        for kind, number in letters.find().order_by("kind").values_list("kind").annotate(Count("pk")):
            self.stdout.write(f"{kind}: {number}")
        total = letters.find().count()
        meant = total if limit is None else min(total, limit)
        self.stdout.write(f"would replay {meant} of {total} dead letters (dry run)")

    def _replay(self, letters: queries.DeadLetters, limit: int | None) -> None:
        """Batch by batch in the order of ids: no long lock, and an interruption loses nothing."""
        replayed, last, skipped = 0, 0, Counter[str]()
        while batch := _next(letters, last, _BATCH if limit is None else min(_BATCH, limit - replayed)):
            last = batch[-1]
            done = intents.replay(batch, actor="replay_failures")
            replayed += done.replayed
            skipped.update(done.skipped)
            self.stderr.write(f"{replayed} replayed so far")
        self.stdout.write(f"replayed {replayed} dead letters, skipped {skipped.total()}")
        for reason, number in skipped.items():
            self.stdout.write(f"  {number}: {reason}")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def _next(letters: queries.DeadLetters, after: int, size: int) -> list[int]:
    return list(letters.find().filter(pk__gt=after).values_list("pk", flat=True)[:size]) if size > 0 else []
