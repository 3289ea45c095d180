"""What closing an attempt writes, under the token that began it, and what it announces."""

from dataclasses import replace
from uuid import uuid4

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db.models import F

from outbox import transitions
from outbox.models import Attempt, Intent
from outbox.outcomes import Broken, GivenBack, Phase, Reply, Void
from outbox.policy import Bury, Cancel, RetryAfter
from outbox.states import State
from tests.database.auth_steps import at_once
from tests.database.outbox_steps import (
    MINUTE,
    NOTHING,
    again,
    attempts_of,
    bury,
    closing,
    columns,
    deferred,
    finish,
    let_lease_run_out,
    locked_by_another,
    refused,
    reread,
    states,
    unavailable,
    unknown,
)
from tests.factories import begin_one, claim_of, make_intent

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)
WORKER = "host:1"


def test_a_delivered_mail_is_sent_and_its_attempt_recorded():
    begun = begin_one()

    assert transitions.close([finish(begun)], WORKER) == {begun.token}
    after = reread(begun)
    assert (after.state, after.reason, after.attempts, after.spent) == ("sent", "", 1, 1)
    assert (after.lease_token, after.lease_until, after.begun_at) == (None, None, None)
    assert Intent.objects.filter(closed_at=Now()).exists()
    attempt = Attempt.objects.get()
    assert (attempt.number, attempt.phase, attempt.outcome) == (1, "answered", "delivered")
    assert (attempt.code, attempt.enhanced, attempt.text) == (250, "2.0.0", "2.0.0 queued")
    assert attempt.worker == "host:1"
    assert attempt.started_at <= attempt.ended_at


@pytest.mark.parametrize("state", sorted(State))
def test_a_stale_token_closes_nothing(state):
    intent = make_intent(state)
    stale = replace(begin_one(), intent_id=intent.pk, token=uuid4())
    before = columns(intent), attempts_of(intent)

    assert transitions.close([finish(stale)], WORKER) == set()
    assert (columns(intent), attempts_of(intent)) == before


def test_a_worker_that_lost_its_lease_cannot_close_the_intent():
    stale = begin_one()
    transitions.close([again(stale)], WORKER)
    fresh = begin_one(reread(stale))

    assert transitions.close([bury(stale)], WORKER) == set()
    assert reread(fresh).state == "sending"
    assert transitions.close([finish(fresh)], WORKER) == {fresh.token}
    assert states() == ["sent"]


def test_a_claim_that_was_not_begun_cannot_be_closed():
    intent = make_intent(State.CLAIMED)
    begun = replace(begin_one(), intent_id=intent.pk, token=claim_of(intent).token)

    assert transitions.close([finish(begun)], WORKER) == set()
    assert reread(intent).state == "claimed"


def test_closing_twice_closes_once():
    begun = begin_one()
    transitions.close([bury(begun)], WORKER)
    before = columns(reread(begun)), attempts_of(begun)

    assert transitions.close([bury(begun)], WORKER) == set()
    assert (columns(reread(begun)), attempts_of(begun)) == before


VOID = Void(phase=Phase.CONNECT, reply=Reply(text="the request is over"))
BROKEN = Broken(phase=Phase.CONNECT, reply=Reply(text="UndefinedError: 'name' is undefined"))
BACK = GivenBack(phase=Phase.ENVELOPE, reply=Reply(text="not handed over"))


@pytest.mark.parametrize(
    ("outcome", "decision", "state", "spent", "maybe_sent"),
    [
        (deferred(), RetryAfter(MINUTE, "later"), "pending", 3, False),
        (unavailable(), RetryAfter(NOTHING, "away", spends=False), "pending", 2, False),
        (unknown(), RetryAfter(MINUTE, "lost", maybe_sent=True), "pending", 3, True),
        (unknown(), Bury("outcome unknown: lost", maybe_sent=True), "dead", 3, True),
        (refused(), Bury("5.1.1 no such user"), "dead", 3, False),
        (BROKEN, Bury("UndefinedError: 'name' is undefined"), "dead", 3, False),
        (BACK, RetryAfter(NOTHING, "not handed over", spends=False), "pending", 2, False),
        (VOID, Cancel("the request is over"), "cancelled", 3, False),
    ],
    ids=["deferred", "unavailable", "unknown", "never twice", "refused", "broken", "given back", "void"],
)
def test_what_each_decision_does_to_the_row(outcome, decision, state, spent, maybe_sent):
    begun = begin_one(attempts=4, spent=2)
    transitions.close([closing(begun, outcome, decision)], WORKER)

    after = reread(begun)
    assert (after.state, after.attempts, after.spent, after.maybe_sent) == (state, 5, spent, maybe_sent)
    assert after.reason == decision.reason
    assert (after.closed_at is None) == (state == "pending")
    assert (after.lease_token, after.begun_at, after.data_begun) == (None, None, False)
    number, outcome_name, phase = attempts_of(begun)[-1]
    assert (number, phase) == (5, outcome.phase)
    assert Attempt.objects.get(number=5).text == outcome.reply.text
    assert outcome_name in {"deferred", "unavailable", "unknown", "refused", "broken", "given back", "void"}


