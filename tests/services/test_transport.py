"""The transport against a real SMTP server: how far a dialogue got, and what it ended in."""

import time
from datetime import timedelta
from typing import NamedTuple

import pytest

from outbox.messages import Mail
from outbox.outcomes import Deferred, Delivered, Phase, Refused, Unavailable, Unknown
from outbox.outcomes import Reply as Said
from tests.contracts import TransportContract
from tests.fakes import FakeTransport
from tests.services.transport_steps import (
    ANSWERED,
    AUTHENTICATE,
    CONNECT,
    DATA,
    ENVELOPE,
    SHORT,
    TO,
    assert_ended,
    deliver,
    yes,
)
from tests.smtp import AcceptThenDrop, Drop, Hang, Reply, Rule, Stage


class Expected(NamedTuple):
    outcome: type
    phase: Phase
    code: int | None = None
    enhanced: str = ""


def case(stage, effect, *expected):
    return pytest.param(stage, effect, Expected(*expected), id=f"{stage}-{effect}".replace("'", ""))


# The contract that every transport keeps


class TestTheFakeKeepsTheContract(TransportContract):
    class Provider:
        def __init__(self):
            self.transport = FakeTransport()

        def refuse(self, recipient):
            self.transport.script(recipient, *[Refused(phase=ENVELOPE, reply=Said(text="no", code=550))] * 9)

        def defer(self, recipient):
            self.transport.script(recipient, Deferred(phase=ENVELOPE, reply=Said(text="later", code=450)))

        def go_away(self):
            self.transport.away = Unavailable(phase=CONNECT, reply=Said(text="connection refused"))

        def come_back(self):
            self.transport.away = None

        def accepted(self):
            return [(mail.recipient, mail.data) for mail in self.transport.accepted]

    @pytest.fixture
    def provider(self):
        return self.Provider()


class TestSmtpKeepsTheContract(TransportContract):
    class Provider:
        def __init__(self, server, by):
            self.transport = by
            self._server = server

        def refuse(self, recipient):
            self._server.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 no such user"), recipient=f"^{recipient}$"))

        def defer(self, recipient):
            self._server.script.add(Rule(Stage.RCPT, Reply(450, "4.2.0 greylisted"), recipient=recipient, times=1))

        def go_away(self):
            self._server.stop()

        def come_back(self):
            self._server.start()

        def accepted(self):
            return [(message.recipients[0], message.raw) for message in self._server.record.messages]

    @pytest.fixture
    def provider(self, smtp, smtp_transport):
        return self.Provider(smtp, smtp_transport)


# The table of outcomes, row by row

