"""What the sender begins, in which order, and beside what."""

from threading import Event

import pytest
from django.db.models import F

from outbox.kinds import Priority
from outbox.models import Intent, Provider
from outbox.states import State
from tests.database.outbox_steps import (
    MINUTE,
    SECOND,
    Working,
    eventually,
    handed_over,
    in_state,
    recipients,
    reread,
)
from tests.factories import make_intent
from tests.smtp import Gate, Rule, Stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sound", "long_slice")]


# Alone


def test_what_goes_alone_is_begun_when_nothing_else_is_in_flight(smtp, make_sender):
    alone = Rule(Stage.ANSWER, recipient="^alone@", gate=(gate := Gate()))
    smtp.script.add(alone)
    make_intent(recipient="alone@example.com", alone=True, due_in=-MINUTE)
    for _ in range(4):
        make_intent()
    sender = make_sender()
    turn, turns = sender.turn, []

    def counted(**options):
        turns.append(True)
        return turn(**options)

    sender.turn = counted
    with Working(sender):
        gate.wait_arrived()
        late = make_intent(recipient="late@example.com")
        seen = len(turns)
        eventually(lambda: len(turns) > seen + 2)
        assert [flight.begun.recipient for flight in sender.lanes.flights.values()] == ["alone@example.com"]
        gate.release()

    assert recipients(smtp)[0] == "alone@example.com"
    assert reread(late).state == "sent"
    assert len(smtp.record.messages) == 6


def test_each_of_those_that_go_alone_goes_alone(smtp, make_sender):
    smtp.script.add(Rule(Stage.ANSWER, delay=0.02))
    for _ in range(5):
        make_intent(alone=True)
    make_sender().work()

    assert in_state(State.SENT) == 5
    assert smtp.record.max_parallel_connections == 1


def test_what_goes_alone_and_was_handed_over_is_not_starved_by_a_backlog(smtp, make_sender, outbox_settings):
    outbox_settings(LANES=4, SLICE=SECOND / 2)
    smtp.script.add(Rule(Stage.ANSWER, delay=0.05))
    [alone], claims = handed_over(alone=True)
    for _ in range(100):
        make_intent()
    make_sender().work(claims)

    assert reread(alone).state == "sent"
    assert 0 < in_state(State.PENDING) < 100


def test_what_goes_alone_is_not_starved_when_it_is_due_before_a_backlog(smtp, make_sender, outbox_settings):
    outbox_settings(LANES=4, SLICE=SECOND / 2)
    smtp.script.add(Rule(Stage.ANSWER, delay=0.05))
    alone = make_intent(alone=True, due_in=-MINUTE)
    for _ in range(100):
        make_intent()
    make_sender().work()

    assert reread(alone).state == "sent"


# Urgency


def test_the_most_urgent_go_first(smtp, make_sender, outbox_settings):
    outbox_settings(LANES=1)
    for name, priority in [("bulk", 2), ("normal", 1), ("high", 0)]:
        make_intent(recipient=f"{name}@example.com", priority=priority, due_in=-MINUTE)
    make_sender().work()

    assert recipients(smtp) == ["high@example.com", "normal@example.com", "bulk@example.com"]


def test_an_urgent_mail_that_becomes_due_meanwhile_is_next(smtp, make_sender, outbox_settings):
    outbox_settings(LANES=1)
    smtp.script.add(Rule(Stage.ANSWER, gate=(gate := Gate())))
    for _ in range(5):
        make_intent(priority=Priority.BULK)

    with Working(make_sender()):
        gate.wait_arrived()
        make_intent(priority=Priority.HIGH, recipient="code@example.com")
        gate.release()

    assert recipients(smtp)[1] == "code@example.com"


def test_urgent_claims_that_wait_in_the_broker_are_taken_over(smtp, make_sender, heard):
    [code], late_task = handed_over(priority=Priority.HIGH)
    [bulk], _ = handed_over(priority=Priority.BULK)
    make_sender().work()

    assert (reread(code).state, reread(bulk).state) == ("sent", "claimed")
    make_sender().work(late_task)
    assert smtp.record.copies() == {code.message_id: 1}
    assert heard.of("lease_lost") == [{"what": "begin", "intent_id": code.pk}]


# Lanes and slices


def test_no_more_mails_are_in_flight_than_there_are_lanes(smtp, make_sender, outbox_settings):
    outbox_settings(LANES=3)
    smtp.script.add(Rule(Stage.ANSWER, gate=(gate := Gate())))
    _, claims = handed_over(2)
    for _ in range(10):
        make_intent()

    with Working(make_sender(), claims):
        eventually(lambda: gate.arrivals == 3)
        assert in_state(State.SENDING) == 3
        gate.release()

    assert in_state(State.SENT) == 12
    assert smtp.record.max_parallel_connections == 3


def test_after_its_slice_a_sender_gives_back_what_it_did_not_begin(smtp, make_sender, outbox_settings):
    outbox_settings(LANES=1, SLICE=SECOND / 5)
    smtp.script.add(Rule(Stage.ANSWER, delay=0.15))
    made, claims = handed_over(6)
    begun = make_sender().work(claims)

    assert 1 <= begun <= 3
    assert (in_state(State.SENT), in_state(State.PENDING)) == (begun, 6 - begun)
    assert Intent.objects.filter(state="pending", attempts=0, due_at=F("scheduled_at")).count() == 6 - begun
    assert made


def test_a_sender_that_is_told_to_stop_finishes_what_is_in_flight_and_gives_back_the_rest(
    smtp, make_sender, outbox_settings
):
    outbox_settings(LANES=2)
    smtp.script.add(Rule(Stage.ANSWER, gate=(gate := Gate())))
    _, claims = handed_over(5)
    stop = Event()

    with Working(make_sender(), claims, once=stop.is_set):
        eventually(lambda: gate.arrivals == 2)
        stop.set()
        eventually(lambda: in_state(State.PENDING) == 3)
        gate.release()

    assert (in_state(State.SENT), in_state(State.PENDING)) == (2, 3)


def test_one_slow_mail_idles_nobody_after_the_slice(smtp, make_sender, outbox_settings):
    outbox_settings(LANES=2, SLICE=SECOND, TICK=SECOND / 5)
    smtp.script.add(Rule(Stage.ANSWER, recipient="^slow@", gate=(gate := Gate())))
    make_intent(recipient="slow@example.com", due_in=-MINUTE)

    with Working(make_sender()):
        gate.wait_arrived()
        eventually(lambda: Provider.objects.exclude(swept_at=None).exists())  # the slice is over
        later = make_intent(recipient="later@example.com")
        over = make_intent(due_in=MINUTE, expires_in=SECOND / 10)
        lost = make_intent(State.CLAIMED, lease_for=-SECOND)
        eventually(lambda: reread(later).state == "sent")
        Provider.objects.update(swept_at=None)
        eventually(lambda: reread(over).state == "expired")
        Provider.objects.update(swept_at=None)
        eventually(lambda: reread(lost).state == "sent")
        assert in_state(State.SENDING) == 1
        gate.release()

    assert in_state(State.SENT) == 3
