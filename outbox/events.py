"""What happened, announced once, after commit, to listeners who cannot fail us."""

from functools import partial

from django.db import connection, transaction
from django.dispatch import Signal

enqueued = Signal()  # task_id, kind, recipient
attempt_ended = Signal()  # task_id, kind, number, outcome, phase, code, state, seconds, trace
lease_lost = Signal()  # what, intent_id: a task or lane came too late and did nothing
delivered_late = Signal()  # task_id, number, closed, trace
rescued = Signal()  # task_id, state, and of an attempt its trace
expired = Signal()  # task_id, state
cancelled = Signal()  # intents, actor
replayed = Signal()  # intents, actor
breaker_opened = Signal()  # provider, reason
breaker_probed = Signal()  # provider, passed, reason
paused = Signal()  # provider, actor
resumed = Signal()  # provider, actor
handed_over = Signal()  # claims
not_handed_over = Signal()  # claims, error
lanes_lowered = Signal()  # lanes, reason
broke = Signal()  # where, error: an error of ours that was caught at a guard


def announce(event: Signal, **facts: object) -> None:
    """Tell listeners after commit; a failing listener cannot undo the work."""
    if connection.in_atomic_block:
        transaction.on_commit(partial(event.send_robust, sender=None, **facts))
    else:
        event.send_robust(sender=None, **facts)
