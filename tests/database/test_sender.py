"""The sender's slice: what it begins, in which order, beside what, and what becomes of the rest."""

import os
import time
from datetime import timedelta
from functools import partial
from threading import Event

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.db.models import F

from outbox import binding, conf, doctor, rescuer, tasks, transitions
from outbox.kinds import Bound, Lacking, Over, Priority
from outbox.models import Attempt, Intent, Provider
from outbox.states import State
from outbox.transport import SmtpTransport
from tests.database.outbox_steps import (
    MINUTE,
    SECOND,
    Working,
    attempts_of,
    columns,
    eventually,
    in_state,
    locked_by_another,
    provider,
    reread,
    states,
)
from tests.factories import claim_of, make_intent
from tests.smtp import Gate, Reply, Rule, Stage

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _sound():
    """Whatever a test did, the tables must be sound after it."""
    yield
    assert doctor.examine() == []


def handed_over(count=1, **columns):
    """Mails that a dispatcher claimed, and the claims as a task gets them."""
    made = [make_intent(State.CLAIMED, **columns) for _ in range(count)]
    return made, [claim_of(intent) for intent in made]


def recipients(smtp):
    return [message.recipients[0] for message in smtp.record.messages]


# What is sent


def test_what_was_handed_over_is_sent_and_recorded(smtp, make_sender):
    [intent], claims = handed_over()

    assert make_sender("host:1").work(claims) == 1
    after = reread(intent)
    assert (after.state, after.attempts) == ("sent", 1)
    assert smtp.record.copies() == {intent.message_id: 1}
    assert attempts_of(intent) == [(1, "delivered", "answered")]
    assert Attempt.objects.get().worker == "host:1"


def test_the_sender_goes_on_with_what_else_is_due(smtp, make_sender):
    _, claims = handed_over()
    for _ in range(20):
        make_intent()
    make_intent(due_in=MINUTE)

    assert make_sender().work(claims) == 21
    assert len(smtp.record.messages) == 21
    assert states()[-1] == "pending"


def test_nothing_due_is_nothing_done(smtp, make_sender):
    assert make_sender().work() == 0
    assert smtp.record.connections == []


def test_a_task_with_an_old_token_sends_nothing_and_says_so(smtp, make_sender, heard, monkeypatch):
    [intent], _ = handed_over(due_in=-MINUTE)
    before = columns(intent)
    sender = make_sender()
    monkeypatch.setattr(tasks, "sender_of", lambda _: sender)
    old_token = "6f1f6f0e-6d0b-4f0e-8f52-0d6f4b3a7c11"

    tasks.send([[intent.pk, old_token]])

    assert columns(intent) == before
    assert smtp.record.connections == []
    assert heard.of("lease_lost") == [{"what": "begin", "intent_id": intent.pk}]


def test_a_task_that_is_delivered_twice_sends_once(smtp, make_sender, heard):
    [intent], claims = handed_over()
    make_sender().work(claims)
    make_sender().work(claims)

    assert smtp.record.copies() == {intent.message_id: 1}
    assert len(heard.of("lease_lost")) == 1


def test_senders_at_once_send_each_mail_once(smtp, make_sender):
    for _ in range(60):
        make_intent()

    with Working(make_sender()), Working(make_sender()), Working(make_sender()):
        pass

    assert len(smtp.record.messages) == 60
    assert set(smtp.record.copies().values()) == {1}
    assert in_state(State.SENT) == 60


def test_every_attempt_carries_the_same_message_id(smtp, make_sender):
    smtp.script.add(Rule(Stage.ANSWER, Reply(450, "4.7.1 greylisted"), first=1))
    intent = make_intent()
    make_sender().work()
    assert states() == ["pending"]
    Intent.objects.update(due_at=Now())
    make_sender().work()

    assert states() == ["sent"]
    assert [message.message_id for message in smtp.record.received] == [intent.message_id] * 2
    assert attempts_of(intent) == [(1, "deferred", "answered"), (2, "delivered", "answered")]


# One bad row spoils no other


def test_a_mail_that_cannot_be_rendered_is_dead_and_stops_no_other(smtp, make_sender, change_kind):
    change_kind("account_exists", bind=lambda mails: [Bound(context={"nmae": "Layla"})] * len(mails))
    bad = make_intent(kind="account_exists", context={}, due_in=-SECOND)
    good = [make_intent() for _ in range(3)]
    make_sender().work()

    after = reread(bad)
    assert (after.state, after.spent) == ("dead", 1)
    assert after.reason == "UndefinedError: 'name' is undefined"
    assert attempts_of(bad) == [(1, "broken", "connect")]
    assert {reread(intent).state for intent in good} == {"sent"}


