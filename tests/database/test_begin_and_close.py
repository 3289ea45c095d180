"""One attempt from begin to close: guarded by the token, counted, and recorded."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db.models import F

from outbox import transitions
from outbox.kinds import Priority
from outbox.models import Attempt, Intent
from outbox.outcomes import Broken, GivenBack, Phase, Reply, Void
from outbox.policy import Bury, Cancel, RetryAfter
from outbox.states import HELD, State
from outbox.transitions import Claim
from tests.database.auth_steps import at_once
from tests.database.outbox_steps import (
    MINUTE,
    NOTHING,
    SECOND,
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
from tests.factories import LEASE, begin_one, claim_of, make_intent

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)
WORKER = "host:1"


def with_a_stale_token(intent):
    return Claim(intent.pk, uuid4())


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


# Close


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
