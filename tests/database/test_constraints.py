"""The database refuses every row outside the picture of the states."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import IntegrityError, transaction

from outbox.models import Attempt, Intent, Provider
from outbox.states import CLOSED, HELD, OPEN, State
from tests.database.outbox_steps import SECOND, columns, provider
from tests.factories import make_intent

pytestmark = pytest.mark.django_db

TOKEN, NOW = uuid4(), Now()
LEASE_COLUMNS = {"lease_token": TOKEN, "lease_until": NOW}
WRONG: list[Any] = [
    *[(state, {"lease_token": TOKEN}, "intent_lease_iff_held") for state in sorted(set(State) - HELD)],
    *[(state, {"lease_until": NOW}, "intent_lease_iff_held") for state in sorted(set(State) - HELD)],
    *[(state, LEASE_COLUMNS, "intent_lease_iff_held") for state in sorted(set(State) - HELD)],
    *[(state, {"lease_token": None}, "intent_lease_iff_held") for state in sorted(HELD)],
    *[(state, {"lease_until": None}, "intent_lease_iff_held") for state in sorted(HELD)],
    *[(state, {"begun_at": NOW}, "intent_begun_iff_sending") for state in sorted(set(State) - {State.SENDING})],
    *[(state, {"data_begun": True}, "intent_begun_iff_sending") for state in sorted(set(State) - {State.SENDING})],
    (State.SENDING, {"begun_at": None}, "intent_begun_iff_sending"),
    *[(state, {"closed_at": NOW}, "intent_closed_at_iff_closed") for state in sorted(OPEN)],
    *[(state, {"closed_at": None}, "intent_closed_at_iff_closed") for state in sorted(CLOSED)],
    *[(state, {"spent": 2, "attempts": 1}, "intent_spent_within_attempts") for state in sorted(State)],
    (State.EXPIRED, {"maybe_sent": True}, "intent_expired_never_sent"),
    (State.PENDING, {"state": "retrying"}, "violates check constraint"),
    (State.PENDING, {"state": ""}, "violates check constraint"),
    (State.PENDING, {"attempts": -1}, "violates check constraint"),
    (State.PENDING, {"spent": -1}, "outbox_intent_spent_check"),
    (State.PENDING, {"expires_at": None}, "expires_at"),
    (State.PENDING, {"due_at": None}, "due_at"),
]


def refused(write):
    with pytest.raises(IntegrityError) as told, transaction.atomic():
        write()
    return str(told.value)


@pytest.mark.parametrize("state", sorted(State))
def test_each_state_has_rows_that_are_taken(state):
    assert make_intent(state).state == state


@pytest.mark.parametrize(
    ("state", "wrong", "constraint"), WRONG, ids=[f"{state}-{'-'.join(wrong)}" for state, wrong, _ in WRONG]
)
def test_a_row_outside_the_picture_is_refused(state, wrong, constraint):
    intent = make_intent(state)
    before = columns(intent)

    assert constraint in refused(lambda: Intent.objects.filter(pk=intent.pk).update(**wrong))
    assert columns(intent) == before


@pytest.mark.parametrize("second", sorted(OPEN))
@pytest.mark.parametrize("first", sorted(OPEN))
def test_two_open_intents_never_share_a_key(first, second):
    make_intent(first, dedupe_key="order 7")

    assert "intent_dedupe_key_while_open" in refused(lambda: make_intent(second, dedupe_key="order 7"))


def test_closed_intents_may_share_the_key_of_an_open_one():
    for state in (*sorted(CLOSED), State.PENDING):
        make_intent(state, dedupe_key="order 7")

    assert Intent.objects.filter(dedupe_key="order 7").count() == 5


def test_a_task_id_belongs_to_one_intent():
    first = make_intent()

    assert "task_id" in refused(lambda: make_intent(task_id=first.task_id))


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"number": 1}, "attempt_number"),
        ({"number": 0}, "attempt_number_from_1"),
        ({"number": 2, "ended_at": Now() - SECOND}, "attempt_ends_after_start"),
    ],
)
def test_an_attempt_outside_the_picture_is_refused(wrong, constraint):
    intent = make_intent(State.SENT)
    fields = {"intent": intent, "started_at": NOW, "ended_at": NOW, "phase": "data", "outcome": "unknown"}

    assert constraint in refused(lambda: Attempt.objects.create(**{**fields, **wrong}))


@pytest.mark.parametrize("wrong", [{"opened_at": NOW}, {"probe_at": NOW + timedelta(seconds=5)}])
def test_an_open_breaker_and_its_next_probe_go_together(wrong):
    provider()

    assert "provider_probe_iff_open" in refused(lambda: Provider.objects.update(**wrong))


def test_attempts_go_with_their_intent_and_copies_stay():
    original = make_intent(State.SENT)
    copy = make_intent(resent_from=original)
    original.delete()

    assert not Attempt.objects.exists()
    copy.refresh_from_db()
    assert copy.resent_from is None
