"""The kept connection, the permit, the probe, and the octets that go over the wire."""

import time
from datetime import timedelta

import pytest
from django.core.mail import EmailMessage

from outbox import messages, transport
from outbox.messages import Mail
from outbox.outcomes import Delivered, GivenBack, Refused, Unavailable
from outbox.rendering import Rendered
from tests.contracts import a_mail
from tests.services.transport_steps import AUTHENTICATE, CONNECT, ENVELOPE, SHORT, TO, assert_ended, deliver, no, yes
from tests.smtp import Drop, Ended, Hang, Reply, Rule, SmtpServer, Stage

# The kept connection


def test_one_connection_serves_many_mails(smtp, smtp_transport):
    for number in range(5):
        deliver(smtp_transport, number=number)

    assert len(smtp.record.connections) == 1
    assert len(smtp.record.messages) == 5
    assert len(smtp.record.said("EHLO")) == 1


@pytest.mark.parametrize(
    ("stage", "effect"),
    [
        (Stage.MAIL, Reply(451, "4.3.0 later")),
        (Stage.RCPT, Reply(550, "5.1.1 no such user")),
        (Stage.DATA, Reply(554, "5.5.1 no")),
        (Stage.ANSWER, Reply(554, "5.7.1 spam")),
    ],
)
def test_a_refusal_keeps_the_connection_after_rset(smtp, smtp_transport, stage, effect):
    smtp.script.add(Rule(stage, effect, times=1))
    deliver(smtp_transport, "bad@example.org")

    assert type(deliver(smtp_transport)) is Delivered
    assert len(smtp.record.connections) == 1
    assert len(smtp.record.said("RSET")) == 1


@pytest.mark.parametrize(
    ("stage", "effect"),
    [
        (Stage.MAIL, Reply(354, "go on")),
        (Stage.RCPT, Reply(354, "go on")),
        (Stage.DATA, Reply(250, "2.0.0 ok")),
        (Stage.ANSWER, Reply(354, "go on")),
    ],
)
def test_a_connection_that_is_out_of_step_is_not_used_again(smtp, smtp_transport, stage, effect):
    smtp.script.add(Rule(stage, effect, times=1))
    deliver(smtp_transport, number=1)

    assert type(deliver(smtp_transport, number=2)) is Delivered
    assert len(smtp.record.connections) == 2
    assert smtp.record.said("RSET") == []


@pytest.mark.parametrize("effect", [Reply(502, "5.5.1 what?"), Drop(), Reply(421, "4.3.2 closing")], ids=str)
def test_a_refusal_stays_the_outcome_when_rset_fails(smtp, smtp_transport, effect):
    smtp.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 no such user"), times=1))
    smtp.script.add(Rule(Stage.RSET, effect))

    assert_ended(deliver(smtp_transport, "bad@example.org"), Refused, ENVELOPE, 550, "5.1.1")
    assert type(deliver(smtp_transport)) is Delivered
    assert len(smtp.record.connections) == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(smtp, smtp_transport, monkeypatch):
    deliver(smtp_transport, number=1)
    monkeypatch.setattr(transport, "_IDLE_LIMIT_S", -1.0)

    assert type(deliver(smtp_transport, number=2)) is Delivered
    assert [connection.ended for connection in smtp.record.connections] == [Ended.QUIT, Ended.OPEN]


def test_closing_says_quit_and_waits_for_nobody(smtp, smtp_transport):
    smtp.script.add(Rule(Stage.QUIT, Hang()))
    deliver(smtp_transport)

    began = time.monotonic()
    smtp_transport.close()

    assert time.monotonic() - began < 1
    smtp.record.wait_until(lambda record: record.said("QUIT"))


def test_a_bug_in_the_permit_is_raised_and_the_connection_closed(smtp, smtp_transport):
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        deliver(smtp_transport, permit=broken)

    assert type(deliver(smtp_transport)) is Delivered
    assert len(smtp.record.connections) == 2


# The permit


def test_the_permit_is_asked_between_rcpt_and_data(smtp, smtp_transport):
    seen = []

    def permit():
        seen.append((len(smtp.record.said("RCPT")), len(smtp.record.said("DATA"))))
        return True

    deliver(smtp_transport, permit=permit)

    assert seen == [(1, 0)]


def test_without_a_permit_the_connection_is_kept_and_the_server_told(smtp, smtp_transport):
    ended = deliver(smtp_transport, permit=no)

    assert type(ended) is GivenBack
    assert ended.wait == timedelta()
    assert ended.reply.text == "not handed over: the lease could not be renewed in time"
    assert smtp.record.said("DATA") == []
    assert type(deliver(smtp_transport)) is Delivered
    assert len(smtp.record.connections) == 1


def test_the_permit_is_asked_again_when_the_server_was_slow_to_want_the_message(smtp, smtp_transport, outbox_settings):
    outbox_settings(LEASE=timedelta(seconds=2))  # a permit lasts 0.2 s
    smtp.script.add(Rule(Stage.DATA, delay=0.3))
    answers = [False, True]

    ended = deliver(smtp_transport, permit=answers.pop)

    assert type(ended) is GivenBack
    assert answers == []
    smtp.record.wait_until(lambda record: record.parallel_connections == 0)
    assert smtp.record.received == []


def test_a_permit_that_is_renewed_meanwhile_lets_the_message_go(smtp, smtp_transport, outbox_settings):
    outbox_settings(LEASE=timedelta(seconds=2))
    smtp.script.add(Rule(Stage.DATA, delay=0.3))

    assert type(deliver(smtp_transport)) is Delivered


