"""Closes attempts that ended: lets the breaker see them, decides by the kind's policy, writes."""

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from outbox import breaker, conf, events, kinds, transitions, turn
from outbox.circuit import Result
from outbox.errors import UnknownKind
from outbox.outcomes import Delivered, Outcome, Reply
from outbox.policy import RetryPolicy
from outbox.states import State
from outbox.transitions import Begun, Closing
from outbox.turn import Wanted

LOST_CONNECTION = (OperationalError, InterfaceError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An attempt, how it ended, and when its lane got it (monotonic; 0 when no lane did)."""

    begun: Begun
    outcome: Outcome
    started_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The tokens of the attempts that are settled; `limited` as the breaker saw it; whose end is still to be told."""

    tokens: frozenset[UUID] = frozenset()
    limited: frozenset[UUID] = frozenset()
    untold: Sequence[Closing] = ()


def record(ended: Sequence[Ended], worker: str, *, talking: bool = False) -> Recorded:
    """Close what ended, in the caller's transaction. A row that somebody locks just now is not among the settled.

    `talking` says that the provider has let in other mails of this process.
    """
    if not ended:
        return Recorded()
    seen = breaker.see([_result(one) for one in ended], talking=talking)
    counted = {result.token: result.outcome for result in seen.results}
    closings = [_closing(one, counted[one.begun.token]) for one in ended]
    tokens = transitions.close(closings, worker)
    missed = [closing for closing in closings if closing.claim.token not in tokens]
    return Recorded(tokens=frozenset(tokens | _settled_late(missed, worker)), limited=seen.limited)


def record_quickly(ended: Sequence[Ended], wanted: Wanted, worker: str) -> tuple[Recorded, Sequence[Begun]] | None:
    """Close and begin in one statement; None when it takes more than that, and then nothing was done.

    It takes more when a mail was not delivered, or while the provider is not all well.
    """
    if not all(isinstance(one.outcome, Delivered) for one in ended):
        return None
    closings = [_closing(one, one.outcome) for one in ended]
    turned = turn.turn(closings, wanted, provider=breaker.DEFAULT, worker=worker)
    if turned is None:
        return None
    closed = [closing for closing in closings if closing.claim.token in turned.closed]
    missed = [closing for closing in closings if closing.claim.token not in turned.closed]
    return Recorded(tokens=turned.closed | _settled_if_possible(missed, worker), untold=closed), turned.begun


def _settled_if_possible(missed: Sequence[Closing], worker: str) -> set[UUID]:
    """What was begun in the same turn is committed and needs its lanes, whatever becomes of these."""
    try:
        return _settled_late(missed, worker) if missed else set()
    except DatabaseError as error:
        events.announce(events.broke, where="late", error=type(error).__name__)
        return set()


def record_one_by_one(ended: Iterable[Ended], worker: str) -> Recorded:
    """As `record`, each in a transaction of its own: one row that the database refuses spoils no other."""
    done = [_record_alone(one, worker) for one in ended]
    return Recorded(
        tokens=frozenset[UUID]().union(*(each.tokens for each in done)),
        limited=frozenset[UUID]().union(*(each.limited for each in done)),
    )


def _record_alone(one: Ended, worker: str) -> Recorded:
    try:
        with transaction.atomic():
            return record([one], worker)
    except LOST_CONNECTION:
        raise
    except Exception as error:  # noqa: BLE001  (whatever it was, the mail is out or not, and that can be recorded)
        events.announce(events.broke, where="record", error=type(error).__name__)
        plain = Reply(text="the provider's words could not be stored", code=one.outcome.reply.code)
        return _record_plainly(replace(one, outcome=replace(one.outcome, reply=plain)), worker)


def _record_plainly(one: Ended, worker: str) -> Recorded:
    """The last try; what even then the database refuses is left to the rescuer."""
    try:
        with transaction.atomic():
            return record([one], worker)
    except LOST_CONNECTION:
        raise
    except Exception as error:  # noqa: BLE001  (as above)
        events.announce(events.broke, where="record", error=type(error).__name__)
        return Recorded(tokens=frozenset({one.begun.token}))


def _settled_late(missed: Sequence[Closing], worker: str) -> set[UUID]:
    """Of the closings whose token did not match: all but those that are only locked just now."""
    locked = {claim.token for claim in transitions.still_held([c.claim for c in missed], State.SENDING)}
    return {c.claim.token for c in missed if c.claim.token not in locked and _settle(c, worker)}


def _settle(closing: Closing, worker: str) -> bool:
    """The lease went to somebody else. A late Delivered is a fact all the same; False when it must be tried again."""
    if isinstance(closing.outcome, Delivered):
        return transitions.delivered_late(closing, worker)
    events.announce(events.lease_lost, what="close", intent_id=closing.claim.intent_id)
    return True


def _result(one: Ended) -> Result:
    begun = one.begun
    return Result(intent_id=begun.intent_id, token=begun.token, outcome=one.outcome, excused=begun.excused)


def _closing(one: Ended, outcome: Outcome) -> Closing:
    begun = one.begun
    decision = policy_of(begun.kind).decide(
        outcome,
        spent=begun.spent,
        spread=random.uniform(-1, 1),  # noqa: S311  (jitter, not a secret)
        repeatable=begun.repeatable,
    )
    return Closing(
        claim=begun.claim,
        number=begun.number,
        outcome=outcome,
        decision=decision,
        task_id=begun.task_id,
        kind=begun.kind,
        excused=type(outcome) is not type(one.outcome),
        trace=begun.trace,
        seconds=round(time.monotonic() - one.started_at, 3) if one.started_at else None,
    )


def policy_of(kind: str) -> RetryPolicy:
    """The kind's own policy, or the global one; also for a kind that this process does not know."""
    try:
        return kinds.get(kind).retries or conf.outbox().policy
    except UnknownKind:
        return conf.outbox().policy
