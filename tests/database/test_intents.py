"""What people do to intents: cancel, replay and resend."""

from threading import Event

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db import transaction

from outbox import intents, kinds, transitions
from outbox.errors import BadContext, NotAllowed, UnknownKind
from outbox.kinds import Bound, Over
from outbox.models import Intent
from outbox.states import CLOSED, OPEN, State
from tests.database.auth_steps import at_once
from tests.database.outbox_steps import (
    MINUTE,
    NOTHING,
    attempts_of,
    columns,
    eventually,
    locked_by_another,
    reread,
    somebody_waits,
    states,
)
from tests.factories import begin_one, claim_of, make_intent

pytestmark = pytest.mark.django_db
own_transactions = pytest.mark.django_db(transaction=True)


# Cancel


@pytest.mark.parametrize("state", [State.PENDING, State.CLAIMED])
def test_a_mail_that_is_not_under_way_can_be_cancelled(state):
    intent = make_intent(state)
    intents.cancel(intent, reason="ordered twice", actor="admin@example.com")

    after = reread(intent)
    assert (after.state, after.reason, after.actor) == ("cancelled", "ordered twice", "admin@example.com")
    assert (after.lease_token, after.lease_until) == (None, None)
    assert Intent.objects.filter(closed_at=Now()).exists()


@pytest.mark.parametrize("state", sorted(set(State) - {State.PENDING, State.CLAIMED}))
def test_a_mail_that_is_under_way_or_closed_cannot_be_cancelled(state):
    intent = make_intent(state)
    before = columns(intent)

    with pytest.raises(NotAllowed):
        intents.cancel(intent, reason="too late")
    assert columns(intent) == before


def test_a_claim_that_was_cancelled_cannot_be_begun():
    intent = make_intent(State.CLAIMED)
    intents.cancel(intent, reason="ordered twice")

    assert transitions.begin([claim_of(intent)], MINUTE) == []


def test_a_newer_mail_cancels_the_older_unsent_ones_of_its_kind_and_address():
    kind = kinds.get("welcome")
    to = "layla@example.com"
    old = [make_intent(state, recipient=to) for state in (State.PENDING, State.CLAIMED)]
    kept = [
        make_intent(State.SENDING, recipient=to),
        make_intent(State.SENT, recipient=to),
        make_intent(recipient=to, kind="password_changed"),
        make_intent(recipient="omar@example.com"),
    ]
    before = [columns(intent) for intent in kept]

    assert intents.cancel_superseded(kind, "Layla@EXAMPLE.com") == 2
    assert {reread(intent).state for intent in old} == {"cancelled"}
    assert {reread(intent).reason for intent in old} == {"a newer one followed"}
    assert [columns(intent) for intent in kept] == before
    assert intents.cancel_superseded(kind, to) == 0


@own_transactions
def test_cancelling_waits_for_a_row_that_another_transaction_holds():
    intent = make_intent()

    locked = Event()

    def cancel():
        assert locked.wait(10)
        intents.cancel(intent, reason="ordered twice")

    def let_go():
        with locked_by_another(intent):
            locked.set()
            eventually(somebody_waits)

    at_once(2, lambda number: (cancel, let_go)[number]())

    assert states() == ["cancelled"]


@own_transactions
def test_what_was_cancelled_in_a_transaction_that_fails_is_still_there(heard):
    intent = make_intent()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        _cancel_and_fail(intent)

    assert states() == ["pending"]
    assert heard == []


def _cancel_and_fail(intent):
    intents.cancel(intent, reason="ordered twice")
    raise ZeroDivisionError


# Replay


def test_a_dead_letter_is_due_again_now_with_a_fresh_count_of_tries():
    intent = make_intent(State.DEAD, attempts=4, due_in=-MINUTE, alone=True, maybe_sent=True)
    replayed = intents.replay([intent.pk], actor="admin@example.com", reason="mailbox was full")

    after = reread(intent)
    assert (replayed.replayed, replayed.skipped) == (1, {})
    assert (after.state, after.attempts, after.spent, after.closed_at) == ("pending", 4, 0, None)
    assert (after.actor, after.reason) == ("admin@example.com", "mailbox was full")
    assert (after.alone, after.maybe_sent) == (False, True)
    assert Intent.objects.filter(due_at=Now(), scheduled_at=Now()).exists()


def test_the_history_of_a_dead_letter_survives_its_replay():
    intent = make_intent(State.DEAD, attempts=2)
    intents.replay([intent.pk], actor="admin")
    begun = begin_one(reread(intent))

    assert begun.number == 3
    assert attempts_of(intent) == [(1, "deferred", "envelope"), (2, "refused", "envelope")]


