"""Asks for 5 mails a second and prints when each was committed.

`python -m ops.benchmarks.trickle COUNT ours [tick]`, or `COUNT naive`.
"""

import json
import os
import sys
import time
from collections.abc import Callable

_EVERY_S = 0.2
_WARM_UP_S = 6  # processes have started by then


def _ours(*, nudged: bool) -> Callable[[str], None]:
    from django.db import transaction  # noqa: PLC0415

    import core.celery  # noqa: F401, PLC0415  (loads Django; only for this way)
    from outbox import events, intents  # noqa: PLC0415

    if not nudged:
        events.enqueued.disconnect(dispatch_uid="outbox.nudge")

    def ask(to: str) -> None:
        with transaction.atomic():
            intents.enqueue("welcome", to=to, context={"name": "Layla"})

    return ask


def _naive() -> Callable[[str], None]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "ops.benchmarks.rivals.settings"
    from ops.benchmarks.rivals import celery, tasks  # noqa: F401, PLC0415  (loads its own Django)

    return lambda to: tasks.send.delay(to, "Layla")


def main(count: int, way: str, *, nudged: bool) -> None:
    """Ask at an even pace; the moment counted is when the asking was done."""
    ask = _naive() if way == "naive" else _ours(nudged=nudged)
    time.sleep(_WARM_UP_S)
    asked = {}
    began = time.monotonic()
    for number in range(count):
        # A step that shares no beat with the tick, so that every phase of it is met.
        time.sleep(max(0, began + number * (_EVERY_S + 0.0137) - time.monotonic()))
        to = f"person{number}@example.com"
        ask(to)
        asked[to] = time.time()
    print(json.dumps(asked))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], nudged="tick" not in sys.argv)
