"""The sender when PostgreSQL goes away under it."""

import threading
from dataclasses import replace

import pytest
from django.db import OperationalError, transaction
from django.db.backends.postgresql.base import DatabaseWrapper

from outbox import recording, rescuer, transitions, turn
from outbox.kinds import Bound
from outbox.models import Attempt, Intent, Provider
from outbox.states import State
from tests.database.outbox_steps import (
    SECOND,
    Working,
    attempts_of,
    backend_pid,
    eventually,
    kill_backend,
    let_lease_run_out,
    reread,
    states,
)
from tests.factories import claim_of, make_intent
from tests.smtp import Gate, Reply, Rule, Stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sound")]


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch):
    monkeypatch.setattr("outbox.sender._DATABASE_PAUSE_S", 0.05)


@pytest.mark.parametrize(
    ("answer", "state", "outcome"),
    [
        (Reply(250, "2.0.0 queued"), "sent", "delivered"),
        (Reply(550, "5.7.1 spam"), "dead", "refused"),
        (Reply(451, "4.3.0 later"), "pending", "deferred"),
    ],
)
def test_an_answer_that_came_while_the_connection_was_cut_is_recorded(answer, state, outcome, smtp, make_sender, heard):
    smtp.script.add(Rule(Stage.ANSWER, answer, gate=(gate := Gate()), times=1))
    intent = make_intent()

    with Working(make_sender()) as working:
        gate.wait_arrived()
        kill_backend(working.backend)
        gate.release()

    assert reread(intent).state == state
    assert attempts_of(intent) == [(1, outcome, "answered")]
    assert len(smtp.record.received) == 1
    assert {"where": "turn", "error": "OperationalError"} in heard.of("broke")


def test_mails_in_flight_on_several_lanes_are_all_recorded_once(smtp, make_sender):
    smtp.script.add(Rule(Stage.ANSWER, gate=(gate := Gate())))
    for _ in range(5):
        make_intent()

    with Working(make_sender()) as working:
        eventually(lambda: gate.arrivals == 5)
        kill_backend(working.backend)
        gate.release()

    assert states() == ["sent"] * 5
    assert set(smtp.record.copies().values()) == {1}


def once(move, before=None, after=None):
    """The move as it is, with this done before or after it the first time it does anything."""
    calls = iter([True])

    def moved(*args, **options):
        is_first = bool(args[0]) and next(calls, False)
        if is_first and before:
            before()
        done = move(*args, **options)
        if is_first and after:
            after()
        return done

    return moved


def cut_now():
    """Our own connection ends; the next statement finds out."""
    kill_backend(backend_pid())


def cut_after_the_commit():
    """The transaction commits, and nobody is told."""
    transaction.on_commit(cut_now)
    transaction.on_commit(backend_pid)


@pytest.fixture
def whole_turns(monkeypatch):
    """No turn in one statement, so that there are steps to cut between."""
    monkeypatch.setattr("outbox.turn.turn", lambda *_, **__: None)


def test_claims_whose_begin_was_cut_are_begun_after_the_reconnect(smtp, make_sender, monkeypatch):
    claims = [claim_of(make_intent(State.CLAIMED)) for _ in range(3)]
    monkeypatch.setattr("outbox.sender.transitions.begin", once(transitions.begin, after=cut_now))
    with Working(make_sender(), claims):
        pass

    assert states() == ["sent"] * 3
    assert {intent.attempts for intent in Intent.objects.all()} == {1}


def test_a_begin_whose_commit_was_not_answered_is_rescued_and_sent_once(
    smtp, make_sender, monkeypatch, outbox_settings
):
    outbox_settings(LEASE=SECOND)
    intent = make_intent(State.CLAIMED)
    monkeypatch.setattr("outbox.sender.transitions.begin", once(transitions.begin, after=cut_after_the_commit))
    with Working(make_sender(), [claim_of(intent)]):
        pass
    assert states() == ["sending"]
    let_lease_run_out(intent)
    rescuer.rescue()
    make_sender().work()

    assert states() == ["sent"]
    assert attempts_of(intent) == [(1, "unknown", "data"), (2, "delivered", "answered")]
    assert smtp.record.copies() == {intent.message_id: 1}


