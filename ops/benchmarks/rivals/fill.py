"""Puts a backlog into one of the compared systems: `python -m ops.benchmarks.rivals.fill COUNT`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "ops.benchmarks.rivals.settings"
django.setup()

from django.core.management import call_command  # noqa: E402  (needs the set-up)
from django.db import transaction  # noqa: E402

from ops.benchmarks.rivals import celery, tasks, welcome  # noqa: E402

_BATCH = 500


def _task(first: int, count: int) -> None:
    with celery.app.producer_pool.acquire(block=True) as producer:
        for number in range(first, first + count):
            tasks.send.apply_async((_address(number), _name(number)), producer=producer)


def _celery_email(first: int, count: int) -> None:
    for number in range(first, first + count):
        welcome.build(_address(number), _name(number)).send()


def _mailer(first: int, count: int) -> None:
    with transaction.atomic():
        for number in range(first, first + count):
            welcome.build(_address(number), _name(number)).send()


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text()


def _post_office(first: int, count: int) -> None:
    """Rendered when it is sent, as everybody else's is, or with BENCHMARK_EARLY already now."""
    from post_office import mail  # noqa: PLC0415  (installed only for itself)
    from post_office.models import EmailTemplate  # noqa: PLC0415

    template, _ = EmailTemplate.objects.get_or_create(
        name="welcome",
        subject=_source("subject.txt").strip(),  # an include would end it with a line break
        content='{% include "body.txt" %}',
        html_content='{% include "body.html" %}',
    )
    late = "BENCHMARK_EARLY" not in os.environ
    with transaction.atomic():
        mail.send_many(
            {
                "recipients": [_address(number)],
                "sender": "Accounts <noreply@localhost>",
                "template": template,
                "context": welcome.context(_name(number)),
                "render_on_delivery": late,
            }
            for number in range(first, first + count)
        )


def _address(number: int) -> str:
    return f"person{number}@example.com"


def _name(number: int) -> str:
    return f"Layla {number}"


_WAYS: dict[str, Callable[[int, int], None]] = {
    "task": _task,
    "celery_email": _celery_email,
    "mailer": _mailer,
    "post_office": _post_office,
}


def main(count: int) -> None:
    """Make the tables if need be, then write the backlog."""
    app = os.environ["BENCHMARK_APP"]
    if app in {"mailer", "post_office"}:
        call_command("migrate", verbosity=0)
    for first in range(0, count, _BATCH):
        _WAYS[app](first, min(_BATCH, count - first))


if __name__ == "__main__":
    main(int(sys.argv[1]))
