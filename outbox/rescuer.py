"""Takes back claims whose lease expired, and closes what is past its lifetime."""

import random
from datetime import timedelta
from typing import Any

from django.db import Error, transaction

from outbox import breaker, conf, events, transitions
from outbox.outcomes import Outcome, Phase, Reply, Unknown
from outbox.policy import Bury, RetryAfter
from outbox.recording import LOST_CONNECTION, policy_of
from outbox.transitions import Claim, Closing

_BATCH = 500  # rows a statement locks at most, so that nobody waits long for one of them
_BATCHES = 10
RESCUER = "rescuer"


def sweep() -> bool:
    """Expire and rescue, unless somebody did within the last second; whether it was done.

    A bounded number of batches: claims wait behind it, and the next second brings the next sweep.
    """
    if not breaker.take_sweep():
        return False
    for _ in range(_BATCHES):
        expired, rescued = expire(), rescue()
        if max(expired, rescued) < _BATCH:
            break
    return True


def expire() -> int:
    """Close one batch of what is past its lifetime; how many."""
    with transaction.atomic():
        return transitions.expire(_BATCH)


def rescue() -> int:
    """Take back one batch of what its holder lost; how many."""
    with transaction.atomic():
        claimed = transitions.rescue_claimed(conf.outbox().lease, _BATCH)
    try:
        return max(claimed, _rescue_sending(_BATCH))
    except LOST_CONNECTION:
        raise
    except Error as error:  # one row that the database refuses must not keep the others, nor the tick, from going on
        events.announce(events.broke, where="rescue", error=type(error).__name__)
    return max(claimed, _rescue_sending_one_by_one())


def _rescue_sending(limit: int, *, skip: int = 0) -> int:
    with transaction.atomic():
        rows = transitions.lost_sending(conf.outbox().lease, limit)
        lost = [_closing(row) for row in rows[skip:]]
        transitions.close(lost, RESCUER)
        for closing in lost:
            events.announce(events.rescued, task_id=closing.task_id, state="sending", trace=closing.trace)
    return len(lost)


def _rescue_sending_one_by_one() -> int:
    """From the oldest on, passing over those that are refused; how many were taken back."""
    done = refused = 0
    while refused < _BATCH:
        try:
            if not _rescue_sending(refused + 1, skip=refused):
                break
            done += 1
        except LOST_CONNECTION:
            raise
        except Error:
            refused += 1
    return done


def _closing(row: dict[str, Any]) -> Closing:
    provably_unsent = not row["repeatable"] and not row["data_begun"]
    phase = Phase.ENVELOPE if provably_unsent else Phase.DATA
    reply = Reply(text="the worker was lost, and its lease ran out")
    outcome: Outcome = Unknown(phase=phase, reply=reply)
    repeatable = row["repeatable"] or provably_unsent
    decision = policy_of(row["kind"]).decide(
        outcome,
        spent=row["spent"],
        spread=random.uniform(-1, 1),  # noqa: S311  (jitter, not a secret)
        repeatable=repeatable,
    )
    if isinstance(decision, RetryAfter):  # at once: the lease was the wait
        decision = RetryAfter(timedelta(), decision.reason, maybe_sent=not provably_unsent)
    elif isinstance(decision, Bury):
        decision = Bury(decision.reason, maybe_sent=not provably_unsent)
    return Closing(
        claim=Claim(row["id"], row["token"]),
        number=row["number"],
        outcome=outcome,
        decision=decision,
        task_id=row["task_id"],
        kind=row["kind"],
        alone=True,
        trace=row["trace"],
    )