@pytest.mark.usefixtures("whole_turns")
def test_an_end_whose_commit_was_not_answered_is_recorded_once(smtp, make_sender, monkeypatch, heard):
    intent = make_intent()
    monkeypatch.setattr("outbox.recording.transitions.close", once(transitions.close, after=cut_after_the_commit))
    with Working(make_sender()):
        pass

    assert heard.of("broke") == [{"where": "turn", "error": "OperationalError"}]
    assert states() == ["sent"]
    assert attempts_of(intent) == [(1, "delivered", "answered")]


@pytest.mark.usefixtures("whole_turns")
def test_an_end_that_was_cut_before_its_commit_is_recorded_after_the_reconnect(smtp, make_sender, monkeypatch):
    intent = make_intent()
    monkeypatch.setattr("outbox.recording.transitions.close", once(transitions.close, before=cut_now))
    with Working(make_sender()):
        pass

    assert states() == ["sent"]
    assert attempts_of(intent) == [(1, "delivered", "answered")]


def test_a_connection_that_is_cut_while_binding_costs_no_mail_a_try(smtp, make_sender, change_kind):
    def bind(mails):
        Provider.objects.exists()
        return [Bound(context={})] * len(mails)

    change_kind("welcome", bind=once(bind, before=cut_now))
    for _ in range(3):
        make_intent()
    with Working(make_sender()):
        pass

    assert states() == ["sent"] * 3
    assert not Intent.objects.exclude(spent=1).exists()
    assert Attempt.objects.filter(outcome="given back").count() == 3
    assert set(smtp.record.copies().values()) == {1}


def test_what_must_not_be_repeated_is_not_sent_when_the_connection_is_cut_before_its_note(smtp, make_sender):
    smtp.script.add(Rule(Stage.RCPT, gate=(gate := Gate()), times=1))
    intent = make_intent(repeatable=False)

    with Working(make_sender(), once=gate.arrived.is_set) as working:
        gate.wait_arrived()
        kill_backend(working.backend)
        gate.release()

    assert smtp.record.said("DATA") == []
    assert (reread(intent).state, reread(intent).spent) == ("pending", 0)


def test_a_turn_in_one_statement_that_was_not_answered_is_recorded_once(smtp, make_sender, monkeypatch):
    intent = make_intent()
    whole, cut = turn.turn, False

    def cut_after(closings, *args, **kwargs):
        nonlocal cut
        turned = whole(closings, *args, **kwargs)
        if turned and turned.closed and not cut:
            cut = True
            kill_backend(backend_pid())
            backend_pid()  # the connection is found cut after the commit
        return turned

    monkeypatch.setattr("outbox.turn.turn", cut_after)
    with Working(make_sender()):
        pass

    assert states() == ["sent"]
    assert attempts_of(intent) == [(1, "delivered", "answered")]
    assert cut


def test_work_goes_on_until_a_database_that_is_away_took_in_what_ended(smtp, make_sender, monkeypatch):
    smtp.script.add(Rule(Stage.ANSWER, gate=(gate := Gate())))
    make_intent()
    connect, tries = DatabaseWrapper.connect, iter(range(5))

    def refuse_five_times(wrapper):
        if threading.current_thread().name == "sender" and next(tries, None) is not None:
            raise OperationalError("connection refused")
        connect(wrapper)

    with Working(make_sender()) as working:
        gate.wait_arrived()
        monkeypatch.setattr(DatabaseWrapper, "connect", refuse_five_times)
        kill_backend(working.backend)
        gate.release()

    assert list(tries) == []
    assert states() == ["sent"]


def test_what_a_turn_began_is_sent_though_something_late_could_not_be_settled(smtp, make_sender, monkeypatch):
    """Otherwise it would wait for the rescuer, and be taken for a mail that may be out."""
    first, second = make_intent(), make_intent()
    whole, settled_late = turn.turn, recording._settled_late
    failed: list[bool] = []

    def unanswered(closings, *args, **kwargs):
        turned = whole(closings, *args, **kwargs)
        return replace(turned, closed=frozenset()) if turned and closings and not failed else turned

    def failing(missed, worker):
        if not failed:
            failed.append(True)
            raise OperationalError("a deadlock, or a server that stops")
        return settled_late(missed, worker)

    monkeypatch.setattr("outbox.turn.turn", unanswered)
    monkeypatch.setattr("outbox.recording._settled_late", failing)
    sender = make_sender()
    sender.lanes.limit = 1
    with Working(sender):
        pass

    assert failed
    assert states() == ["sent", "sent"]
    assert [len(attempts_of(intent)) for intent in (first, second)] == [1, 1]