def test_a_refused_mail_stops_no_other_and_its_reply_is_kept_clean(smtp, make_sender):
    smtp.script.add(Rule(Stage.RCPT, Reply.of_bytes(550, b"5.1.1 no \x00such\xff user\nat all"), recipient="^bad@"))
    bad = make_intent(recipient="bad@example.com")
    good = [make_intent() for _ in range(3)]
    make_sender().work()

    attempt = Attempt.objects.get(intent=bad)
    assert (attempt.code, attempt.enhanced, attempt.outcome) == (550, "5.1.1", "refused")
    assert "\0" not in attempt.text
    assert attempt.text.startswith("5.1.1 no such")
    assert reread(bad).state == "dead"
    assert {reread(intent).state for intent in good} == {"sent"}


@pytest.mark.parametrize("words", ["half\0", "half\ud800"], ids=["nul", "surrogate"])
def test_words_that_cannot_be_stored_spoil_no_other_row(words, make_sender, smtp, heard):
    class Babbling:
        """A transport whose provider's words no table can hold."""

        is_connected = False

        def __init__(self):
            self._real = SmtpTransport()

        def deliver(self, mail, permit):
            outcome = self._real.deliver(mail, permit)
            if mail.recipient == "bad@example.com":
                object.__setattr__(outcome.reply, "text", words)
            return outcome

        def close(self):
            self._real.close()

    bad = make_intent(recipient="bad@example.com")
    good = [make_intent() for _ in range(3)]
    make_sender(build=Babbling).work()

    assert states() == ["sent"] * 4
    assert Attempt.objects.get(intent=bad).text == "the provider's words could not be stored"
    assert {Attempt.objects.get(intent=intent).text for intent in good} != {"the provider's words could not be stored"}
    assert heard.of("broke")


def test_a_bug_in_the_transport_ends_that_one_mail(make_sender, smtp):
    class Buggy:
        is_connected = False

        def deliver(self, mail, permit):
            raise ZeroDivisionError("division by zero")

        def close(self):
            pass

    intent = make_intent()
    make_sender(build=Buggy).work()

    assert states() == ["dead"]
    assert reread(intent).reason == "ZeroDivisionError: division by zero"


def test_an_unknown_kind_is_given_back_for_15_seconds_and_broken_after_an_hour(smtp, make_sender):
    young = make_intent(kind="of_the_next_release")
    # asked for nearly an hour, each 15 s
    old = make_intent(kind="of_the_next_release", due_in=-HOUR - SECOND, attempts=200, spent=0)
    known = make_intent()
    make_sender().work()

    after = reread(young)
    assert (after.state, after.attempts, after.spent) == ("pending", 1, 0)
    due = {"due_at__gt": Now() + 13 * SECOND, "due_at__lte": Now() + 15 * SECOND}
    assert Intent.objects.filter(pk=young.pk, **due).exists()
    assert reread(old).state == "dead"
    assert reread(known).state == "sent"


def test_what_its_binder_answers_decides(smtp, make_sender, change_kind):
    def bind(mails):
        if any(mail.recipient.startswith("raises") for mail in mails):
            raise ZeroDivisionError
        answers = {"over": Over("the request is over"), "lacking": Lacking("the key"), "fine": Bound(context={})}
        return [answers[mail.recipient.partition("@")[0]] for mail in mails]

    change_kind("welcome", bind=bind)
    made = {name: make_intent(recipient=f"{name}@example.com") for name in ("over", "lacking", "raises", "fine")}
    make_sender().work()

    assert {name: reread(intent).state for name, intent in made.items()} == {
        "over": "cancelled",
        "lacking": "pending",
        "raises": "dead",
        "fine": "sent",
    }
    assert reread(made["over"]).reason == "the request is over"
    assert reread(made["lacking"]).spent == 0
    assert recipients(smtp) == ["fine@example.com"]


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
    outbox_settings(LANES=2, SLICE=SECOND / 5, TICK=SECOND / 5)
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
        Intent.objects.update(lease_until=Now() - SECOND)
        assert rescuer.rescue() == 1
        wait_for_renewals(sender, 1)  # one may have been under way
        last = flight.renewed_at
        wait_for_renewals(sender, 3)
        assert flight.renewed_at == last
        gate.release()

    assert smtp.record.said("DATA") == []
    assert reread(intent).state == "pending"


def lost_and_rescued() -> int:
    """The holder renews meanwhile, and for ten seconds after PostgreSQL's start nothing is rescued."""
    Intent.objects.update(lease_until=Now() - SECOND)
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


# Breaker, pause and limits


