"""Claiming: the most urgent due rows, each to one claimer, and nobody waits for a lock."""

from datetime import timedelta

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import connection, transaction

from outbox import transitions
from outbox.kinds import Priority
from outbox.models import Intent
from outbox.states import State
from tests.database.auth_steps import at_once
from tests.database.outbox_steps import (
    MINUTE,
    NOTHING,
    SECOND,
    columns,
    in_state,
    locked_by_another,
    reread,
    tokens,
)
from tests.factories import LEASE, claim_of, make_intent

HIGH, NORMAL, BULK = Priority
own_transactions = pytest.mark.django_db(transaction=True)


def claimed(limit=100, **options):
    """The ids of what is claimed, in the order of the answer."""
    return [claim.intent_id for claim in transitions.claim(limit, LEASE, **options)]


@pytest.mark.django_db
def test_a_claim_is_a_lease_with_a_token_and_changes_nothing_else():
    intent = make_intent(due_in=-MINUTE)
    before = columns(intent)
    [claim] = transitions.claim(1, LEASE)

    after = columns(intent)
    assert (claim.intent_id, claim.token, claim.alone) == (intent.pk, after["lease_token"], False)
    assert {name for name in after if after[name] != before[name]} == {"state", "lease_token", "lease_until"}
    assert after["state"] == "claimed"
    assert Intent.objects.filter(lease_until=Now() + LEASE).exists()


@pytest.mark.django_db
def test_each_row_gets_a_token_of_its_own():
    for _ in range(3):
        make_intent()

    assert len(tokens(transitions.claim(3, LEASE))) == 3


@pytest.mark.django_db
def test_the_urgent_come_first_and_among_them_those_that_wait_longest():
    given = [(BULK, 9), (NORMAL, 1), (HIGH, 1), (NORMAL, 5), (HIGH, 3), (BULK, 2)]
    made = {(priority, ago): make_intent(priority=priority, due_in=-ago * MINUTE).pk for priority, ago in given}

    assert claimed() == [made[at] for at in [(HIGH, 3), (HIGH, 1), (NORMAL, 5), (NORMAL, 1), (BULK, 9), (BULK, 2)]]


@pytest.mark.django_db
def test_the_answer_is_in_order_of_urgency_whatever_the_table_looks_like():
    urgent = []
    for number in range(300):
        made = make_intent(priority=(BULK, NORMAL, HIGH)[number % 3], due_in=-(number % 7) * MINUTE)
        urgent.append((-made.priority, number % 7, -made.pk))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE outbox_intent")
    found = {intent.pk: intent for intent in Intent.objects.all()}
    order = [(found[pk].priority, found[pk].due_at) for pk in claimed(300)]

    assert len(order) == 300
    assert order == sorted(order)


@pytest.mark.django_db
@pytest.mark.parametrize(("limit", "expected"), [(0, 0), (-1, 0), (1, 1), (4, 4), (7, 7), (9, 7)])
def test_no_more_are_claimed_than_asked_for(limit, expected):
    for priority in (HIGH, HIGH, NORMAL, NORMAL, NORMAL, BULK, BULK):
        make_intent(priority=priority)

    assert len(claimed(limit)) == expected
    assert in_state(State.CLAIMED) == expected


@pytest.mark.django_db
@pytest.mark.parametrize(
    "columns",
    [
        {"due_in": SECOND},
        {"due_in": -MINUTE, "expires_in": NOTHING},
        *({"state": state} for state in sorted(set(State) - {State.PENDING})),
    ],
    ids=str,
)
def test_what_is_not_due_or_not_pending_is_left(columns):
    make_intent(**columns)

    assert claimed() == []


@pytest.mark.django_db
def test_a_standby_leaves_what_has_not_been_due_for_long():
    make_intent(due_in=-2 * SECOND)
    old = make_intent(due_in=-3 * SECOND)

    assert claimed(overdue=3 * SECOND) == [old.pk]