@pytest.mark.parametrize(("wait", "due"), [(MINUTE, MINUTE), (NOTHING, -2 * MINUTE)])
def test_only_a_wait_moves_what_is_due(wait, due):
    begun = begin_one(due_in=-2 * MINUTE)
    transitions.close([again(begun, wait)], WORKER)

    assert Intent.objects.filter(due_at=Now() + due, scheduled_at=Now() - 2 * MINUTE).exists()


@pytest.mark.parametrize("close", [finish, bury], ids=["sent", "dead"])
def test_what_is_closed_keeps_the_time_it_was_due(close):
    begun = begin_one(due_in=-MINUTE)
    transitions.close([close(begun)], WORKER)

    assert Intent.objects.filter(due_at=Now() - MINUTE).exists()


def test_that_it_may_be_out_and_was_excused_is_never_forgotten():
    begun = begin_one(maybe_sent=True, excused=True)
    transitions.close([again(begun)], WORKER)

    after = reread(begun)
    assert (after.maybe_sent, after.excused) == (True, True)


def test_what_ended_by_itself_need_not_go_alone_again():
    begun = begin_one(alone=True)
    transitions.close([again(begun)], WORKER)

    assert reread(begun).alone is False


def test_closing_clears_the_note_that_data_began():
    begun = begin_one(repeatable=False)
    transitions.begin_data(begun.claim)
    transitions.close([closing(begun, unknown(), Bury("outcome unknown", maybe_sent=True))], WORKER)

    after = reread(begun)
    assert (after.state, after.data_begun, after.maybe_sent) == ("dead", False, True)


def test_many_are_closed_by_one_statement_each_its_own_way(django_assert_num_queries):
    sent, dead, later, stale = (begin_one() for _ in range(4))
    transitions.close([bury(stale)], "somebody else")

    with django_assert_num_queries(1):
        closed = transitions.close([finish(sent), bury(dead), again(later, MINUTE), finish(stale)], WORKER)

    assert closed == {sent.token, dead.token, later.token}
    assert [reread(each).state for each in (sent, dead, later, stale)] == ["sent", "dead", "pending", "dead"]
    assert Attempt.objects.filter(worker=WORKER).count() == 3


@own_transactions
def test_closing_passes_over_a_row_that_a_business_transaction_holds():
    held, free = begin_one(), begin_one()

    with locked_by_another(held):
        assert transitions.close([finish(held), finish(free)], WORKER) == {free.token}
        assert transitions.still_held([held.claim], State.SENDING) == [held.claim]
    assert transitions.close([finish(held)], WORKER) == {held.token}


@own_transactions
def test_of_those_who_close_the_same_attempt_one_succeeds(heard):
    begun = begin_one()
    at_once(4, lambda number: transitions.close([(finish, bury)[number % 2](begun)], WORKER))

    assert Attempt.objects.count() == 1
    assert len(heard.of("attempt_ended")) == 1


@own_transactions
def test_the_end_of_an_attempt_is_announced_with_what_followed(heard):
    begun = begin_one()
    transitions.close([again(begun, MINUTE)], WORKER)

    assert heard.of("attempt_ended") == [
        {
            "task_id": begun.task_id,
            "kind": "welcome",
            "number": 1,
            "outcome": "deferred",
            "phase": "envelope",
            "code": 452,
            "state": "pending",
            "seconds": None,
            "trace": {},
        }
    ]


def test_a_lease_that_ran_out_unnoticed_still_closes():
    begun = begin_one()
    let_lease_run_out(begun)

    assert transitions.close([finish(begun)], WORKER) == {begun.token}


def test_attempts_never_fall_and_spent_never_passes_them():
    intent = make_intent()
    for _ in range(3):
        begun = begin_one(reread(intent))
        transitions.close([again(begun, spends=False)], WORKER)

    assert Intent.objects.filter(attempts=3, spent=0).exists()
    assert not Intent.objects.filter(spent__gt=F("attempts")).exists()
    assert [number for number, _, _ in attempts_of(intent)] == [1, 2, 3]