SAID = [
    # Unavailable: greeting, EHLO; any 5xx or 421 before MAIL
    case(Stage.CONNECT, Reply(421, "4.3.2 closing"), Unavailable, CONNECT, 421, "4.3.2"),
    case(Stage.CONNECT, Reply(554, "5.3.2 no service"), Unavailable, CONNECT, 554, "5.3.2"),
    case(Stage.EHLO, Reply(421, "4.3.2 closing"), Unavailable, CONNECT, 421, "4.3.2"),
    case(Stage.EHLO, Reply(502, "5.5.1 what?"), Unavailable, CONNECT, 502, "5.5.1"),
    # Unavailable: 5xx to MAIL from the default sender, but for the size
    case(Stage.MAIL, Reply(550, "5.7.1 not verified"), Unavailable, ENVELOPE, 550, "5.7.1"),
    case(Stage.MAIL, Reply(530, "5.7.0 log in first"), Unavailable, ENVELOPE, 530, "5.7.0"),
    case(Stage.MAIL, Reply(552, "5.2.2 too big"), Refused, ENVELOPE, 552, "5.2.2"),
    case(Stage.MAIL, Reply(550, "5.3.4 too big"), Refused, ENVELOPE, 550, "5.3.4"),
    # Deferred: 4xx for this mail
    case(Stage.MAIL, Reply(451, "4.3.0 later"), Deferred, ENVELOPE, 451, "4.3.0"),
    case(Stage.MAIL, Reply(421, "4.7.0 enough"), Deferred, ENVELOPE, 421, "4.7.0"),
    case(Stage.RCPT, Reply(450, "4.2.0 greylisted"), Deferred, ENVELOPE, 450, "4.2.0"),
    case(Stage.RCPT, Reply(421, "4.7.0 enough"), Deferred, ENVELOPE, 421, "4.7.0"),
    case(Stage.DATA, Reply(451, "4.3.0 later"), Deferred, ENVELOPE, 451, "4.3.0"),
    case(Stage.DATA, Reply(421, "4.7.0 enough"), Deferred, ENVELOPE, 421, "4.7.0"),
    case(Stage.ANSWER, Reply(452, "4.3.1 full"), Deferred, ANSWERED, 452, "4.3.1"),
    case(Stage.ANSWER, Reply(421, "4.3.2 closing"), Deferred, ANSWERED, 421, "4.3.2"),
    # Refused: 5xx to this RCPT, or to this DATA
    case(Stage.RCPT, Reply(550, "5.1.1 no such user"), Refused, ENVELOPE, 550, "5.1.1"),
    case(Stage.RCPT, Reply(553, "odd address"), Refused, ENVELOPE, 553, ""),
    case(Stage.DATA, Reply(554, "5.5.1 no valid recipients"), Refused, ENVELOPE, 554, "5.5.1"),
    case(Stage.ANSWER, Reply(554, "5.7.1 spam"), Refused, ANSWERED, 554, "5.7.1"),
    case(Stage.ANSWER, Reply(500, "5.6.0 Line too long"), Refused, ANSWERED, 500, "5.6.0"),  # its own words
    # Delivered: the first digit decides
    case(Stage.RCPT, Reply(251, "2.1.5 will forward"), Delivered, ANSWERED, 250, "2.0.0"),
    case(Stage.RCPT, Reply(252, "2.1.5 will try"), Delivered, ANSWERED, 250, "2.0.0"),
    case(Stage.ANSWER, Reply(250, "2.0.0 queued as 42"), Delivered, ANSWERED, 250, "2.0.0"),
    case(Stage.ANSWER, Reply(251, "queued"), Delivered, ANSWERED, 251, ""),
    # Neither yes nor no: the sides are out of step
    case(Stage.MAIL, Reply(354, "go on"), Deferred, ENVELOPE, 354, ""),
    case(Stage.RCPT, Reply(354, "go on"), Deferred, ENVELOPE, 354, ""),
    case(Stage.DATA, Reply(250, "2.0.0 ok"), Deferred, ENVELOPE, 250, "2.0.0"),  # it never got the mail
    case(Stage.ANSWER, Reply(354, "go on"), Unknown, DATA, 354, ""),
]
LOST = [
    case(Stage.CONNECT, Drop(), Unavailable, CONNECT),
    case(Stage.CONNECT, Drop(reset=True), Unavailable, CONNECT),
    case(Stage.EHLO, Drop(), Unavailable, CONNECT),
    case(Stage.MAIL, Drop(), Deferred, ENVELOPE),
    case(Stage.MAIL, Drop(reset=True), Deferred, ENVELOPE),
    case(Stage.RCPT, Drop(), Deferred, ENVELOPE),
    case(Stage.DATA, Drop(), Deferred, ENVELOPE),
    case(Stage.DATA, Drop(reset=True), Deferred, ENVELOPE),
    case(Stage.ANSWER, Drop(), Unknown, DATA),
    case(Stage.ANSWER, Drop(reset=True), Unknown, DATA),
    case(Stage.ANSWER, AcceptThenDrop(), Unknown, DATA),
    case(Stage.ANSWER, AcceptThenDrop(reset=True), Unknown, DATA),
]
SILENT = [
    case(Stage.CONNECT, Hang(), Unavailable, CONNECT),
    case(Stage.EHLO, Hang(), Unavailable, CONNECT),
    case(Stage.MAIL, Hang(), Deferred, ENVELOPE),
    case(Stage.RCPT, Hang(), Deferred, ENVELOPE),
    case(Stage.DATA, Hang(), Deferred, ENVELOPE),
    case(Stage.ANSWER, Hang(), Unknown, DATA),
]
table = pytest.mark.parametrize(("stage", "effect", "expected"), SAID + LOST)
silence = pytest.mark.parametrize(("stage", "effect", "expected"), SILENT)


