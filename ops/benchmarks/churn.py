"""Enqueues, begins and closes so many mails without a provider: `python -m ops.benchmarks.churn COUNT`."""

import logging
import sys
from datetime import timedelta

from django.db import transaction

import core.celery  # noqa: F401  (loads Django)
from outbox import events, intents, turn
from outbox.intents import Request
from outbox.models import Provider
from outbox.outcomes import Delivered, Phase, Reply
from outbox.policy import Finish
from outbox.transitions import Begun, Closing
from outbox.turn import Wanted

_BATCH, _LANES = 500, 16
_OUTCOME = Delivered(phase=Phase.ANSWERED, reply=Reply(text="2.0.0 ok", code=250))


def main(count: int) -> None:
    """By the sender's own statement, as many at a time as a busy process takes."""
    logging.disable()
    events.enqueued.disconnect(dispatch_uid="outbox.nudge")
    Provider.objects.get_or_create(name="default")
    for first in range(0, count, _BATCH):
        with transaction.atomic():
            intents.enqueue_many("welcome", [_request(number) for number in range(first, first + _BATCH)])
        _work_off()


def _work_off() -> None:
    begun: list[Begun] = []
    while True:
        wanted = Wanted(limit=_LANES, lease=timedelta(seconds=10), overdue=timedelta())
        turned = turn.turn([_closing(one) for one in begun], wanted, provider="default", worker="churn")
        if turned is None or not turned.begun:
            return
        begun = list(turned.begun)


def _closing(one: Begun) -> Closing:
    return Closing(
        claim=one.claim, number=one.number, outcome=_OUTCOME, decision=Finish(), task_id=one.task_id, kind=one.kind
    )


def _request(number: int) -> Request:
    return Request(to=f"person{number}@example.com", context={"name": f"Layla {number}"})


if __name__ == "__main__":
    main(int(sys.argv[1]))
