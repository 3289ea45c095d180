"""Times claims and turns, undone each time: `python -m ops.benchmarks.claims COUNT`; prints milliseconds as JSON."""

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction

import core.celery  # noqa: F401  (loads Django)
from outbox import transitions, turn
from outbox.turn import Wanted

_LEASE = timedelta(seconds=10)
_CLAIMED, _BEGUN = 500, 8


def _claim() -> None:
    if len(transitions.claim(_CLAIMED, _LEASE)) != _CLAIMED:
        raise SystemExit("too few were due")


def _turn() -> None:
    turned = turn.turn([], Wanted(limit=_BEGUN, lease=_LEASE, overdue=timedelta()), provider="default", worker="")
    if turned is None or len(turned.begun) != _BEGUN:
        raise SystemExit("too few were due")


def _timed(act: Callable[[], None]) -> float:
    with transaction.atomic():
        began = time.perf_counter()
        act()
        took = time.perf_counter() - began
        transaction.set_rollback(True)
    return took * 1000


def main(count: int) -> None:
    """Measure both in turn; the first few, which fill caches, do not count."""
    both = [(_timed(_claim), _timed(_turn)) for _ in range(count + 5)][5:]
    print(json.dumps({"claim": [one for one, _ in both], "turn": [one for _, one in both]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
