"""A claim's way: begin, renew, the word before DATA, give back; a stale token does nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.postgres.functions import TransactionNow as Now

from outbox import transitions
from outbox.kinds import Priority
from outbox.models import Intent
from outbox.states import HELD, State
from tests.database.auth_steps import at_once
from tests.database.outbox_steps import (
    MINUTE,
    NOTHING,
    SECOND,
    columns,
    locked_by_another,
    reread,
    states,
    with_a_stale_token,
)
from tests.factories import LEASE, begin_one, claim_of, make_intent

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)


# Begin


def test_beginning_numbers_the_attempt_and_returns_what_a_lane_needs():
    intent = make_intent(State.CLAIMED, attempts=3, spent=1, due_in=-MINUTE, language="ar", priority=Priority.HIGH)
    [begun] = transitions.begin([claim_of(intent)], LEASE)

    after = reread(intent)
    assert (after.state, after.attempts, after.spent) == ("sending", 4, 2)
    assert (begun.intent_id, begun.token, begun.task_id) == (intent.pk, intent.lease_token, intent.task_id)
    assert (begun.kind, begun.recipient, begun.language) == ("welcome", intent.recipient, "ar")
    assert (begun.context, begun.message_id) == ({"name": "Layla Haddad"}, intent.message_id)
    assert (begun.number, begun.spent, begun.repeatable, begun.alone) == (4, 2, True, False)
    assert begun.age == MINUTE
    assert begun.remaining == timedelta(days=1)
    assert Intent.objects.filter(begun_at=Now(), lease_until=Now() + LEASE, due_at=Now() - MINUTE).exists()


@pytest.mark.parametrize("state", sorted(State))
def test_a_stale_token_begins_nothing(state):
    intent = make_intent(state)
    before = columns(intent)

    assert transitions.begin([with_a_stale_token(intent)], LEASE, solo=True) == []
    assert columns(intent) == before


def test_what_has_begun_is_not_begun_again():
    begun = begin_one()

    assert transitions.begin([begun.claim], LEASE, solo=True) == []
    assert reread(begun).attempts == 1


@pytest.mark.parametrize(
    "columns_", [{"lease_for": -SECOND}, {"expires_in": NOTHING}, {"alone": True}], ids=["lease", "lifetime", "alone"]
)
def test_a_claim_whose_lease_or_lifetime_is_over_or_that_goes_alone_is_not_begun(columns_):
    intent = make_intent(State.CLAIMED, **columns_)

    assert transitions.begin([claim_of(intent)], LEASE) == []
    assert states() == ["claimed"]


def test_what_goes_alone_is_begun_when_it_may():
    intent = make_intent(State.CLAIMED, alone=True)
    [begun] = transitions.begin([claim_of(intent)], LEASE, solo=True)

    assert begun.alone is True


def test_many_are_begun_by_one_statement_and_a_stale_one_stops_no_other(django_assert_num_queries):
    good = [make_intent(State.CLAIMED) for _ in range(20)]
    stale = make_intent(State.CLAIMED)

    with django_assert_num_queries(1):
        begun = transitions.begin([with_a_stale_token(stale), *map(claim_of, good)], LEASE)

    assert {one.intent_id for one in begun} == {intent.pk for intent in good}
    assert reread(stale).state == "claimed"


@own_transactions
def test_a_row_that_a_business_transaction_holds_is_begun_later_and_nobody_waits():
    intent = make_intent(State.CLAIMED)
    claim = claim_of(intent)

    with locked_by_another(intent):
        assert transitions.begin([claim], LEASE) == []
        assert transitions.still_held([claim], State.CLAIMED) == [claim]
    assert len(transitions.begin([claim], LEASE)) == 1


@own_transactions
def test_of_those_who_begin_the_same_claim_one_succeeds():
    claim = claim_of(make_intent(State.CLAIMED))

    found = at_once(4, lambda _: transitions.begin([claim], LEASE))

    assert sum(len(each) for each in found) == 1
    assert Intent.objects.get().attempts == 1


def test_still_held_tells_the_lost_from_the_locked():
    held, lost, alone = make_intent(State.CLAIMED), make_intent(State.CLAIMED), make_intent(State.CLAIMED, alone=True)
    asked = [claim_of(held), with_a_stale_token(lost), replace(claim_of(alone), alone=False)]

    assert set(transitions.still_held(asked, State.CLAIMED)) == {claim_of(held), claim_of(alone)}
    assert transitions.still_held(asked, State.SENDING) == []
    assert transitions.still_held([], State.CLAIMED) == []


# Renew


@pytest.mark.parametrize("state", sorted(HELD))
def test_renewing_sets_the_lease_to_its_full_length(state):
    intent = make_intent(state, lease_for=SECOND)

    assert transitions.renew([claim_of(intent)], LEASE, MINUTE) == {intent.lease_token}
    assert Intent.objects.filter(lease_until=Now() + LEASE).exists()


@pytest.mark.parametrize("state", sorted(State))
def test_a_stale_token_renews_nothing(state):
    intent = make_intent(state)
    before = columns(intent)

    assert transitions.renew([with_a_stale_token(intent)], LEASE, MINUTE) == set()
    assert columns(intent) == before


@pytest.mark.parametrize(
    ("ago", "left"),
    [(NOTHING, 10 * SECOND), (52 * SECOND, 8 * SECOND), (56 * SECOND, 5 * SECOND), (2 * MINUTE, 5 * SECOND)],
)
def test_no_lease_is_renewed_past_the_deadline_of_its_attempt_and_none_is_shortened(ago, left):
    intent = make_intent(State.SENDING, lease_for=5 * SECOND, begun_at=Now() - ago)
    transitions.renew([claim_of(intent)], LEASE, MINUTE)

    assert Intent.objects.filter(lease_until=Now() + left).exists()


@own_transactions
def test_renewing_passes_over_a_row_that_a_business_transaction_holds():
    held, free = make_intent(State.SENDING), make_intent(State.SENDING)

    with locked_by_another(held):
        renewed = transitions.renew([claim_of(held), claim_of(free)], LEASE, MINUTE)
    assert renewed == {free.lease_token}


# The word before DATA


def test_that_data_goes_out_is_noted_on_the_row():
    begun = begin_one(repeatable=False)

    assert transitions.begin_data(begun.claim) is True
    assert reread(begun).data_begun is True


@pytest.mark.parametrize("state", sorted(State))
def test_a_stale_token_may_not_begin_data(state):
    intent = make_intent(state)
    before = columns(intent)

    assert transitions.begin_data(with_a_stale_token(intent)) is False
    assert columns(intent) == before


def test_data_does_not_begin_before_its_attempt():
    assert transitions.begin_data(claim_of(make_intent(State.CLAIMED))) is False


@own_transactions
def test_data_does_not_begin_while_a_business_transaction_holds_the_row():
    begun = begin_one(repeatable=False)

    with locked_by_another(begun):
        assert transitions.begin_data(begun.claim) is False
    assert transitions.begin_data(begun.claim) is True


# Give back


def test_giving_back_only_clears_the_lease():
    intent = make_intent(State.CLAIMED, attempts=2, due_in=-MINUTE, alone=True)
    before = columns(intent)

    assert transitions.give_back([claim_of(intent)]) == 1
    assert columns(intent) == {**before, "state": "pending", "lease_token": None, "lease_until": None}


@pytest.mark.parametrize("state", sorted(State))
def test_a_stale_token_gives_nothing_back(state):
    intent = make_intent(state)
    before = columns(intent)

    assert transitions.give_back([with_a_stale_token(intent)]) == 0
    assert columns(intent) == before


def test_an_attempt_under_way_is_not_given_back():
    begun = begin_one()

    assert transitions.give_back([begun.claim]) == 0
    assert states() == ["sending"]


def test_many_are_given_back_by_one_statement_and_none_by_none(django_assert_num_queries):
    held = [claim_of(make_intent(State.CLAIMED)) for _ in range(20)]

    with django_assert_num_queries(1):
        assert transitions.give_back(held) == 20
    with django_assert_num_queries(0):
        assert transitions.give_back([]) == 0


@own_transactions
def test_giving_back_passes_over_a_row_that_a_business_transaction_holds():
    held, free = make_intent(State.CLAIMED), make_intent(State.CLAIMED)

    with locked_by_another(held):
        assert transitions.give_back([claim_of(held), claim_of(free)]) == 1
    assert states() == ["claimed", "pending"]
