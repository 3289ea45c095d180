"""The sender's slice: what it sends, what one bad row spoils, and what is told."""

import os
from datetime import timedelta

import pytest
from django.contrib.postgres.functions import TransactionNow as Now

from outbox import binding, tasks, transitions
from outbox.kinds import Bound, Lacking, Over
from outbox.models import Attempt, Intent
from outbox.states import State
from outbox.transport import SmtpTransport
from tests.database.outbox_steps import (
    MINUTE,
    SECOND,
    Working,
    attempts_of,
    columns,
    eventually,
    handed_over,
    in_state,
    provider,
    recipients,
    reread,
    states,
)
from tests.factories import make_intent
from tests.smtp import Reply, Rule, Stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sound", "long_slice")]
HOUR = timedelta(hours=1)


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
