"""Times claims, turns, sweeps and prunes, each undone: `python -m ops.benchmarks.claims COUNT`; prints JSON, in ms."""

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction

import core.celery  # noqa: F401  (loads Django)
from outbox import pruner, transitions, turn
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


def _sweep() -> None:
    """What a tick does first: expire, and rescue both kinds of lost holds."""
    transitions.expire(_CLAIMED)
    transitions.rescue_claimed(_LEASE, _CLAIMED)
    transitions.lost_sending(_LEASE, _CLAIMED)


def _prune() -> None:
    if pruner.prune().counts["dead"]:
        raise SystemExit("something was past its retention")


def _timed(act: Callable[[], None]) -> float:
    with transaction.atomic():
        began = time.perf_counter()
        act()
        took = time.perf_counter() - began
        transaction.set_rollback(True)
    return took * 1000


def main(count: int) -> None:
    """Measure them in turn; the first few, which fill caches, do not count."""
    acts = {"claim": _claim, "turn": _turn, "sweep": _sweep, "prune": _prune}
    times = [{name: _timed(act) for name, act in acts.items()} for _ in range(count + 5)][5:]
    print(json.dumps({name: [each[name] for each in times] for name in acts}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