def test_what_cannot_be_replayed_is_skipped_and_counted_by_reason():
    good = make_intent(State.DEAD)
    make_intent(State.PENDING, dedupe_key="order 7")
    over = [make_intent(State.DEAD, expires_in=NOTHING) for _ in range(2)]
    taken = make_intent(State.DEAD, dedupe_key="order 7")
    others = [make_intent(state) for state in sorted(set(State) - {State.DEAD})]
    skipped = [*over, taken, *others]
    before = [columns(intent) for intent in skipped]

    replayed = intents.replay([intent.pk for intent in (good, *skipped)], actor="admin")

    assert replayed.replayed == 1
    assert replayed.skipped == {"past its lifetime": 2, "its dedupe key is taken": 1, "not dead": 6}
    assert [columns(intent) for intent in skipped] == before
    assert reread(good).state == "pending"


def test_of_dead_letters_that_share_a_key_one_is_replayed():
    made = [make_intent(State.DEAD, dedupe_key="order 7") for _ in range(3)]
    other = make_intent(State.DEAD)

    replayed = intents.replay([intent.pk for intent in (*made, other)], actor="admin")

    assert (replayed.replayed, replayed.skipped) == (2, {"its dedupe key is taken": 2})
    assert sorted(states()) == ["dead", "dead", "pending", "pending"]
    assert reread(other).state == "pending"


def test_what_a_dead_letter_was_about_is_asked_before_it_is_replayed(change_kind):
    def bind(mails):
        return [Over("the request is over") if mail.recipient.startswith("o") else Bound(context={}) for mail in mails]

    change_kind("welcome", bind=bind)
    over = [make_intent(State.DEAD, recipient=f"o{number}@example.com") for number in range(2)]
    live = make_intent(State.DEAD, recipient="live@example.com")
    sample = make_intent(State.DEAD, recipient="o@example.com", is_sample=True)

    replayed = intents.replay([intent.pk for intent in (*over, live, sample)], actor="admin")

    assert (replayed.replayed, replayed.skipped) == (2, {"the request is over": 2})
    assert states() == ["dead", "dead", "pending", "pending"]


def test_a_binder_that_fails_keeps_nothing_from_being_replayed(change_kind):
    change_kind("welcome", bind=lambda _: 1 / 0)
    intent = make_intent(State.DEAD)

    assert intents.replay([intent.pk], actor="admin").replayed == 1
    assert states() == ["pending"]


def test_a_kind_that_is_unknown_here_can_be_replayed():
    intent = make_intent(State.DEAD, kind="of_the_next_release")

    assert intents.replay([intent.pk], actor="admin").replayed == 1


def test_replaying_nothing_is_no_mistake():
    assert intents.replay([], actor="admin") == intents.Replayed()


@own_transactions
def test_of_those_who_replay_the_same_letter_one_does(heard):
    intent = make_intent(State.DEAD)

    found = at_once(3, lambda _: intents.replay([intent.pk], actor="admin"))

    assert sorted(each.replayed for each in found) == [0, 0, 1]
    assert [facts["intents"] for facts in heard.of("replayed")] == [1]


# Resend


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_a_closed_mail_is_resent_as_a_linked_copy(state):
    original = make_intent(state, owner="7", language="ar", dedupe_key="order 7", due_in=-MINUTE, expires_in=-MINUTE)
    before = columns(original)
    copy = intents.resend(original, actor="admin@example.com", reason="lost in spam")

    after = reread(copy)
    assert columns(original) == before
    assert (after.state, after.attempts, after.resent_from_id) == ("pending", 0, original.pk)
    assert copy.resent_from_id == original.pk
    assert (after.actor, after.reason) == ("admin@example.com", "resent: lost in spam")
    assert (after.kind, after.recipient, after.language) == ("welcome", original.recipient, "ar")
    assert (after.context, after.owner) == (original.context, "7")
    assert after.task_id != original.task_id
    assert after.message_id == f"<{after.task_id.hex}@localhost>"
    assert (after.dedupe_key, after.due_at) == (None, after.created_at)
    assert after.expires_at > after.created_at


@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_mail_that_is_still_under_way_is_not_resent(state):
    intent = make_intent(state)

    with pytest.raises(NotAllowed):
        intents.resend(intent, actor="admin")
    assert Intent.objects.count() == 1


def test_the_copy_of_a_sample_is_a_sample():
    original = make_intent(State.SENT, kind="reset_code", context={"request": 1}, is_sample=True)

    assert reread(intents.resend(original, actor="admin")).is_sample is True


@pytest.mark.parametrize(
    ("columns_", "error"), [({"kind": "gone"}, UnknownKind), ({"context": {}}, BadContext)], ids=["kind", "context"]
)
def test_what_can_no_longer_be_built_is_not_resent(columns_, error):
    original = make_intent(State.SENT, **columns_)

    with pytest.raises(error):
        intents.resend(original, actor="admin")
    assert Intent.objects.count() == 1
