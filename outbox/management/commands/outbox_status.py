"""Shows where the outbox stands."""

import json
import time
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from outbox import queries
from outbox.addresses import masked
from outbox.management import durations

_DUE_TOO_LONG = timedelta(minutes=5)
_TICK_TOO_OLD = timedelta(seconds=60)


class Command(BaseCommand):
    help = "Shows states, backlog, breaker and the newest mails. With --check, exits with 1 when mail does not flow."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--watch", action="store_true", help="refresh every second until Ctrl-C")
        parser.add_argument("--json", action="store_true", help="one JSON object, for machines")
        parser.add_argument("--check", action="store_true", help="exit with 1 when something is wrong")
        parser.add_argument(
            "--oldest",
            type=durations.duration,
            default=_DUE_TOO_LONG,
            help="--check: the latest that mail may be due",
        )
        parser.add_argument("--limit", type=int, default=10, help="how many of the newest mails to list")

    def handle(self, **options: Any) -> None:
        if options["watch"]:
            return self._watch(options["limit"])
        status = queries.status()
        if options["json"]:
            self.stdout.write(json.dumps(asdict(status), default=_as_json))
        else:
            Console(file=cast("IO[str]", self.stdout), width=None if self.stdout.isatty() else 120).print(
                _picture(options["limit"])
            )
        if options["check"] and (wrong := _wrong(status, options["oldest"])):
            raise CommandError(wrong)
        return None

    def _watch(self, limit: int) -> None:
        try:
            with Live(_picture(limit), auto_refresh=False, screen=self.stdout.isatty()) as live:
                while True:
                    time.sleep(1)
                    live.update(_picture(limit), refresh=True)
        except KeyboardInterrupt:
            self.stdout.write("")


def _wrong(status: queries.Status, longest: timedelta) -> str:
    """What is wrong, in a sentence; empty when mail flows."""
    if status.oldest_due is not None and status.oldest_due > longest:
        return f"the oldest due mail has waited {status.oldest_due}, longer than {longest}"
    if status.last_tick is None or timezone.now() - status.last_tick > _TICK_TOO_OLD:
        return "no tick of the dispatcher in the last minute: is beat running, and a worker for the queue outbox?"
    return ""


def _as_json(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def _picture(limit: int) -> Group:
    status = queries.status()
    summary = Table("due now", "oldest due", "breaker", "paused", "last tick", title="outbox")
    summary.add_row(
        str(status.due),
        str(status.oldest_due or "-"),
        f"{status.breaker} {status.reason}".strip(),
        "yes" if status.paused else "no",
        f"{status.last_tick:%H:%M:%S}" if status.last_tick else "never",
    )
    states = Table(*status.states, title="mails by state")
    states.add_row(*map(str, status.states.values()))
    return Group(summary, states, _newest(limit))


def _newest(limit: int) -> Table:
    table = Table("task id", "kind", "recipient", "state", "attempts", "created", "reason", title="newest mails")
    for intent in queries.latest(limit):
        table.add_row(
            str(intent.task_id),
            intent.kind,
            masked(intent.recipient),
            intent.state,
            str(intent.attempts),
            f"{timezone.localtime(intent.created_at):%H:%M:%S}",
            intent.reason,
        )
    return table
