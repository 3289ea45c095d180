"""The same outcomes from a server that takes MAIL, RCPT and DATA in one packet (RFC 2920)."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pytest_django import Settings

from outbox.outcomes import Deferred, Delivered, GivenBack, Refused, Unavailable
from tests.services.raw_provider import Listener
from tests.services.test_transport import silence, table
from tests.services.transport_steps import DATA, ENVELOPE, assert_ended, deliver, no
from tests.smtp import EXTENSIONS, PIPELINING, Drop, Ended, Hang, Reply, Rule, SmtpServer, Stage


@pytest.fixture
def smtp(settings: Settings) -> Iterator[SmtpServer]:
    """A provider of this test's own that offers PIPELINING."""
    with SmtpServer(extensions=(*EXTENSIONS, PIPELINING)) as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.host, server.port
        yield server


@table
def test_what_a_fresh_connection_ends_in(smtp, smtp_transport, stage, effect, expected):
    smtp.script.add(Rule(stage, effect))

    ended = deliver(smtp_transport)

    assert_ended(ended, *expected)
    assert len(smtp.record.connections) == 1


@silence
@pytest.mark.usefixtures("short_patience")
def test_what_a_fresh_connection_ends_in_when_the_server_hangs(smtp, smtp_transport, stage, effect, expected):
    smtp.script.add(Rule(stage, effect))

    ended = deliver(smtp_transport)

    assert_ended(ended, *expected[:2])


def test_many_mails_go_over_one_connection_octet_for_octet(smtp, smtp_transport):
    outcomes = [deliver(smtp_transport, number=number) for number in range(5)]

    assert [type(outcome) for outcome in outcomes] == [Delivered] * 5
    assert len(smtp.record.connections) == 1
    assert len(set(smtp.record.copies())) == 5


@pytest.mark.parametrize(
    ("stage", "reply", "outcome"),
    [
        (Stage.MAIL, Reply(451, "4.3.0 later"), Deferred),
        (Stage.MAIL, Reply(550, "5.7.1 not verified"), Unavailable),
        (Stage.RCPT, Reply(550, "5.1.1 no such user"), Refused),
        (Stage.DATA, Reply(451, "4.3.0 later"), Deferred),
    ],
)
def test_a_refusal_spoils_no_other_mail_and_keeps_the_connection(smtp, smtp_transport, stage, reply, outcome):
    smtp.script.add(Rule(stage, reply, times=1))

    assert type(deliver(smtp_transport, number=1)) is outcome
    assert type(deliver(smtp_transport, number=2)) is Delivered
    assert len(smtp.record.connections) == 1
    assert [len(message.recipients) for message in smtp.record.messages] == [1]


def test_a_refusal_stays_the_outcome_when_the_connection_goes_away_after_it(smtp, smtp_transport):
    smtp.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 no such user"), times=1))
    smtp.script.add(Rule(Stage.DATA, Drop(), times=1))

    assert_ended(deliver(smtp_transport, number=1), Refused, ENVELOPE, 550, "5.1.1")
    assert type(deliver(smtp_transport, number=2)) is Delivered
    assert len(smtp.record.connections) == 2


def test_a_message_that_a_server_opens_for_nobody_is_ended_by_a_dot(settings, smtp_transport):
    heard = []

    def talk(connection):
        said = connection.makefile("rb")
        connection.sendall(b"220 raw.invalid\r\n")
        said.readline()
        connection.sendall(b"250-raw.invalid\r\n250 PIPELINING\r\n")
        for answers in (
            b"250 go on\r\n",
            b"550 no such user\r\n",
            b"354 go on\r\n",
            b"554 nobody\r\n",
            b"250 reset\r\n",
        ):
            heard.append(said.readline())
            connection.sendall(answers)
        said.read()

    with Listener(talk) as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.host, server.port
        ended = deliver(smtp_transport)
        smtp_transport.close()

    assert_ended(ended, Refused, ENVELOPE, 550, "")
    assert heard[3:] == [b".\r\n", b"rset\r\n"]


def test_a_kept_connection_that_is_dead_costs_a_second_one(smtp, smtp_transport):
    deliver(smtp_transport, number=1)
    smtp.script.add(Rule(Stage.MAIL, Drop(), times=1))

    assert type(deliver(smtp_transport, number=2)) is Delivered
    assert [connection.ended for connection in smtp.record.connections][-1] is Ended.OPEN
    assert len(smtp.record.connections) == 2


# The permit


def test_the_permit_is_asked_before_the_packet_that_holds_data(smtp, smtp_transport):
    seen = []

    def permit():
        seen.append(len(smtp.record.said("MAIL")))
        return True

    deliver(smtp_transport, permit=permit)

    assert seen == [0]


def test_without_a_permit_nothing_is_said_and_the_connection_is_kept(smtp, smtp_transport):
    assert type(deliver(smtp_transport, permit=no)) is GivenBack
    assert smtp.record.said("MAIL") == []
    assert type(deliver(smtp_transport)) is Delivered
    assert len(smtp.record.connections) == 1


def test_a_permit_that_was_lost_while_the_answers_took_long_stops_the_message(smtp, smtp_transport, outbox_settings):
    outbox_settings(LEASE=timedelta(seconds=2))  # a permit lasts 0.2 s
    smtp.script.add(Rule(Stage.DATA, delay=0.3))
    given = iter([True, False])

    ended = deliver(smtp_transport, permit=lambda: next(given))

    assert_ended(ended, GivenBack, ENVELOPE)
    assert smtp.record.messages == []
    assert type(deliver(smtp_transport, permit=lambda: True)) is Delivered


@pytest.mark.usefixtures("short_patience")
def test_a_server_that_hangs_after_the_message_leaves_it_unknown(smtp, smtp_transport):
    smtp.script.add(Rule(Stage.ANSWER, Hang()))

    assert deliver(smtp_transport).phase is DATA