@table
def test_what_a_fresh_connection_ends_in(smtp, smtp_transport, stage, effect, expected):
    smtp.script.add(Rule(stage, effect))

    ended = deliver(smtp_transport)

    assert_ended(ended, *expected)
    assert len(smtp.record.connections) == 1
    assert expected.outcome is Unknown or len(smtp.record.messages) == (expected.outcome is Delivered)


@silence
@pytest.mark.usefixtures("short_patience")
def test_what_a_fresh_connection_ends_in_when_the_server_hangs(smtp, smtp_transport, stage, effect, expected):
    smtp.script.add(Rule(stage, effect))

    began = time.monotonic()
    ended = deliver(smtp_transport)

    assert_ended(ended, *expected)
    assert SHORT <= time.monotonic() - began < 10 * SHORT
    assert smtp.record.messages == []


@pytest.mark.parametrize(
    ("stage", "effect", "expected"),
    [each for each in SAID + LOST if each.values[0] not in {Stage.CONNECT, Stage.EHLO}],
)
def test_what_a_kept_connection_ends_in_when_a_fresh_one_is_no_better(smtp, smtp_transport, stage, effect, expected):
    deliver(smtp_transport, "first@example.org")
    smtp.script.add(Rule(stage, effect))

    ended = deliver(smtp_transport)

    assert_ended(ended, *expected)


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
@pytest.mark.parametrize("effect", [Drop(), Drop(reset=True), Reply(421, "4.4.2 idle too long")], ids=str)
def test_a_kept_connection_that_is_gone_before_data_costs_a_fresh_one_and_no_try(smtp, smtp_transport, stage, effect):
    deliver(smtp_transport, "first@example.org")
    smtp.script.add(Rule(stage, effect, times=1))

    ended = deliver(smtp_transport, number=2)

    assert type(ended) is Delivered
    assert len(smtp.record.connections) == 2
    assert list(smtp.record.copies().values()) == [1, 1]


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
@pytest.mark.usefixtures("short_patience")
def test_a_kept_connection_that_hangs_before_data_costs_a_fresh_one_and_no_try(smtp, smtp_transport, stage):
    deliver(smtp_transport, "first@example.org")
    smtp.script.add(Rule(stage, Hang(), times=1))

    assert type(deliver(smtp_transport, number=2)) is Delivered
    assert len(smtp.record.connections) == 2


def test_a_kept_connection_that_the_server_closed_meanwhile_costs_a_fresh_one_and_no_try(smtp, smtp_transport):
    deliver(smtp_transport, "first@example.org")
    smtp.stop()
    smtp.start()

    assert type(deliver(smtp_transport, number=2)) is Delivered


@pytest.mark.parametrize("effect", [Drop(), AcceptThenDrop()], ids=str)
def test_a_kept_connection_that_is_gone_after_data_is_not_tried_again(smtp, smtp_transport, effect):
    deliver(smtp_transport, "first@example.org")
    smtp.script.add(Rule(Stage.ANSWER, effect, times=1))

    assert type(deliver(smtp_transport)) is Unknown
    assert len(smtp.record.connections) == 1
    assert len(smtp.record.received) == 2


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
def test_a_fresh_connection_that_is_gone_is_not_tried_again_at_once(smtp, smtp_transport, stage):
    smtp.script.add(Rule(stage, Drop(), times=1))

    assert type(deliver(smtp_transport)) is Deferred
    assert len(smtp.record.connections) == 1


