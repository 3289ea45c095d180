"""The turn in one statement does what the steps do, and nothing at all while the provider is not all well."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now

from outbox import prepared, turn
from outbox.models import Attempt, Provider
from outbox.states import State
from outbox.turn import Wanted
from tests.database.outbox_steps import (
    MINUTE,
    SECOND,
    attempts_of,
    finish,
    in_state,
    let_lease_run_out,
    locked_by_another,
    provider,
    reread,
    states,
)
from tests.factories import begin_one, claim_of, make_intent

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)


def take(*delivered, limit=0, overdue=timedelta(), claims=()):
    wanted = Wanted(limit=limit, lease=10 * SECOND, overdue=overdue, claims=claims)
    return turn.turn([finish(one) for one in delivered], wanted, provider="default", worker="host:1")


def test_it_closes_what_was_delivered_and_begins_what_is_due():
    provider()
    done, due = begin_one(), make_intent()
    turned = take(done, limit=5)

    assert turned.closed == {done.token}
    assert [one.intent_id for one in turned.begun] == [due.pk]
    assert (reread(done).state, reread(done).lease_token) == ("sent", None)
    assert attempts_of(done) == [(1, "delivered", "answered")]
    row = reread(due)
    assert (row.state, row.attempts, row.spent, row.lease_token) == ("sending", 1, 1, turned.begun[0].token)
    assert turned.begun[0].context == due.context


def test_it_does_nothing_without_a_row_of_the_provider():
    done, _ = begin_one(), make_intent()
    Provider.objects.all().delete()

    assert take(done, limit=5) is None
    assert sorted(states()) == ["pending", "sending"]
    assert not Attempt.objects.exists()


@pytest.mark.parametrize(
    "trouble",
    [
        {"opened_at": Now(), "probe_at": Now()},
        {"paused_at": Now()},
        {"window": 4},
        {"losers": [17]},
    ],
    ids=lambda trouble: next(iter(trouble)),
)
def test_it_does_nothing_while_the_provider_is_not_all_well(trouble):
    provider(**trouble)
    done, _ = begin_one(), make_intent()

    assert take(done, limit=5) is None
    assert sorted(states()) == ["pending", "sending"]
    assert not Attempt.objects.exists()


def test_it_closes_nothing_whose_token_is_gone():
    provider()
    late = begin_one()
    let_lease_run_out(late)
    type(reread(late)).objects.update(state=State.PENDING, lease_token=None, lease_until=None, begun_at=None)

    assert take(late).closed == frozenset()
    assert states() == ["pending"]


@own_transactions
def test_it_waits_for_no_row_that_somebody_holds():
    provider()
    done, due, other = begin_one(), make_intent(), make_intent()
    with locked_by_another(done), locked_by_another(due):
        turned = take(done, limit=5)

    assert turned.closed == frozenset()
    assert [one.intent_id for one in turned.begun] == [other.pk]
    assert take(done, limit=5).closed == {done.token}


def test_it_begins_the_most_urgent_and_no_more_than_were_wanted():
    provider()
    for priority in (2, 1, 0):
        make_intent(priority=priority, due_in=-MINUTE)
    waits_in_the_broker = make_intent(State.CLAIMED, priority=0)

    assert {one.intent_id for one in take(limit=2).begun} > {waits_in_the_broker.pk}
    assert in_state(State.SENDING) == 2
    assert take(limit=0).begun == []


@pytest.mark.parametrize("columns", [{"alone": True}, {"due_in": MINUTE}, {"expires_in": -SECOND}], ids=str)
def test_it_begins_nothing_that_goes_alone_or_is_not_due_or_is_over(columns):
    provider()
    make_intent(**columns)

    assert take(limit=5).begun == []


def test_it_begins_what_was_handed_over_first_under_a_token_of_its_own():
    provider()
    for _ in range(2):
        make_intent(due_in=-MINUTE)
    mine = [claim_of(make_intent(State.CLAIMED)) for _ in range(2)]
    begun = take(limit=2, claims=mine).begun

    assert {one.intent_id for one in begun} == {claim.intent_id for claim in mine}
    assert {one.token for one in begun}.isdisjoint({claim.token for claim in mine})


@pytest.mark.parametrize("columns", [{"lease_for": -SECOND}, {"expires_in": -SECOND}, {"alone": True}], ids=str)
def test_it_begins_no_claim_that_is_over_or_goes_alone(columns):
    provider()
    claim = claim_of(make_intent(State.CLAIMED, **columns))

    assert take(limit=2, claims=[claim]).begun == []


def test_it_begins_no_claim_under_an_old_token():
    provider()
    claim = replace(claim_of(make_intent(State.CLAIMED)), token=uuid4())

    assert take(limit=2, claims=[claim]).begun == []


# Claims for the broker


def ready(most):
    return turn.claim_ready(most, 10 * SECOND, provider="default")


def test_so_many_are_claimed_that_no_more_than_allowed_wait_the_most_urgent_first():
    provider()
    make_intent(State.CLAIMED)
    bulk, urgent = make_intent(priority=2), make_intent(priority=0)
    for _ in range(5):
        make_intent()
    claims = ready(4)

    assert claims[0].intent_id == urgent.pk
    assert len(claims) == 3
    assert reread(bulk).state == "pending"
    assert ready(4) == []
    assert ready(1) == []


@pytest.mark.parametrize("trouble", [None, {"paused_at": Now()}, {"window": 4}], ids=str)
def test_nothing_is_claimed_while_the_provider_is_not_all_well(trouble):
    if trouble is not None:
        provider(**trouble)
    make_intent()

    assert ready(10) is None
    assert states() == ["pending"]


def test_it_begins_only_what_has_been_due_for_so_long():
    provider()
    make_intent(due_in=-SECOND)
    overdue = make_intent(due_in=-MINUTE)

    assert [one.intent_id for one in take(limit=5, overdue=10 * SECOND).begun] == [overdue.pk]


def test_it_notes_that_the_provider_delivers():
    row = provider()
    take(begin_one())
    row.refresh_from_db()

    assert row.delivered_at is not None


@own_transactions
def test_a_pooler_may_give_it_another_server_connection_each_time():
    provider()
    take()
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")  # this server does not know the statement, though we taught it to one
    make_intent()

    assert len(take(limit=1).begun) == 1

    prepared._taught.clear()  # and this one knows it, though we did not teach it
    make_intent()

    assert len(take(limit=1).begun) == 1


@own_transactions
def test_a_statement_whose_plan_a_migration_has_outdated_is_taught_again():
    statement = prepared.Prepared("SELECT * FROM changing WHERE id = %(id)s", id="int")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE changing (id integer)")
        assert statement.rows({"id": 1}) == []
        cursor.execute("ALTER TABLE changing ADD COLUMN more text")
    try:
        assert statement.rows({"id": 1}) == []
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE changing")


@pytest.mark.parametrize("statement", [turn.TURN, turn.CLAIM_READY], ids=["turn", "claim"])
def test_a_backlog_is_not_read_through_though_statistics_know_of_none(statement):
    provider()
    with connection.cursor() as cursor:
        cursor.execute(_ROWS.format(count=2000, state="sent", closed_at="now()"))
        cursor.execute("ANALYZE outbox_intent")
        cursor.execute(_ROWS.format(count=20000, state="pending", closed_at="NULL"))
        for _ in range(7):  # from the sixth on PostgreSQL may keep to one plan
            take()
            ready(1)
        cursor.execute("SELECT name FROM pg_prepared_statements WHERE name = %s", [statement._name])
        [(name,)] = cursor.fetchall()
        values = {"delivered": "'[]'", "claims": "'[]'", "limit": "8", "ready": "64", "provider": "'default'"}
        values |= {"lease": "'10 s'", "overdue": "'0'", "worker": "''"}
        given = ", ".join(values[each] for each in statement.names)
        cursor.execute(f"EXPLAIN EXECUTE {name} ({given})")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "intent_claim" in plan
    assert "intent_expiry" not in plan
    assert "Seq Scan on outbox_intent" not in plan


_ROWS = """
INSERT INTO outbox_intent (task_id, kind, recipient, language, context, owner, message_id, priority, repeatable,
  is_sample, state, created_at, scheduled_at, due_at, expires_at, reason, attempts, spent, data_begun, maybe_sent,
  alone, excused, actor, closed_at)
SELECT gen_random_uuid(), 'welcome', 'person@example.com', 'en', '{{}}', '', n || '@example.com', 1, true, false,
  '{state}', now(), now(), now(), now() + interval '3 days', '', 0, 0, false, false, false, false, '', {closed_at}
FROM generate_series(1, {count}) AS n
"""
