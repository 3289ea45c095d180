"""Rows of the outbox in any state, with the columns and the history that state requires."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.postgres.functions import TransactionNow as Now

from outbox import transitions
from outbox.kinds import Priority
from outbox.models import Attempt, Intent
from outbox.outcomes import Phase
from outbox.states import CLOSED, HELD, State
from outbox.transitions import Begun, Claim

LEASE = timedelta(seconds=10)
_LAST = {State.SENT: ("delivered", Phase.ANSWERED), State.DEAD: ("refused", Phase.ENVELOPE)}
_TRIED = {State.SENDING, *_LAST}


def make_intent(
    state: State = State.PENDING,
    *,
    due_in: timedelta = timedelta(),
    expires_in: timedelta = timedelta(days=1),
    lease_for: timedelta = LEASE,
    **columns: Any,
) -> Intent:
    """A welcome mail in this state. Times are told from the database's now; a negative one is in the past.

    `attempts` that have ended have their rows: deferred but for the last of what is sent or dead.
    """
    task_id = uuid4()
    tries = columns.pop("attempts", int(state in _TRIED))
    written = Intent.objects.create(
        state=state,
        attempts=tries,
        due_at=Now() + due_in,
        scheduled_at=Now() + due_in,
        expires_at=Now() + expires_in,
        **{**_ordinary(task_id.hex), **_required(state, lease_for), "task_id": task_id, "spent": tries, **columns},
    )
    _write_history(written)
    return Intent.objects.get(pk=written.pk)


def _ordinary(name: str) -> dict[str, Any]:
    return {
        "kind": "welcome",
        "recipient": f"{name[:8]}@example.com",
        "language": "en",
        "context": {"name": "Layla Haddad"},
        "message_id": f"<{name}@example.com>",
        "priority": Priority.NORMAL,
    }


def _required(state: State, lease_for: timedelta) -> dict[str, Any]:
    held = {"lease_token": uuid4(), "lease_until": Now() + lease_for} if state in HELD else {}
    begun = {"begun_at": Now()} if state is State.SENDING else {}
    closed = {"closed_at": Now()} if state in CLOSED else {}
    return {**held, **begun, **closed}


def _write_history(intent: Intent) -> None:
    ended = intent.attempts - (intent.state == State.SENDING)
    for number in range(1, ended + 1):
        outcome, phase = "deferred", Phase.ENVELOPE
        if number == ended:
            outcome, phase = _LAST.get(State(intent.state), (outcome, phase))
        Attempt.objects.create(
            intent=intent, number=number, started_at=Now(), ended_at=Now(), outcome=outcome, phase=phase
        )


def claim_of(intent: Intent) -> Claim:
    """The hold that this row, as it was read, is under."""
    assert intent.lease_token is not None
    return Claim(intent.pk, intent.lease_token, intent.alone)


def begin_one(intent: Intent | None = None, **columns: Any) -> Begun:
    """An attempt that has just begun: of this intent, which must be the most urgent due one, or of a new one."""
    if intent is None:
        [begun] = transitions.begin([claim_of(make_intent(State.CLAIMED, **columns))], LEASE, solo=True)
        return begun
    [claim] = transitions.claim(1, LEASE)
    assert claim.intent_id == intent.pk
    [begun] = transitions.begin([claim], LEASE, solo=True)
    return begun