def test_a_refusal_on_a_kept_connection_is_no_reason_for_a_fresh_one(smtp, smtp_transport):
    deliver(smtp_transport, "first@example.org")
    smtp.script.add(Rule(Stage.RCPT, Reply(450, "4.2.0 greylisted"), times=1))

    assert type(deliver(smtp_transport)) is Deferred
    assert len(smtp.record.connections) == 1


def test_nobody_listening_is_unavailable(smtp, smtp_transport):
    smtp.stop()

    assert_ended(deliver(smtp_transport), Unavailable, CONNECT)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70, "bücher..example"])
def test_a_host_that_cannot_be_found_is_unavailable(smtp, smtp_transport, settings, host):
    settings.EMAIL_HOST = host

    assert_ended(deliver(smtp_transport), Unavailable, CONNECT)


def test_a_wait_that_the_provider_asks_for_is_kept(smtp, smtp_transport):
    smtp.script.add(Rule(Stage.RCPT, Reply(450, "4.2.0 greylisted, try again in 300 s")))

    ended = deliver(smtp_transport)

    assert isinstance(ended, Deferred)
    assert ended.hint == timedelta(seconds=300)


@pytest.mark.parametrize(("code", "outcome"), [(550, Refused), (552, Refused), (451, Deferred)])
def test_a_refused_sender_of_another_app_says_nothing_about_the_provider(smtp, smtp_transport, code, outcome):
    smtp.script.add(Rule(Stage.MAIL, Reply(code, "not yours"), sender="^app@"))
    mail = Mail(sender="app@example.org", recipient=TO, message_id="<x@example.org>", data=b"Subject: x\r\n\r\n")

    assert_ended(smtp_transport.deliver(mail, yes), outcome, ENVELOPE, code)


# Logging in


def test_a_login_is_used(log_in, smtp_transport):
    assert type(deliver(smtp_transport)) is Delivered
    assert [connection.user for connection in log_in.record.connections] == ["user"]


@pytest.mark.parametrize(
    ("effect", "code", "enhanced"),
    [
        (Reply(535, "5.7.8 wrong"), 535, "5.7.8"),
        (Reply(454, "4.7.0 not now"), 454, "4.7.0"),
        (Reply(421, "4.3.2 closing"), None, ""),  # the next mechanism meets a closed connection
        (Drop(), None, ""),
    ],
    ids=str,
)
def test_a_login_that_fails_is_unavailable(log_in, smtp_transport, effect, code, enhanced):
    log_in.script.add(Rule(Stage.AUTH, effect))

    assert_ended(deliver(smtp_transport), Unavailable, AUTHENTICATE, code, enhanced)


@pytest.mark.usefixtures("short_patience")
def test_a_login_that_hangs_is_unavailable(log_in, smtp_transport):
    log_in.script.add(Rule(Stage.AUTH, Hang()))

    assert_ended(deliver(smtp_transport), Unavailable, AUTHENTICATE)


def test_a_wrong_password_is_unavailable(log_in, smtp_transport, settings):
    settings.EMAIL_HOST_PASSWORD = "wrong"

    assert_ended(deliver(smtp_transport), Unavailable, AUTHENTICATE, 535, "5.7.8")


def test_a_password_that_smtp_cannot_carry_is_unavailable_and_not_told(log_in, smtp_transport, settings):
    settings.EMAIL_HOST_PASSWORD = "pässword"

    ended = deliver(smtp_transport)

    assert_ended(ended, Unavailable, AUTHENTICATE)
    assert "ä" not in ended.reply.text


def test_a_server_that_offers_no_login_is_unavailable(smtp, smtp_transport, settings):
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "user", "password"

    assert_ended(deliver(smtp_transport), Unavailable, AUTHENTICATE)
