"""Sends sample mails through the whole path, or writes them to a folder to look at."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from outbox import intents, previews
from outbox.errors import OutboxError
from outbox.management import answers
from outbox.models import Intent
from outbox.states import CLOSED, State

_TASKS = {"welcome": ["welcome"], "reset": ["reset_code"], "both": ["welcome", "reset_code"]}
_PATIENCE_S = 60


class Command(BaseCommand):
    help = (
        "Enqueues sample mails to an address (--email), or writes every mail to a folder (--preview, no database). "
        "Exits with 0; with --wait, with 1 when one was not sent."
    )
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
        answers.add_json(parser)

    def handle(self, **options: Any) -> None:
        if options["preview"] is not None:
            return self._write(options["preview"], as_json=options["json"])
        samples = self._enqueue(options)
        said = [f"enqueued {sample.kind} as {sample.task_id}" for sample in samples]
        facts = {"enqueued": [{"kind": sample.kind, "task_id": sample.task_id} for sample in samples]}
        answers.answer(self, facts, *said, as_json=options["json"])
        if options["wait"]:
            self._wait(samples, as_json=options["json"])
        return None

    def _write(self, folder: Path, *, as_json: bool) -> None:
        written, index = previews.write(folder), folder / "index.html"
        facts = {"written": written, "index": index}
        answers.answer(self, facts, f"wrote {written} mails; open {index}", as_json=as_json)

    def _enqueue(self, options: dict[str, Any]) -> list[Intent]:
        try:
            with transaction.atomic():
                return [
                    intents.enqueue_sample(name, to=options["email"], language=options["language"])
                    for name in _TASKS[options["task"]]
                ]
        except OutboxError as error:
            raise CommandError(f"--email: {error}") from error

    def _wait(self, samples: list[Intent], *, as_json: bool) -> None:
        """Tell of each as soon as it is closed; in JSON one object a line."""
        ends = time.monotonic() + _PATIENCE_S
        waiting = {sample.task_id for sample in samples}
        while waiting and time.monotonic() < ends:
            time.sleep(0.2)
            for intent in Intent.objects.filter(task_id__in=waiting, state__in=CLOSED):
                waiting.discard(intent.task_id)
                self._tell(intent, as_json=as_json)
                if intent.state != State.SENT:
                    raise CommandError(f"{intent.task_id} was not sent")
        if waiting:
            raise CommandError(f"still not sent after {_PATIENCE_S} s: is a worker running? see outbox_status")

    def _tell(self, intent: Intent, *, as_json: bool) -> None:
        facts = {"task_id": intent.task_id, "state": intent.state, "reason": intent.reason}
        answers.answer(self, facts, f"{intent.task_id}: {intent.state} {intent.reason}".strip(), as_json=as_json)
