"""Shows where the outbox stands."""

import time
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone
from rich.console import Group
from rich.live import Live
from rich.table import Table

from outbox import counts, queries
from outbox.addresses import masked
from outbox.management import answers, durations
from outbox.queries import Status

_DUE_TOO_LONG = timedelta(minutes=5)
_TICK_TOO_OLD = timedelta(seconds=60)
_CANNOT_TELL = 2


class Command(BaseCommand):
    help = (
        "Shows states, backlog, breaker and the newest mails. Counts stop: 10001 in JSON means more than 10,000. Exits "
        "with 0; with --check, with 1 when mail does not flow and with 2 when the database does not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--watch", action="store_true", help="refresh every second until Ctrl-C")
        parser.add_argument("--check", action="store_true", help="exit with 1 when mail does not flow")
        parser.add_argument(
            "--oldest",
            type=durations.duration,
            default=_DUE_TOO_LONG,
            help="--check: the latest that mail may be due",
        )
        parser.add_argument("--limit", type=int, default=10, help="how many of the newest mails to list")
        answers.add_json(parser)

    def handle(self, **options: Any) -> None:
        if options["watch"]:
            return self._watch(options["limit"])
        try:
            status = queries.status()
            newest = [] if options["json"] else [_newest(options["limit"])]
        except DatabaseError as error:
            raise CommandError(f"the database does not answer: {error}", returncode=_CANNOT_TELL) from error
        answers.answer(self, asdict(status), *_pictures(status), *newest, as_json=options["json"])
        if options["check"] and (wrong := _wrong(status, options["oldest"])):
            raise CommandError(wrong)
        return None

    def _watch(self, limit: int) -> None:
        def picture() -> Group:
            return Group(*_pictures(queries.status()), _newest(limit))

        console = answers.console_on(self.stdout)
        try:
            with Live(picture(), console=console, auto_refresh=False, screen=self.stdout.isatty()) as live:
                while True:
                    time.sleep(1)
                    live.update(picture(), refresh=True)
        except KeyboardInterrupt:
            self.stdout.write("")


def _wrong(status: Status, longest: timedelta) -> str:
    """What is wrong, in a sentence; empty when mail flows."""
    if status.oldest_due is not None and status.oldest_due > longest:
        return f"the oldest due mail has waited {status.oldest_due}, longer than {longest}"
    if status.last_tick is None or timezone.now() - status.last_tick > _TICK_TOO_OLD:
        return "no tick of the dispatcher in the last minute: is beat running, and a worker for the queue outbox?"
    return ""


def _pictures(status: Status) -> tuple[Table, Table]:
    now = (
        counts.words(status.due),
        status.oldest_due or "-",
        f"{status.breaker} {status.reason}".strip(),
        "yes" if status.paused else "no",
        f"{timezone.localtime(status.last_tick):%H:%M:%S}" if status.last_tick else "never",
    )
    return (
        answers.table("outbox", ["due now", "oldest due", "breaker", "paused", "last tick"], [now]),
        answers.table("mails by state", status.states, [map(counts.words, status.states.values())]),
    )


def _newest(limit: int) -> Table:
    rows = (
        (
            intent.task_id,
            intent.kind,
            masked(intent.recipient),
            intent.state,
            intent.attempts,
            f"{timezone.localtime(intent.created_at):%H:%M:%S}",
            intent.reason,
        )
        for intent in queries.latest(limit)
    )
    return answers.table(
        "newest mails", ["task id", "kind", "recipient", "state", "attempts", "created", "reason"], rows
    )
