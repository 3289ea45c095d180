"""Recording how attempts ended: late ones, lost answers of a commit, and rows that the database refuses."""

from dataclasses import replace

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import DataError, transaction

from outbox import recording, transitions
from outbox.models import Attempt, Intent
from outbox.outcomes import Delivered, Phase, Reply
from outbox.policy import RetryPolicy
from outbox.recording import Ended
from outbox.states import LATE_DELIVERED
from tests.database.outbox_steps import (
    SECOND,
    again,
    attempts_of,
    bury,
    closing,
    columns,
    deferred,
    delivered,
    let_lease_run_out,
    locked_by_another,
    provider,
    refused,
    reread,
    states,
    unavailable,
    unknown,
)
from tests.factories import begin_one, make_intent

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)
WORKER = "host:1"


def record(*ended):
    with transaction.atomic():
        return recording.record([Ended(begun=begun, outcome=outcome) for begun, outcome in ended], WORKER)


# The policy is the kind's


@pytest.mark.parametrize(
    ("outcome", "state", "spent", "due_in"),
    [
        (delivered(), "sent", 1, None),
        (refused(), "dead", 1, None),
        (unavailable(), "pending", 0, (0, 0)),
        (deferred(), "pending", 1, (27, 33)),
        (unknown(), "pending", 1, (27, 33)),
    ],
    ids=["delivered", "refused", "unavailable", "deferred", "unknown"],
)
def test_what_follows_is_decided_by_the_policy_of_the_kind(outcome, state, spent, due_in, change_kind):
    change_kind("welcome", retries=RetryPolicy(max_retries=1, base=30 * SECOND, factor=2))
    begun = begin_one()

    assert record((begun, outcome)).tokens == {begun.token}
    after = reread(begun)
    assert (after.state, after.spent) == (state, spent)
    if due_in:
        waits = {"due_at__gte": Now() + due_in[0] * SECOND, "due_at__lte": Now() + due_in[1] * SECOND}
        assert Intent.objects.filter(**waits).exists()


def test_after_the_last_retry_it_is_dead(change_kind):
    change_kind("welcome", retries=RetryPolicy(max_retries=2))
    begun = begin_one(attempts=6, spent=2)
    record((begun, deferred()))

    after = reread(begun)
    assert (after.state, after.attempts, after.spent) == ("dead", 7, 3)
    assert after.reason == "gave up after 3 tries: 4.2.2 mailbox full"


def test_a_mail_that_must_not_be_repeated_is_dead_with_its_outcome_unknown():
    begun = begin_one(repeatable=False)
    record((begun, unknown()))

    after = reread(begun)
    assert (after.state, after.maybe_sent) == ("dead", True)
    assert after.reason == "outcome unknown: Connection reset by peer"


def test_an_intent_of_a_kind_that_is_unknown_here_follows_the_global_policy(outbox_settings):
    outbox_settings(RETRIES=0)
    begun = begin_one(kind="of_the_next_release")
    record((begun, deferred()))

    assert states() == ["dead"]


def test_a_loss_while_starting_slowly_is_excused_once():
    provider(window=1)
    begun = begin_one()
    record((begun, refused()))

    after = reread(begun)
    assert (after.state, after.spent, after.excused) == ("pending", 0, True)
    assert Intent.objects.filter(due_at=Now() + 60 * SECOND).exists()
    assert attempts_of(begun) == [(1, "unavailable", "envelope")]

    intent = reread(begun)
    Intent.objects.update(due_at=Now())
    second = begin_one(intent)
    record((second, refused()))
    assert states() == ["dead"]


# A Delivered that comes late


def lost(**columns):
    """An attempt whose lease ran out and was given back for another try; and the same attempt."""
    begun = begin_one(**columns)
    transitions.close([closing(begun, unknown(), again(begun).decision, alone=True)], "rescuer")
    return begun


@pytest.mark.parametrize("state", sorted(LATE_DELIVERED))
def test_a_late_delivered_of_the_newest_attempt_closes_the_intent_from_whatever_state(state):
    begun = begin_one()
    other = make_intent(state)
    changes = {name: getattr(other, name) for name in ("state", "lease_token", "lease_until", "closed_at")}
    transitions.close([closing(begun, unknown(), again(begun).decision)], "rescuer")
    Intent.objects.filter(pk=begun.intent_id).update(**changes)

    assert record((begun, delivered())).tokens == {begun.token}
    after = reread(begun)
    assert (after.state, after.attempts) == ("sent", 1)
    assert (after.lease_token, after.lease_until) == (None, None)
    assert after.closed_at is not None
    attempt = Attempt.objects.get(intent=after)
    assert (attempt.outcome, attempt.phase, attempt.code, attempt.worker) == ("delivered", "answered", 250, WORKER)


def test_a_late_delivered_does_not_touch_what_is_expired():
    begun = begin_one()
    transitions.close([again(begun)], "rescuer")
    Intent.objects.update(state="expired", closed_at=Now())
    record((begun, delivered()))

    assert states() == ["expired"]


def test_a_late_delivered_of_an_older_attempt_is_kept_as_a_copy():
    older = lost()
    newer = begin_one(reread(older))
    before = columns(reread(newer))

    assert record((older, delivered())).tokens == {older.token}
    assert columns(reread(newer)) == before
    assert attempts_of(newer) == [(1, "delivered", "answered")]

    assert record((newer, delivered())).tokens == {newer.token}
    assert states() == ["sent"]
    assert attempts_of(newer) == [(1, "delivered", "answered"), (2, "delivered", "answered")]


