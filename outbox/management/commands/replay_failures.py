"""Sends dead letters back to be tried again."""

from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count

from outbox import intents, queries
from outbox.management import answers
from outbox.management.durations import duration

_BATCH = 500
_INTERRUPTED = 130  # as a shell has it: 128 and the number of SIGINT
_MAYBE_SENT = "may have arrived; --include-unknown replays these too"


class Command(BaseCommand):
    help = (
        "Sends dead letters back to pending, with a fresh count of tries. Those whose outcome is unknown (they may "
        "have arrived) only with --include-unknown. Each batch is a transaction of its own: safe to interrupt and to "
        "run again. Exits with 0 when it came to the end, also when letters were skipped; with 130 after Ctrl-C."
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
        answers.add_json(parser)

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
            return self._count(letters, options["limit"], as_json=options["json"])
        return self._replay(letters, options["limit"], as_json=options["json"])

    def _count(self, letters: queries.DeadLetters, limit: int | None, *, as_json: bool) -> None:
        kinds = dict(letters.find().order_by("kind").values_list("kind").annotate(Count("pk")))
        total = sum(kinds.values())
        meant = total if limit is None else min(total, limit)
        answers.answer(
            self,
            {"would_replay": meant, "found": total, "by_kind": kinds, "left_out": letters.left_out()},
            answers.table("dead letters", ["letters", "kind"], ((number, kind) for kind, number in kinds.items())),
            f"would replay {meant} of {total} dead letters (dry run)",
            *_left_out(letters),
            as_json=as_json,
        )

    def _replay(self, letters: queries.DeadLetters, limit: int | None, *, as_json: bool) -> None:
        """Batch by batch in the order of ids: no long lock, and an interruption loses nothing.

        The ids are read once: what is replayed and dies again meanwhile is not replayed a second time.
        """
        ids: Sequence[int] = list(letters.find().values_list("pk", flat=True))
        replayed, skipped, is_cut = 0, Counter[str](), False
        try:
            with answers.progress(self) as bar:
                task = bar.add_task("replaying", total=len(ids))
                while ids and (limit is None or replayed < limit):
                    batch, ids = _next(ids, None if limit is None else limit - replayed)
                    done = intents.replay(batch, actor="replay_failures")
                    replayed += done.replayed
                    skipped.update(done.skipped)
                    bar.advance(task, len(batch))
        except KeyboardInterrupt:
            is_cut = True
        if left := letters.left_out():
            skipped[_MAYBE_SENT] = left
        self._tell(replayed, skipped, is_cut=is_cut, as_json=as_json)

    def _tell(self, replayed: int, skipped: Counter[str], *, is_cut: bool, as_json: bool) -> None:
        answers.answer(
            self,
            {"replayed": replayed, "skipped": skipped.total(), "why_skipped": skipped, "interrupted": is_cut},
            f"replayed {replayed} dead letters, skipped {skipped.total()}",
            *(
                [answers.table("skipped", ["letters", "why"], ((n, why) for why, n in skipped.most_common()))]
                if skipped
                else []
            ),
            as_json=as_json,
        )
        if is_cut:
            raise CommandError("interrupted; run it again for the rest", returncode=_INTERRUPTED)


def _left_out(letters: queries.DeadLetters) -> list[str]:
    left = letters.left_out()
    return [f"left out {left}: {_MAYBE_SENT}"] if left else []


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def _next(ids: Sequence[int], wanted: int | None) -> tuple[Sequence[int], Sequence[int]]:
    """The next batch, and what is left after it."""
    size = _BATCH if wanted is None else min(_BATCH, wanted)
    return ids[:size], ids[size:]