# The probe


def test_a_probe_logs_in_and_says_noop_but_no_mail(log_in, smtp_transport):
    assert smtp_transport.probe() is None

    log_in.record.wait_until(lambda record: record.said("QUIT"))
    assert [command.verb for command in log_in.record.commands] == ["EHLO", "AUTH", "NOOP", "QUIT"]


def test_a_probe_uses_and_leaves_no_kept_connection(smtp, smtp_transport):
    deliver(smtp_transport, number=1)
    smtp_transport.probe()
    deliver(smtp_transport, number=2)

    assert len(smtp.record.connections) == 3


@pytest.mark.parametrize(
    ("stage", "effect", "expected"),
    [
        (Stage.CONNECT, Reply(554, "5.3.2 no service"), (CONNECT, 554, "5.3.2")),
        (Stage.CONNECT, Drop(), (CONNECT, None, "")),
        (Stage.EHLO, Reply(421, "4.3.2 closing"), (CONNECT, 421, "4.3.2")),
        (Stage.AUTH, Reply(535, "5.7.8 wrong"), (AUTHENTICATE, 535, "5.7.8")),
        (Stage.NOOP, Reply(421, "4.3.2 closing"), (AUTHENTICATE, 421, "4.3.2")),
        (Stage.NOOP, Drop(), (AUTHENTICATE, None, "")),
    ],
)
def test_a_probe_tells_why_the_provider_is_away(log_in, smtp_transport, stage, effect, expected):
    log_in.script.add(Rule(stage, effect))

    assert_ended(smtp_transport.probe(), Unavailable, *expected)
    log_in.record.wait_until(lambda record: record.parallel_connections == 0)


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.EHLO, Stage.NOOP])
@pytest.mark.usefixtures("short_patience")
def test_a_probe_does_not_wait_for_ever(smtp, smtp_transport, stage):
    smtp.script.add(Rule(stage, Hang()))

    began = time.monotonic()
    ended = smtp_transport.probe()

    assert type(ended) is Unavailable
    assert time.monotonic() - began < 10 * SHORT


def test_a_probe_that_nobody_answers_is_unavailable(smtp, smtp_transport):
    smtp.stop()

    assert_ended(smtp_transport.probe(), Unavailable, CONNECT)


# What goes over the wire


def test_the_size_is_told_where_the_server_wants_to_know(smtp, smtp_transport):
    deliver(smtp_transport)

    [command] = smtp.record.said("MAIL")
    assert command.argument.upper() == f"FROM:<NOREPLY@EXAMPLE.COM> SIZE={len(a_mail().data)}"


@pytest.mark.parametrize("helo_only", [False, True])
def test_the_size_is_not_told_where_the_server_does_not_know_the_word(settings, smtp_transport, helo_only):
    with SmtpServer(extensions=()) as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.host, server.port
        settings.EMAIL_HOST_USER = ""
        if helo_only:
            server.script.add(Rule(Stage.EHLO, Reply(502, "5.5.1 what?"), times=1))

        assert type(deliver(smtp_transport)) is Delivered
        assert server.record.said("MAIL")[0].argument.upper() == "FROM:<NOREPLY@EXAMPLE.COM>"


def test_a_mail_larger_than_the_server_takes_is_refused_before_it_is_sent(settings, smtp_transport):
    with SmtpServer(extensions=("SIZE 20",)) as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.host, server.port
        settings.EMAIL_HOST_USER = ""

        assert_ended(deliver(smtp_transport), Refused, ENVELOPE, 552, "5.3.4")
        assert server.record.received == []


@pytest.mark.parametrize(
    "body",
    [
        b"plain\r\n",
        b".\r\n",
        b"..\r\n...\r\n",
        b".leading\r\nmiddle . dot\r\n.\r\nand on\r\n",
        b"\r\n.\r\n\r\n.\r\n",
        b"",
        b"x" * 998 + b"\r\n",
        b"one\r\n" * 20000,
    ],
)
def test_every_line_arrives_as_it_was(smtp, smtp_transport, body):
    mail = Mail(sender="noreply@example.com", recipient=TO, message_id="<x@y>", data=b"Subject: dots\r\n\r\n" + body)

    assert type(smtp_transport.deliver(mail, yes)) is Delivered
    assert [message.raw for message in smtp.record.messages] == [mail.data]


def test_a_last_line_without_an_end_is_given_one(smtp, smtp_transport):
    _, frozen = messages.freeze(EmailMessage("Report", "no line end", "noreply@example.com", [TO]))
    mail = messages.finished(frozen, recipient=TO, message_id="<x@example.org>")

    assert type(smtp_transport.deliver(mail, yes)) is Delivered
    [message] = smtp.record.messages
    assert message.raw.endswith(b"\r\n\r\nno line end\r\n")


def test_a_mail_as_it_is_built_is_fit_for_any_server(smtp, smtp_transport):
    rendered = Rendered(subject="رمزك 🎉", text=".نقطة\n" * 300, html="<p>x</p>" * 500, language="ar")
    mail = messages.build(rendered, recipient=TO, message_id="<abc@example.com>")

    assert type(smtp_transport.deliver(mail, yes)) is Delivered
    [message] = smtp.record.messages
    assert message.raw == mail.data
    assert message.message_id == "<abc@example.com>"
    assert not message.has_bare_newline
    assert not message.has_long_line