@pytest.mark.django_db
def test_what_goes_alone_is_claimed_only_by_who_can_take_it():
    alone, other = make_intent(alone=True, due_in=-MINUTE), make_intent()

    assert claimed(solo=False) == [other.pk]
    [claim] = transitions.claim(5, LEASE, solo=True)
    assert (claim.intent_id, claim.alone) == (alone.pk, True)


@own_transactions
def test_claimers_on_several_connections_never_get_the_same_row():
    for number in range(60):
        make_intent(priority=number % 3)

    def claim(_):
        got = []
        while batch := transitions.claim(4, LEASE):
            got += batch
        return got

    found = [each for part in at_once(4, claim) for each in part]

    assert len(found) == 60
    assert {each.intent_id for each in found} == set(Intent.objects.values_list("pk", flat=True))
    assert tokens(found) == set(Intent.objects.values_list("lease_token", flat=True))


@own_transactions
def test_claims_that_are_not_committed_are_passed_over_without_waiting():
    ids = [make_intent().pk for _ in range(6)]

    with transaction.atomic():
        mine = claimed(3)
        [theirs] = at_once(1, lambda _: claimed(6))

    assert sorted(mine + theirs) == sorted(ids)
    assert len(theirs) == 3


@own_transactions
def test_a_row_that_a_business_transaction_holds_is_passed_over_and_nobody_waits():
    held, free = make_intent(due_in=-MINUTE), make_intent()

    with locked_by_another(held):
        assert claimed() == [free.pk]
    assert claimed() == [held.pk]


# Taking over what waits in the broker


@pytest.mark.django_db
def test_an_urgent_claim_that_nobody_began_goes_to_who_has_a_lane_free():
    intent = make_intent(State.CLAIMED, priority=HIGH)
    [claim] = transitions.take_over(5, LEASE, mine=[])

    after = reread(intent)
    assert (claim.intent_id, claim.token) == (intent.pk, after.lease_token)
    assert claim.token != intent.lease_token
    assert transitions.begin([claim_of(intent)], LEASE) == []
    assert [begun.token for begun in transitions.begin([claim], LEASE)] == [claim.token]


@pytest.mark.django_db
def test_only_urgent_due_claims_of_others_are_taken_over():
    mine = make_intent(State.CLAIMED, priority=HIGH)
    make_intent(State.CLAIMED, priority=NORMAL)
    make_intent(State.CLAIMED, priority=HIGH, alone=True)
    make_intent(State.CLAIMED, priority=HIGH, due_in=MINUTE)
    make_intent(State.CLAIMED, priority=HIGH, expires_in=NOTHING)
    make_intent(State.SENDING, priority=HIGH)
    make_intent(State.PENDING, priority=HIGH)

    assert transitions.take_over(5, LEASE, mine=[mine.pk]) == []


@pytest.mark.django_db
def test_at_most_as_many_are_taken_over_as_wanted_the_oldest_first():
    made = [make_intent(State.CLAIMED, priority=HIGH, due_in=-ago * SECOND).pk for ago in (1, 3, 2)]

    assert [claim.intent_id for claim in transitions.take_over(2, LEASE, mine=[])] == [made[1], made[2]]
    assert transitions.take_over(0, LEASE, mine=[]) == []


@own_transactions
def test_a_claim_that_is_locked_is_not_taken_over_and_nobody_waits():
    intent = make_intent(State.CLAIMED, priority=HIGH)

    with locked_by_another(intent):
        assert transitions.take_over(1, LEASE, mine=[]) == []
    assert reread(intent).lease_token == intent.lease_token


@own_transactions
def test_of_those_who_take_over_one_gets_the_row():
    make_intent(State.CLAIMED, priority=HIGH)

    found = at_once(3, lambda _: transitions.take_over(1, LEASE, mine=[]))

    last = Intent.objects.get().lease_token
    assert last in {claim.token for part in found for claim in part}
    assert sum(claim.token == last for part in found for claim in part) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("limit", [1, 64])
def test_a_claim_costs_one_statement(limit, django_assert_num_queries):
    for _ in range(3):
        make_intent()

    with django_assert_num_queries(1):
        transitions.claim(limit, timedelta(seconds=10))