@pytest.mark.parametrize("columns_", [{"opened_at": -SECOND, "probe_at": MINUTE}, {"paused_at": -SECOND}])
def test_what_was_handed_over_is_given_back_at_once_at_an_open_breaker_or_a_pause(
    columns_, smtp, make_sender, outbox_settings
):
    outbox_settings(SLICE=20 * SECOND)
    provider(**columns_)
    made, claims = handed_over(3)
    make_intent()
    began = time.monotonic()

    assert make_sender().work(claims) == 0
    assert time.monotonic() - began < 10
    assert states() == ["pending"] * 4
    assert {intent.due_at for intent in made} == {reread(intent).due_at for intent in made}
    assert smtp.record.connections == []


def test_while_starting_slowly_no_more_are_begun_than_the_window_holds(smtp, make_sender):
    provider(window=2)
    smtp.script.add(Rule(Stage.ANSWER, gate=(gate := Gate())))
    _, claims = handed_over(5)
    stop = Event()

    with Working(make_sender(), claims, once=stop.is_set):
        eventually(lambda: gate.arrivals == 2)
        assert in_state(State.SENDING) == 2
        gate.release()

    assert in_state(State.SENT) == 5
    assert Provider.objects.get().window == 4


def test_a_provider_that_is_away_costs_nobody_a_try_and_dispatch_stops(smtp, make_sender):
    smtp.stop()
    _, claims = handed_over(3)
    for _ in range(10):
        make_intent()
    begun = make_sender().work(claims)

    assert 1 <= begun <= 8
    assert Provider.objects.get().opened_at is not None
    assert states() == ["pending"] * 13
    assert not Intent.objects.filter(spent__gt=0).exists()
    assert make_sender().work() == 0


def test_a_limit_on_connections_lowers_the_lanes_and_the_breaker_stays_closed(smtp, make_sender, heard):
    smtp.script.add(Rule(Stage.CONNECT, Reply(421, "4.7.0 too many connections"), parallel_above=3))
    smtp.script.add(Rule(Stage.ANSWER, delay=0.01))
    provider(delivered_at=-SECOND)
    for _ in range(60):
        make_intent()
    sender = make_sender()
    eventually(lambda: sender.work() == 0 and in_state(State.PENDING) == 0)

    assert in_state(State.SENT) == 60
    assert heard.of("breaker_opened") == []
    assert {facts["lanes"] for facts in heard.of("lanes_lowered")} <= {4, 2, 1}
    assert heard.of("lanes_lowered")
    assert not Intent.objects.exclude(spent=1).exists()


def test_the_rate_limit_holds_back_what_is_claimed_and_not_what_was(smtp, make_sender, outbox_settings):
    outbox_settings(RATE=0.01)
    _, claims = handed_over(3)
    for _ in range(20):
        make_intent()
    begun = make_sender().work(claims)

    assert begun == 4
    assert len(smtp.record.messages) == 4


# What is told


def test_an_end_is_told_when_the_free_lane_has_its_next_mail(smtp, make_sender, outbox_settings, heard, monkeypatch):
    outbox_settings(LANES=1)
    provider()
    for _ in range(3):
        make_intent()
    sender = make_sender()
    start, told = sender.lanes.start, []

    def started(flight):
        told.append(len(heard.of("attempt_ended")))
        start(flight)

    monkeypatch.setattr(sender.lanes, "start", started)
    sender.work()

    assert told == [0, 0, 1]
    assert len(heard.of("attempt_ended")) == 3


def test_an_end_is_told_also_when_the_next_mail_cannot_be_bound(smtp, make_sender, outbox_settings, heard, monkeypatch):
    outbox_settings(LANES=1)
    provider()
    make_intent()
    make_intent()
    bind = binding.bind

    def bound_once(begun):
        monkeypatch.setattr(binding, "bind", broken)
        return bind(begun)

    def broken(_begun):
        raise ZeroDivisionError

    monkeypatch.setattr(binding, "bind", bound_once)
    with pytest.raises(ZeroDivisionError):
        make_sender().work()

    assert len(heard.of("attempt_ended")) == 1


# Statements


def test_a_turn_costs_a_handful_of_statements(smtp, make_sender, django_assert_max_num_queries):
    provider()
    for _ in range(8):
        make_intent()
    sender = make_sender()

    with django_assert_max_num_queries(7):  # BEGIN, gate, take over, claim, gate, begin, COMMIT
        assert sender.turn() == 8
    eventually(lambda: not transitions.rescue_claimed(SECOND, 1))
    sender.work()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not tell")
def test_a_process_with_a_backlog_holds_its_threads_together_for_the_slice_only(smtp, make_sender, monkeypatch):
    before, held = os.sched_getaffinity(0), []
    for _ in range(20):
        make_intent()
    sender = make_sender()
    hold = sender._cpu.hold

    def held_too(threads):
        held.append(threads)
        hold(threads)

    monkeypatch.setattr(sender._cpu, "hold", held_too)

    assert sender.work() == 20
    assert len(held[0]) == len(sender.lanes.thread_ids) == 8
    assert os.sched_getaffinity(0) == before
