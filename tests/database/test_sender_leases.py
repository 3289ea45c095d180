"""How the sender keeps its leases, and what it does not send when it lost one."""

import time
from functools import partial

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db.models import F

from outbox import conf, rescuer, transitions
from outbox.models import Attempt, Intent
from tests.database.outbox_steps import (
    MINUTE,
    SECOND,
    Working,
    attempts_of,
    eventually,
    handed_over,
    locked_by_another,
    provider,
    reread,
    states,
)
from tests.factories import make_intent
from tests.smtp import Gate, Rule, Stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sound")]


# Leases


def test_the_holder_renews_the_leases_of_what_talks_and_what_waits(smtp, make_sender, outbox_settings):
    outbox_settings(LEASE=SECOND, LANES=1, SLICE=20 * SECOND)
    smtp.script.add(Rule(Stage.ANSWER, gate=(gate := Gate())))
    made, claims = handed_over(2, lease_for=SECOND)
    later_by_a_lease = max(intent.lease_until or intent.due_at for intent in made) + SECOND
    with Working(make_sender(), claims):
        gate.wait_arrived()
        eventually(lambda: Intent.objects.filter(lease_until__gt=later_by_a_lease).count() == 2)
        assert rescuer.rescue() == 0
        gate.release()

    assert states() == ["sent", "sent"]
    assert set(smtp.record.copies().values()) == {1}


def test_a_lane_whose_renewals_stopped_does_not_send_data(smtp, make_sender):
    smtp.script.add(Rule(Stage.RCPT, gate=(gate := Gate()), times=1))
    intent = make_intent(due_in=-MINUTE)
    sender = make_sender()

    with Working(sender, once=gate.arrived.is_set):
        gate.wait_arrived()
        [flight] = sender.lanes.flights.values()
        flight.renewed_at -= conf.outbox().fence.total_seconds()
        gate.release()

    after = reread(intent)
    assert (after.state, after.attempts, after.spent) == ("pending", 1, 0)
    assert after.reason == "not handed over: the lease could not be renewed in time"
    assert Intent.objects.filter(due_at=F("scheduled_at")).exists()
    assert smtp.record.said("DATA") == []


def wait_for_renewals(sender, count):
    for _ in range(count):
        eventually(partial(_renewed_since, sender, sender._renewed_at))


def _renewed_since(sender, last):
    return sender._renewed_at > last


def test_a_renewal_counts_from_when_it_was_sent(smtp, make_sender, outbox_settings, monkeypatch):
    outbox_settings(LEASE=SECOND)
    smtp.script.add(Rule(Stage.RCPT, gate=(gate := Gate()), times=1))
    renew, sent = transitions.renew, []

    def slowly(*args):
        sent.append(time.monotonic())
        time.sleep(0.05)
        return renew(*args)

    monkeypatch.setattr("outbox.sender.transitions.renew", slowly)
    intent = make_intent()
    sender = make_sender()

    with Working(sender):
        gate.wait_arrived()
        [flight] = sender.lanes.flights.values()
        begun = flight.renewed_at
        eventually(lambda: flight.renewed_at > begun + 1)  # longer than the fence since it was begun
        last = flight.renewed_at
        assert any(0 <= asked - last < 0.04 for asked in sent)
        gate.release()

    assert reread(intent).state == "sent"


def test_a_hold_that_passed_to_another_is_not_renewed_by_the_first(smtp, make_sender, outbox_settings):
    outbox_settings(LEASE=SECOND)
    smtp.script.add(Rule(Stage.RCPT, gate=(gate := Gate()), times=1))
    intent = make_intent(due_in=-MINUTE)
    sender = make_sender()

    with Working(sender, once=gate.arrived.is_set):
        gate.wait_arrived()
        [flight] = sender.lanes.flights.values()
        eventually(lost_and_rescued)
        wait_for_renewals(sender, 1)  # one may have been under way
        last = flight.renewed_at
        wait_for_renewals(sender, 3)
        assert flight.renewed_at == last
        gate.release()

    assert smtp.record.said("DATA") == []
    assert reread(intent).state == "pending"


def lost_and_rescued() -> int:
    """The holder renews meanwhile, and for ten seconds after PostgreSQL's start nothing is rescued."""
    Intent.objects.filter(lease_token__isnull=False).update(lease_until=Now() - SECOND)
    provider(swept_at=None)
    return rescuer.rescue()


def test_a_mail_rescued_from_a_holder_that_lives_is_a_copy_with_the_same_message_id(smtp, make_sender):
    smtp.script.add(Rule(Stage.ANSWER, gate=(gate := Gate()), times=1))
    intent = make_intent(due_in=-MINUTE)

    with Working(make_sender("first")):
        gate.wait_arrived()
        eventually(lost_and_rescued)
        make_sender("second").work()
        assert reread(intent).state == "sent"
        gate.release()

    assert smtp.record.copies() == {intent.message_id: 2}
    assert attempts_of(intent) == [(1, "delivered", "answered"), (2, "delivered", "answered")]
    assert list(Attempt.objects.order_by("number").values_list("worker", flat=True)) == ["first", "second"]


# What must not be repeated


def test_what_must_not_be_repeated_is_noted_before_data_and_not_sooner(smtp, make_sender):
    at_rcpt, at_data = Gate(), Gate()
    smtp.script.add(Rule(Stage.RCPT, gate=at_rcpt))
    smtp.script.add(Rule(Stage.DATA, gate=at_data))
    intent = make_intent(repeatable=False)

    with Working(make_sender()):
        at_rcpt.wait_arrived()
        assert reread(intent).data_begun is False
        at_rcpt.release()
        at_data.wait_arrived()
        assert reread(intent).data_begun is True
        at_data.release()

    after = reread(intent)
    assert (after.state, after.data_begun) == ("sent", False)


def test_what_may_be_repeated_needs_no_note(smtp, make_sender):
    smtp.script.add(Rule(Stage.DATA, gate=(gate := Gate())))
    intent = make_intent()

    with Working(make_sender()):
        gate.wait_arrived()
        assert reread(intent).data_begun is False
        gate.release()


def test_what_must_not_be_repeated_is_not_sent_when_the_note_cannot_be_made(smtp, make_sender):
    smtp.script.add(Rule(Stage.RCPT, gate=(gate := Gate()), times=1))
    intent = make_intent(repeatable=False, due_in=-MINUTE)

    with Working(make_sender(), once=gate.arrived.is_set):
        gate.wait_arrived()
        with locked_by_another(intent):
            gate.release()
            eventually(lambda: smtp.record.said("RSET"))

    after = reread(intent)
    assert (after.state, after.spent) == ("pending", 0)
    assert smtp.record.said("DATA") == []


def test_what_must_not_be_repeated_is_not_sent_after_its_lease_passed_on(smtp, make_sender):
    smtp.script.add(Rule(Stage.RCPT, gate=(gate := Gate()), times=1))
    intent = make_intent(repeatable=False, due_in=-MINUTE)

    with Working(make_sender(), once=gate.arrived.is_set):
        gate.wait_arrived()
        eventually(lost_and_rescued)
        gate.release()

    assert smtp.record.said("DATA") == []
    assert (reread(intent).state, reread(intent).maybe_sent) == ("pending", False)