def test_a_late_delivered_of_an_older_attempt_leaves_a_later_verdict():
    older = lost()
    newer = begin_one(reread(older))
    record((newer, refused()))
    record((older, delivered()))

    assert states() == ["dead"]
    assert attempts_of(newer) == [(1, "delivered", "answered"), (2, "refused", "envelope")]


@own_transactions
@pytest.mark.parametrize("outcome", [deferred(), refused(), unknown(), unavailable()], ids=lambda o: type(o).__name__)
def test_any_other_outcome_that_comes_late_does_nothing_and_says_so(outcome, heard):
    begun = lost()
    before = columns(reread(begun)), attempts_of(begun)

    assert record((begun, outcome)).tokens == {begun.token}
    assert (columns(reread(begun)), attempts_of(begun)) == before
    assert heard.of("lease_lost") == [{"what": "close", "intent_id": begun.intent_id}]


@own_transactions
def test_a_late_delivered_is_announced_with_whether_it_closed_the_intent(heard):
    begun = lost()
    record((begun, delivered()))

    assert heard.of("delivered_late") == [{"task_id": begun.task_id, "number": 1, "closed": True, "trace": {}}]


@own_transactions
def test_a_late_delivered_waits_for_no_business_transaction_and_is_tried_again():
    begun = lost()

    with locked_by_another(begun):
        assert record((begun, delivered())).tokens == frozenset()
    assert states() == ["pending"]
    assert record((begun, delivered())).tokens == {begun.token}
    assert states() == ["sent"]


def test_a_delivered_whose_intent_is_gone_is_settled_or_its_sender_would_try_for_ever():
    begun = lost()
    Attempt.objects.all().delete()
    Intent.objects.all().delete()

    assert record((begun, delivered())).tokens == {begun.token}


@own_transactions
def test_an_end_that_somebody_locks_just_now_is_not_settled():
    held, free = begin_one(), begin_one()

    with locked_by_another(held):
        assert record((held, refused()), (free, delivered())).tokens == {free.token}
    assert record((held, refused())).tokens == {held.token}


def test_only_a_delivered_may_come_late():
    begun = lost()

    with pytest.raises(TypeError):
        transitions.delivered_late(bury(begun), WORKER)


# The answer of a commit was lost: the same is recorded again


@own_transactions
@pytest.mark.parametrize(
    ("outcome", "state"),
    [(delivered(), "sent"), (refused(), "dead"), (deferred(), "pending"), (unavailable(), "pending")],
    ids=["delivered", "refused", "deferred", "unavailable"],
)
def test_recording_again_what_was_recorded_changes_nothing(outcome, state):
    begun = begin_one()
    record((begun, outcome))
    before = columns(reread(begun)), attempts_of(begun)

    assert record((begun, outcome)).tokens == {begun.token}
    assert (columns(reread(begun)), attempts_of(begun)) == before
    assert states() == [state]


def test_a_lease_that_ran_out_is_no_loss_while_nobody_rescued_it():
    begun = begin_one()
    let_lease_run_out(begun)
    record((begun, refused()))

    assert states() == ["dead"]


# Rows that the database refuses


def unstorable(outcome, text):
    return replace(outcome, reply=Reply(text=text, code=outcome.reply.code))


@own_transactions
@pytest.mark.parametrize(
    ("outcome", "state"),
    [(delivered(), "sent"), (refused(), "dead"), (deferred(), "pending")],
    ids=lambda each: str(each)[:9],
)
@pytest.mark.parametrize("text", ["NUL: \0", "half a letter: \ud800"], ids=["nul", "surrogate"])
def test_words_that_cannot_be_stored_spoil_no_other_row_and_the_outcome_stays(outcome, state, text):
    good, bad = begin_one(), begin_one()
    ended = [Ended(begun=bad, outcome=unstorable(outcome, text)), Ended(begun=good, outcome=delivered())]

    with pytest.raises((ValueError, DataError)), transaction.atomic():
        recording.record(ended, WORKER)
    recorded = recording.record_one_by_one(ended, WORKER)

    assert recorded.tokens == {good.token, bad.token}
    assert (reread(good).state, reread(bad).state) == ("sent", state)
    attempt = Attempt.objects.get(intent_id=bad.intent_id)
    assert (attempt.text, attempt.code) == ("the provider's words could not be stored", outcome.reply.code)


def test_nothing_ended_is_nothing_asked(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert recording.record([], WORKER).tokens == frozenset()


def test_a_round_of_deliveries_costs_two_statements_and_a_stamp(django_assert_num_queries):
    provider()
    ended = [Ended(begun=begin_one(), outcome=delivered()) for _ in range(8)]

    with django_assert_num_queries(3):  # the gate, its stamp, the close
        recording.record(ended, WORKER)


def test_what_the_provider_says_is_kept_word_for_word():
    begun = begin_one()
    record((begun, Delivered(phase=Phase.ANSWERED, reply=Reply(text="2.1.0 أهلا 'ok' %s", code=250, enhanced="2.1.0"))))

    assert Attempt.objects.get().text == "2.1.0 أهلا 'ok' %s"
