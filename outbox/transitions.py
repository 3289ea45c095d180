"""The only writer of an intent's state; each move is guarded by the token, each attempt recorded."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from psycopg.types.json import Jsonb

from outbox import events, sql, tracing
from outbox.outcomes import NAMES, Delivered, Outcome
from outbox.policy import Bury, Cancel, Decision, Finish, RetryAfter
from outbox.states import LATE_DELIVERED, State


@dataclass(frozen=True, slots=True)
class Claim:
    """A hold on one intent; `alone` means that nothing else may be in flight beside it."""

    intent_id: int
    token: UUID
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that has begun: all that a lane, the policy and the close need to know of its intent."""

    intent_id: int
    token: UUID
    task_id: UUID
    kind: str
    recipient: str
    language: str
    context: Mapping[str, Any] | None
    payload: bytes | None
    message_id: str
    repeatable: bool
    is_sample: bool
    number: int
    spent: int
    alone: bool
    excused: bool
    age: timedelta
    remaining: timedelta
    trace: Mapping[str, str] = field(default_factory=dict)

    @property
    def claim(self) -> Claim:
        """The hold it was begun under."""
        return Claim(self.intent_id, self.token, self.alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """An attempt that has ended, what it ended in, and what was decided."""

    claim: Claim
    number: int
    outcome: Outcome
    decision: Decision
    task_id: UUID
    kind: str
    alone: bool = False  # it took its worker with it: begin it alone next time
    excused: bool = False
    trace: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None  # how long it took, as far as its holder is there to tell


_CLOSE_COLUMNS = (
    *("id", "token", "number", "state", "wait", "reason", "refund", "maybe_sent", "alone", "excused"),
    *("phase", "outcome", "code", "enhanced", "text"),
)


def enqueue(given: Sequence[Mapping[str, Any]]) -> dict[UUID, dict[str, Any]]:
    """Write pending intents; by task id what the database filled in (a taken dedupe key writes nothing)."""
    trace = Jsonb(tracing.carried())
    as_json = [{**row, "context": Jsonb(row["context"]), "trace": trace} for row in given]
    if len(as_json) == 1:
        written = sql.records(sql.ENQUEUE_ONE, as_json[0])
    else:
        written = sql.records(sql.ENQUEUE, _columns(as_json, tuple(sql.GIVEN)))
    return {row["task_id"]: row for row in written}


def _columns(items: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Turn rows into one list per column, the form in which unnest() takes them."""
    rows = list(items)
    return {name: [row[name] for row in rows] for name in names}


def claim(limit: int, lease: timedelta, *, solo: bool = True, overdue: timedelta = timedelta()) -> list[Claim]:
    """Hold up to `limit` due intents, most urgent first; `solo` takes those too that must go alone."""
    if limit <= 0:
        return []
    params = {"limit": limit, "lease": lease, "solo": solo, "overdue": overdue}
    return [Claim(*row) for row in sql.rows(sql.CLAIM_DUE, params)]


def take_over(limit: int, lease: timedelta, *, mine: Iterable[int], overdue: timedelta = timedelta()) -> list[Claim]:
    """Hold urgent intents that were handed over and that nobody has begun; their own task comes too late."""
    if limit <= 0:
        return []
    params = {"limit": limit, "lease": lease, "mine": [*mine], "overdue": overdue}
    return [Claim(*row) for row in sql.rows(sql.TAKE_OVER, params)]


def begin(claims: Collection[Claim], lease: timedelta, *, solo: bool = False) -> list[Begun]:
    """Turn claims into attempts; what is not returned was lost, is locked just now, or must go alone."""
    if not claims:
        return []
    return [begun_of(row) for row in sql.rows(sql.BEGIN, {**_held(claims), "lease": lease, "solo": solo})]


def _read(context: str) -> dict[str, Any] | None:
    """The context; None when it is nested too deep for this stack: that is its own mail's end, not the turn's."""
    try:
        return dict(json.loads(context))
    except (RecursionError, ValueError, TypeError):
        return None


def begun_of(row: Sequence[Any]) -> Begun:
    """The attempt from the columns of sql.BEGUN."""
    return Begun(*(*row[:6], _read(row[6]), *row[7:-1], _read(row[-1]) or {}))


def still_held(claims: Collection[Claim], state: State) -> list[Claim]:
    """Those of the claims that are still ours in this state."""
    if not claims:
        return []
    return [Claim(*row) for row in sql.rows(sql.STILL_HELD, {**_held(claims), "state": state})]


def renew(claims: Collection[Claim], lease: timedelta, deadline: timedelta) -> set[UUID]:
    """Lengthen the leases; the tokens of those that are ours for a whole lease from now."""
    if not claims:
        return set()
    found = sql.rows(sql.RENEW, {**_held(claims), "lease": lease, "deadline": deadline})
    return {token for token, is_whole in found if is_whole}


def begin_data(held: Claim) -> bool:
    """Note that DATA may go out from now on; False when the lease was lost."""
    return bool(sql.rows(sql.BEGIN_DATA, {"id": held.intent_id, "token": held.token}))


def close(closings: Collection[Closing], worker: str) -> set[UUID]:
    """Leave `sending` and record the attempts; the tokens closed. The rest was lost or is locked just now."""
    if not closings:
        return set()
    given = _columns((_close_row(closing) for closing in closings), _CLOSE_COLUMNS)
    done = {token for (token,) in sql.rows(sql.CLOSE, {**given, "worker": worker})}
    for closing in closings:
        if closing.claim.token in done:
            announce_end(closing)
    return done


def _close_row(closing: Closing) -> dict[str, Any]:
    state, wait, refund, maybe_sent = _effect(closing.decision)
    return {
        "id": closing.claim.intent_id,
        "token": closing.claim.token,
        "number": closing.number,
        "state": state,
        "wait": wait,
        "reason": "" if isinstance(closing.decision, Finish) else closing.decision.reason,
        "refund": refund,
        "maybe_sent": maybe_sent,
        "alone": closing.alone,
        "excused": closing.excused,
        **attempt(closing.outcome),
    }


def _effect(decision: Decision) -> tuple[State, timedelta, int, bool]:
    match decision:
        case Finish():
            return State.SENT, timedelta(), 0, False
        case RetryAfter(wait=wait, spends=spends, maybe_sent=maybe_sent):
            return State.PENDING, wait, 0 if spends else 1, maybe_sent
        case Bury(maybe_sent=maybe_sent):
            return State.DEAD, timedelta(), 0, maybe_sent
        case Cancel():
            return State.CANCELLED, timedelta(), 0, False


def attempt(outcome: Outcome) -> dict[str, Any]:
    """The columns of an attempt's row that its outcome fills."""
    return {
        "phase": outcome.phase,
        "outcome": NAMES[type(outcome)],
        "code": outcome.reply.code,
        "enhanced": outcome.reply.enhanced,
        "text": outcome.reply.text,
    }


def announce_end(closing: Closing) -> None:
    """Tell the listeners how an attempt ended and where that left its intent."""
    events.announce(
        events.attempt_ended,
        task_id=closing.task_id,
        kind=closing.kind,
        number=closing.number,
        outcome=NAMES[type(closing.outcome)],
        phase=closing.outcome.phase.value,
        code=closing.outcome.reply.code,
        state=_effect(closing.decision)[0].value,
        seconds=closing.seconds,
        trace=closing.trace,
    )


def delivered_late(closing: Closing, worker: str) -> bool:
    """Record a Delivered whose lease was lost; False when the intent is locked just now.

    The newest attempt closes the intent as `sent`, from whatever state; an older one is kept as a copy.
    """
    if not isinstance(closing.outcome, Delivered):
        raise TypeError("only a Delivered may come late")
    found = sql.rows(
        sql.LATE_DELIVERED,
        {
            "id": closing.claim.intent_id,
            "number": closing.number,
            "worker": worker,
            "from_states": sorted(LATE_DELIVERED),
            **attempt(closing.outcome),
        },
    )
    for _, closed in found:
        events.announce(
            events.delivered_late, task_id=closing.task_id, number=closing.number, closed=closed, trace=closing.trace
        )
    return bool(found) or not sql.rows(sql.EXISTS, {"id": closing.claim.intent_id})  # what is gone is not waited for


def give_back(claims: Collection[Claim]) -> int:
    """Return claims that nobody began; how many were still ours."""
    return len(sql.rows(sql.GIVE_BACK, _held(claims))) if claims else 0


def rescue_claimed(lease: timedelta, limit: int) -> int:
    """Return claims whose lease ran out before anybody began them; how many."""
    found = sql.rows(sql.RESCUE_CLAIMED, {"lease": lease, "limit": limit})
    for (task_id,) in found:
        events.announce(events.rescued, task_id=task_id, state=State.CLAIMED.value)
    return len(found)


def lost_sending(lease: timedelta, limit: int) -> list[dict[str, Any]]:
    """Attempts whose holder is gone, locked until the transaction ends."""
    found = sql.records(sql.LOST_SENDING, {"lease": lease, "limit": limit})
    return [{**row, "trace": _read(row["trace"]) or {}} for row in found]


def expire(limit: int) -> int:
    """Close what is past its lifetime and not under way; how many."""
    found = sql.rows(sql.EXPIRE, {"limit": limit})
    for task_id, state in found:
        events.announce(events.expired, task_id=task_id, state=state)
    return len(found)


def cancel(ids: Collection[int], *, reason: str, actor: str = "") -> int:
    """Cancel what is not under way; how many."""
    with transaction.atomic():
        done = sql.rows(sql.CANCEL, {"id": [*ids], "reason": reason, "actor": actor})
        if done:
            events.announce(events.cancelled, intents=len(done), actor=actor)
    return len(done)


def replay(ids: Collection[int], *, reason: str, actor: str) -> set[int]:
    """Send dead letters back to `pending`; the ids of those that went."""
    try:
        with transaction.atomic():
            done = sql.rows(sql.REPLAY, {"id": [*ids], "reason": reason, "actor": actor})
            if done:
                events.announce(events.replayed, intents=len(done), actor=actor)
    except IntegrityError:  # two of them have one dedupe key, or it was taken just now: one by one
        if len(ids) == 1:
            return set()
        return {gone for each in ids for gone in replay([each], reason=reason, actor=actor)}
    return {intent_id for (intent_id,) in done}


def _held(claims: Iterable[Claim]) -> dict[str, list[Any]]:
    held = list(claims)
    return {"id": [claim.intent_id for claim in held], "token": [claim.token for claim in held]}
