"""Rescue and expiry: what a lost holder leaves, and what is past its lifetime."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import connection

from outbox import rescuer, transitions
from outbox.models import Attempt, Intent, Provider
from outbox.policy import RetryPolicy
from outbox.states import CLOSED, HELD, State
from tests.database.auth_steps import at_once
from tests.database.outbox_steps import (
    MINUTE,
    NOTHING,
    SECOND,
    attempts_of,
    columns,
    finish,
    let_lease_run_out,
    locked_by_another,
    provider,
    reread,
    states,
)
from tests.factories import begin_one, claim_of, make_intent

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _short_lease(outbox_settings):
    """So short that PostgreSQL has been up for longer."""
    outbox_settings(LEASE=SECOND)


# Rescue


def test_a_claim_whose_lease_ran_out_is_pending_again_and_otherwise_untouched():
    intent = make_intent(State.CLAIMED, lease_for=-SECOND, attempts=2, due_in=-MINUTE)
    before = columns(intent)

    assert rescuer.rescue() == 1
    assert columns(intent) == {**before, "state": "pending", "lease_token": None, "lease_until": None}
    assert len(attempts_of(intent)) == 2


@pytest.mark.parametrize("state", sorted(HELD))
def test_a_lease_that_runs_is_left(state):
    intent = make_intent(state, lease_for=SECOND)
    before = columns(intent)

    assert rescuer.rescue() == 0
    assert columns(intent) == before


@pytest.mark.parametrize("state", sorted(HELD))
def test_nothing_is_rescued_for_one_lease_after_postgres_started(state, outbox_settings):
    outbox_settings(LEASE=timedelta(days=365))
    make_intent(state, lease_for=-SECOND)

    assert rescuer.rescue() == 0
    assert states() == [state]


def test_an_attempt_whose_holder_is_gone_ends_unknown_and_is_repeated_at_once_alone():
    begun = begin_one(due_in=-MINUTE)
    let_lease_run_out(begun)

    assert rescuer.rescue() == 1
    after = reread(begun)
    assert (after.state, after.attempts, after.spent) == ("pending", 1, 1)
    assert (after.maybe_sent, after.alone) == (True, True)
    assert after.reason == "the worker was lost, and its lease ran out"
    assert Intent.objects.filter(due_at=Now() - MINUTE).exists()
    assert attempts_of(begun) == [(1, "unknown", "data")]
    assert Attempt.objects.get().worker == "rescuer"


def test_after_the_last_retry_what_kills_its_worker_is_dead(change_kind):
    change_kind("welcome", retries=RetryPolicy(max_retries=3))
    begun = begin_one(attempts=3)
    let_lease_run_out(begun)
    rescuer.rescue()

    after = reread(begun)
    assert (after.state, after.attempts, after.spent, after.maybe_sent) == ("dead", 4, 4, True)
    assert after.reason == "gave up after 4 tries: the worker was lost, and its lease ran out"


def test_what_must_not_be_repeated_is_repeated_when_data_had_not_begun():
    begun = begin_one(repeatable=False)
    let_lease_run_out(begun)
    rescuer.rescue()

    after = reread(begun)
    assert (after.state, after.maybe_sent, after.alone) == ("pending", False, True)
    assert attempts_of(begun) == [(1, "unknown", "envelope")]


def test_what_must_not_be_repeated_is_dead_when_data_had_begun():
    begun = begin_one(repeatable=False)
    transitions.begin_data(begun.claim)
    let_lease_run_out(begun)
    rescuer.rescue()

    after = reread(begun)
    assert (after.state, after.maybe_sent) == ("dead", True)
    assert after.reason == "outcome unknown: the worker was lost, and its lease ran out"
    assert attempts_of(begun) == [(1, "unknown", "data")]


def test_what_gives_up_without_data_ever_begun_is_known_not_to_be_out(change_kind):
    change_kind("welcome", retries=RetryPolicy(max_retries=0))
    begun = begin_one(repeatable=False)
    let_lease_run_out(begun)
    rescuer.rescue()

    after = reread(begun)
    assert (after.state, after.maybe_sent) == ("dead", False)


def test_a_kind_that_is_unknown_here_is_rescued_all_the_same():
    begun = begin_one(kind="of_the_next_release")
    let_lease_run_out(begun)
    rescuer.rescue()

    assert states() == ["pending"]


def test_the_holder_that_comes_back_finds_its_token_gone():
    begun = begin_one()
    let_lease_run_out(begun)
    rescuer.rescue()

    assert transitions.renew([begun.claim], MINUTE, MINUTE) == set()
    assert transitions.begin_data(begun.claim) is False
    assert transitions.close([finish(begun)], "late") == set()


@own_transactions
@pytest.mark.parametrize("state", sorted(HELD))
def test_a_row_that_a_business_transaction_holds_is_rescued_later_and_nobody_waits(state):
    intent = make_intent(state, lease_for=-SECOND)

    with locked_by_another(intent):
        assert rescuer.rescue() == 0
    assert rescuer.rescue() == 1


@own_transactions
def test_of_rescuers_at_once_each_row_has_one(heard):
    for state in (*[State.CLAIMED] * 5, *[State.SENDING] * 5):
        make_intent(state, lease_for=-SECOND)
    at_once(3, lambda _: rescuer.rescue())

    assert states() == ["pending"] * 10
    assert Attempt.objects.count() == 5
    assert sorted(facts["state"] for facts in heard.of("rescued")) == ["claimed"] * 5 + ["sending"] * 5


@own_transactions
def test_a_row_that_the_database_refuses_keeps_no_other_from_being_rescued(heard):
    rows = [make_intent(State.SENDING, lease_for=-SECOND * (10 - number)) for number in range(5)]

    with refused_by_the_database(rows[0], rows[3]):
        assert rescuer.rescue() == 3
        assert states() == ["sending", "pending", "pending", "sending", "pending"]
        assert heard.of("broke") == [{"where": "rescue", "error": "IntegrityError"}]
    assert rescuer.rescue() == 2
    assert states() == ["pending"] * 5


@contextmanager
def refused_by_the_database(*rows):
    """No other state can be written to these."""
    ids = ", ".join(str(row.pk) for row in rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"ALTER TABLE outbox_intent ADD CONSTRAINT refused CHECK (state = 'sending' OR id NOT IN ({ids}))"
        )
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE outbox_intent DROP CONSTRAINT refused")


# Expiry


@pytest.mark.parametrize("state", [State.PENDING, State.CLAIMED])
def test_what_is_past_its_lifetime_and_surely_not_sent_is_expired(state):
    intent = make_intent(state, expires_in=NOTHING, attempts=2)

    assert rescuer.expire() == 1
    after = reread(intent)
    assert (after.state, after.lease_token, after.lease_until) == ("expired", None, None)
    assert after.reason == "its lifetime ended before it could be sent"
    assert Intent.objects.filter(closed_at=Now()).exists()


@pytest.mark.parametrize("state", [State.PENDING, State.CLAIMED])
def test_what_is_past_its_lifetime_and_may_be_out_is_dead(state):
    intent = make_intent(state, expires_in=NOTHING, attempts=1, maybe_sent=True)
    rescuer.expire()

    after = reread(intent)
    assert (after.state, after.lease_token) == ("dead", None)
    assert after.reason == "outcome unknown: its lifetime ended before it could be repeated"


@pytest.mark.parametrize("state", [State.SENDING, *sorted(CLOSED)])
def test_what_is_under_way_or_closed_does_not_expire(state):
    intent = make_intent(state, expires_in=-MINUTE)
    before = columns(intent)

    assert rescuer.expire() == 0
    assert columns(intent) == before


def test_what_still_lives_does_not_expire():
    make_intent(expires_in=SECOND)

    assert rescuer.expire() == 0


def test_the_holder_of_an_expired_claim_finds_its_token_gone():
    claim = claim_of(make_intent(State.CLAIMED, expires_in=NOTHING))
    rescuer.expire()

    assert transitions.begin([claim], MINUTE) == []
    assert transitions.still_held([claim], State.CLAIMED) == []


@own_transactions
def test_a_row_that_a_business_transaction_holds_expires_later_and_nobody_waits(heard):
    intent = make_intent(expires_in=NOTHING)

    with locked_by_another(intent):
        assert rescuer.expire() == 0
    assert rescuer.expire() == 1
    assert heard.of("expired") == [{"task_id": intent.task_id, "state": "expired"}]


# The sweep does both


def test_a_sweep_expires_and_rescues():
    provider()
    make_intent(expires_in=NOTHING)
    make_intent(State.CLAIMED, lease_for=-SECOND)
    make_intent(State.SENDING, lease_for=-SECOND)

    assert rescuer.sweep() is True
    assert states() == ["expired", "pending", "pending"]


def test_a_sweep_takes_more_than_one_batch(monkeypatch):
    monkeypatch.setattr(rescuer, "_BATCH", 2)
    provider()
    for _ in range(5):
        make_intent(expires_in=NOTHING)
        make_intent(State.CLAIMED, lease_for=-SECOND)
        make_intent(State.SENDING, lease_for=-SECOND)
    rescuer.sweep()

    assert states() == ["expired", "pending", "pending"] * 5


def test_nobody_sweeps_within_a_second_of_the_last_sweep():
    provider(swept_at=-SECOND / 2)
    make_intent(expires_in=NOTHING)

    assert rescuer.sweep() is False
    assert states() == ["pending"]
    provider(swept_at=-1.1 * SECOND)
    assert rescuer.sweep() is True


@own_transactions
def test_of_processes_that_sweep_at_once_one_does():
    provider()

    assert sorted(at_once(4, lambda _: rescuer.sweep())) == [False, False, False, True]
    assert Provider.objects.get().swept_at is not None
