"""Asks for 5 mails a second and prints when each was committed.

`python -m ops.benchmarks.trickle COUNT ours [tick]`, or `COUNT naive`.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial

_EVERY_S = 0.2
_WARM_UP_S = 6  # processes have started by then
Ask = Callable[[str, Callable[[], None]], None]


def _ours(*, nudged: bool) -> Ask:
    from django.db import transaction  # noqa: PLC0415

    import core.celery  # noqa: F401, PLC0415  (loads Django; only for this way)
    from outbox import events, intents  # noqa: PLC0415

    if not nudged:
        events.enqueued.disconnect(dispatch_uid="outbox.nudge")

    def ask(to: str, note: Callable[[], None]) -> None:
        with transaction.atomic():
            transaction.on_commit(note)
            intents.enqueue("welcome", to=to, context={"name": "Layla"})

    return ask


def _naive() -> Ask:
    os.environ["DJANGO_SETTINGS_MODULE"] = "ops.benchmarks.rivals.settings"
    from ops.benchmarks.rivals import celery, tasks  # noqa: F401, PLC0415  (loads its own Django)

    def ask(to: str, note: Callable[[], None]) -> None:
        note()  # a commit would be here
        tasks.send.delay(to, "Layla")

    return ask


def _note(asked: dict[str, float], to: str) -> None:
    asked[to] = time.time()


def main(count: int, way: str, *, nudged: bool) -> None:
    """Ask at an even pace; the moment counted is that of the commit."""
    ask = _naive() if way == "naive" else _ours(nudged=nudged)
    time.sleep(_WARM_UP_S)
    asked: dict[str, float] = {}
    began = time.monotonic()
    for number in range(count):
        # A step that shares no beat with the tick, so that every phase of it is met.
        time.sleep(max(0, began + number * (_EVERY_S + 0.0137) - time.monotonic()))
        to = f"person{number}@example.com"
        ask(to, partial(_note, asked, to))
    time.sleep(1)  # a web process does not end right after a commit, and with it its nudge
    print(json.dumps(asked))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], nudged="tick" not in sys.argv)
