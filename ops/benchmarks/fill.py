"""Puts a backlog into our outbox: `python -m ops.benchmarks.fill COUNT`."""

import sys

from django.db import transaction

import core.celery  # noqa: F401  (loads Django)
from outbox import events, intents
from outbox.intents import Request

_BATCH = 500


def main(count: int) -> None:
    """Write them, without asking for a tick each time."""
    events.enqueued.disconnect(dispatch_uid="outbox.nudge")
    for first in range(0, count, _BATCH):
        wanted = [_request(number) for number in range(first, min(first + _BATCH, count))]
        with transaction.atomic():
            intents.enqueue_many("welcome", wanted)


def _request(number: int) -> Request:
    return Request(to=f"person{number}@example.com", context={"name": f"Layla {number}"})


if __name__ == "__main__":
    main(int(sys.argv[1]))
