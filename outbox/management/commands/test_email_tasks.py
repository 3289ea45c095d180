"""Sends sample mails through the whole path, or writes them to a folder to look at."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from outbox import intents, previews
from outbox.errors import OutboxError
from outbox.models import Intent
from outbox.states import CLOSED, State

_TASKS = {"welcome": ["welcome"], "reset": ["reset_code"], "both": ["welcome", "reset_code"]}
_PATIENCE_S = 60


class Command(BaseCommand):
    help = "Enqueues sample mails to an address (--email), or writes every mail to a folder (--preview, no database)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--email", help="who gets the sample mails")
        where.add_argument(
            "--preview", type=Path, metavar="DIR", help="write KIND.LANGUAGE.html, .txt, .eml and index.html"
        )
        parser.add_argument("--task", choices=sorted(_TASKS), default="both")
        parser.add_argument("--language", choices=["en", "ar"], default="en")
        parser.add_argument("--wait", action="store_true", help=f"wait up to {_PATIENCE_S} s for the outcome")

    def handle(self, **options: Any) -> None:
        if options["preview"] is not None:
            written = previews.write(options["preview"])
            self.stdout.write(f"wrote {written} mails; open {options['preview'] / 'index.html'}")
            return
        samples = self._enqueue(options)
        if options["wait"]:
            self._wait(samples)

    def _enqueue(self, options: dict[str, Any]) -> list[Intent]:
        try:
            with transaction.atomic():
                samples = [
                    intents.enqueue_sample(name, to=options["email"], language=options["language"])
                    for name in _TASKS[options["task"]]
                ]
        except OutboxError as error:
            raise CommandError(f"--email: {error}") from error
        for sample in samples:
            self.stdout.write(f"enqueued {sample.kind} as {sample.task_id}")
        return samples

    def _wait(self, samples: list[Intent]) -> None:
        ends = time.monotonic() + _PATIENCE_S
        waiting = {sample.task_id for sample in samples}
        while waiting and time.monotonic() < ends:
            time.sleep(0.2)
            for intent in Intent.objects.filter(task_id__in=waiting, state__in=CLOSED):
                waiting.discard(intent.task_id)
                self.stdout.write(f"{intent.task_id}: {intent.state} {intent.reason}".strip())
                if intent.state != State.SENT:
                    raise CommandError(f"{intent.task_id} was not sent")
        if waiting:
            raise CommandError(f"still not sent after {_PATIENCE_S} s: is a worker running? see outbox_status")
