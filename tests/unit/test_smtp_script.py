"""The test SMTP server does what its script says."""

import smtplib
import time

import pytest

from tests.smtp import (
    AUTH,
    AcceptThenDrop,
    Drop,
    Ended,
    Gate,
    Hang,
    Reply,
    Rule,
    SmtpServer,
    Stage,
)
from tests.unit.smtp_clients import MAIL, InBackground, connect, raw_client, send

# The script: replies


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        (Stage.EHLO, b"EHLO me"),
        (Stage.MAIL, b"MAIL FROM:<a@x.org>"),
        (Stage.RCPT, b"RCPT TO:<b@x.org>"),
        (Stage.DATA, b"DATA"),
        (Stage.NOOP, b"NOOP"),
        (Stage.RSET, b"RSET"),
        (Stage.QUIT, b"QUIT"),
    ],
)
def test_any_stage_can_be_answered_otherwise(smtp: SmtpServer, stage: Stage, line: bytes) -> None:
    before = [b"EHLO me", b"MAIL FROM:<a@x.org>", b"RCPT TO:<b@x.org>", b"DATA"]
    with raw_client(smtp) as client:
        for earlier in before[: before.index(line)] if line in before else []:
            client.ask(earlier)
        smtp.script.add(Rule(stage, Reply(452, "4.3.1 disk\nfull")))
        assert client.ask(line) == b"452-4.3.1 disk\r\n452 full\r\n"


def test_the_greeting_can_be_another(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.CONNECT, Reply(554, "no service")))
    with pytest.raises(smtplib.SMTPConnectError, match="554"):
        connect(smtp)


def test_the_final_dot_can_be_refused(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.ANSWER, Reply(552, "5.3.4 too big")))
    with pytest.raises(smtplib.SMTPDataError, match="552"):
        send(smtp)

    [message] = smtp.record.received
    assert (message.accepted, message.answered, message.reply) == (False, True, "552 5.3.4 too big\r\n")
    assert smtp.record.messages == []
    assert smtp.record.connections_died_after_data == 0


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.EHLO, Stage.MAIL, Stage.RCPT, Stage.DATA])
def test_421_hangs_up_at_any_stage(smtp: SmtpServer, stage: Stage) -> None:
    smtp.script.add(Rule(stage, Reply(421, "4.3.2 going down")))
    with pytest.raises((smtplib.SMTPException, OSError)):
        send(smtp)

    smtp.record.wait_until(lambda record: record.connections[0].ended)
    assert smtp.record.connections[0].ended is Ended.CLOSED


@pytest.mark.parametrize("text", [b"5.1.1 a\x00b", b"5.1.1 \xff\xfe\n\xd9\x85", b"x" * 5000])
def test_a_reply_can_hold_any_bytes(smtp: SmtpServer, text: bytes) -> None:
    smtp.script.add(Rule(Stage.NOOP, Reply.of_bytes(550, text)))
    with raw_client(smtp) as client:
        answer = client.ask(b"NOOP")

    assert answer.replace(b"550-", b"").replace(b"550 ", b"") == text.replace(b"\n", b"\r\n") + b"\r\n"


def test_a_refused_login_is_scripted(smtp: SmtpServer) -> None:
    with SmtpServer(extensions=(AUTH,)) as server, connect(server) as client:
        server.script.add(Rule(Stage.AUTH, Reply(535, "5.7.8 no")))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("ann", "secret")


# The script: whom it concerns


def test_a_rule_can_be_for_some_recipients(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 no such user"), recipient=r"^bad"))

    refused = send(smtp, "bad@example.org", "good@example.org")
    assert refused == {"bad@example.org": (550, b"5.1.1 no such user")}
    assert smtp.record.messages[0].recipients == ("good@example.org",)


def test_a_rule_can_be_for_a_sender_or_what_a_function_says(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.MAIL, Reply(550, "5.7.1 not you"), sender="^evil@"))
    smtp.script.add(Rule(Stage.ANSWER, Reply(554, "5.6.0 bad"), when=lambda moment: b"poison" in moment.raw))
    with connect(smtp) as client:
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("evil@x.org", "a@x.org", MAIL)
        with pytest.raises(smtplib.SMTPDataError):
            client.sendmail("good@x.org", "a@x.org", b"poison\r\n")
        client.sendmail("good@x.org", "a@x.org", MAIL)


def test_greylisting_refuses_each_recipient_once(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.RCPT, Reply(450, "4.7.1 later"), first=1))
    for _ in range(2):
        for recipient in ("a@x.org", "b@x.org"):
            try:
                send(smtp, recipient)
            except smtplib.SMTPRecipientsRefused as error:
                assert error.recipients[recipient][0] == 450  # noqa: PT017 — half of them pass

    assert [message.recipients for message in smtp.record.messages] == [("a@x.org",), ("b@x.org",)]


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        (Rule(Stage.NOOP, Reply(450, "no"), every=3), [3, 6, 9]),
        (Rule(Stage.NOOP, Reply(450, "no"), times=2), [1, 2]),
        (Rule(Stage.NOOP, Reply(450, "no"), every=2, times=2), [2, 4]),
        (Rule(Stage.NOOP, Reply(450, "no"), probability=0.3, seed=1), [1, 4, 9, 10]),
    ],
)
def test_a_rule_can_be_for_a_share(smtp: SmtpServer, rule: Rule, refused: list[int]) -> None:
    smtp.script.add(rule)
    with connect(smtp) as client:
        codes = [client.noop()[0] for _ in range(10)]

    assert [number for number, code in enumerate(codes, start=1) if code == 450] == refused
    assert rule.applied == len(refused)


def test_connections_can_be_limited(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.CONNECT, Reply(421, "4.7.0 too many"), parallel_above=2))
    with connect(smtp), connect(smtp), pytest.raises(smtplib.SMTPConnectError, match="421"):
        connect(smtp)
    smtp.record.wait_until(lambda record: record.parallel_connections == 0)

    send(smtp)


def test_messages_per_connection_can_be_limited(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.MAIL, Reply(421, "4.7.0 enough"), after_messages=2))
    with connect(smtp) as client:
        client.sendmail("a@x.org", "b@x.org", MAIL)
        client.sendmail("a@x.org", "b@x.org", MAIL)
        with pytest.raises(smtplib.SMTPSenderRefused, match="421"):
            client.sendmail("a@x.org", "b@x.org", MAIL)

    send(smtp)
    assert [message.connection for message in smtp.record.messages] == [1, 1, 2]


def test_the_first_rule_with_an_effect_decides_until_it_is_removed(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.NOOP, delay=0.02))
    first = smtp.script.add(Rule(Stage.NOOP, Reply(450, "first")))
    smtp.script.add(Rule(Stage.NOOP, Reply(451, "second"), delay=60))
    with connect(smtp) as client:
        began = time.monotonic()
        assert client.noop()[0] == 450
        assert 0.02 <= time.monotonic() - began < 10
        smtp.script.clear()
        assert client.noop()[0] == 250
        smtp.script.add(first)
        smtp.script.remove(first)
        assert client.noop()[0] == 250


# The script: drops, hangs and gates


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.ANSWER])
def test_a_connection_can_be_dropped_at_any_stage(smtp: SmtpServer, stage: Stage, reset: bool) -> None:
    smtp.script.add(Rule(stage, Drop(reset=reset)))
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
        send(smtp)

    smtp.record.wait_until(lambda record: record.connections[0].ended)
    assert smtp.record.connections[0].ended is Ended.DROPPED
    assert smtp.record.messages == []
    assert smtp.record.connections_died_after_data == (1 if stage is Stage.ANSWER else 0)


def test_a_drop_by_reset_is_seen_as_one(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.NOOP, Drop(reset=True)))
    with raw_client(smtp) as client, pytest.raises(ConnectionResetError):
        client.ask(b"NOOP")


@pytest.mark.parametrize("reset", [False, True])
def test_a_message_can_be_accepted_without_a_word(smtp: SmtpServer, reset: bool) -> None:
    smtp.script.add(Rule(Stage.ANSWER, AcceptThenDrop(reset=reset), every=2))
    send(smtp)
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
        send(smtp)

    smtp.record.wait_until(lambda record: record.parallel_connections == 0)
    assert [(message.accepted, message.answered) for message in smtp.record.received] == [
        (True, True),
        (True, False),
    ]
    assert smtp.record.connections_died_after_data == 1
    assert smtp.record.connections_cut_after_data == 1


def test_only_a_message_can_be_accepted() -> None:
    with pytest.raises(ValueError, match="only there is a message"):
        Rule(Stage.RCPT, AcceptThenDrop())


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.EHLO, Stage.MAIL, Stage.DATA, Stage.ANSWER])
def test_a_server_can_hang_until_the_client_leaves(smtp: SmtpServer, stage: Stage) -> None:
    smtp.script.add(Rule(stage, Hang()))
    with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)), connect(smtp, 0.2) as client:
        client.sendmail("a@x.org", "b@x.org", MAIL)

    smtp.record.wait_until(lambda record: record.parallel_connections == 0)
    assert smtp.record.connections[0].ended in {Ended.LEFT, Ended.RESET}
    assert smtp.record.messages == []
    assert smtp.record.connections_died_after_data == (1 if stage is Stage.ANSWER else 0)


def test_a_hanging_server_goes_on_when_released(smtp: SmtpServer) -> None:
    gate = Gate()
    smtp.script.add(Rule(Stage.MAIL, Hang(gate)))
    sending = InBackground(lambda: send(smtp))
    gate.wait_arrived()
    assert smtp.record.received == []
    gate.release()
    sending.join()

    assert sending.error is None
    assert len(smtp.record.messages) == 1


def test_a_gate_holds_the_answer_until_it_is_released(smtp: SmtpServer) -> None:
    gate = Gate()
    smtp.script.add(Rule(Stage.ANSWER, gate=gate))
    sending = InBackground(lambda: send(smtp))
    gate.wait_arrived()
    assert [message.accepted for message in smtp.record.received] == [False]
    gate.release()
    sending.join()

    assert sending.error is None
    assert smtp.record.messages[0].answered
    send(smtp)  # the gate stays open
    gate.close()
    with pytest.raises(AssertionError, match="nobody reached the gate"):
        gate.wait_arrived(timeout=0.01)
    assert gate.arrivals == 2


def test_a_client_killed_at_the_gate_leaves_an_accepted_message_unanswered(smtp: SmtpServer) -> None:
    gate = Gate()
    smtp.script.add(Rule(Stage.ANSWER, gate=gate))
    with raw_client(smtp) as client:
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.deliver(MAIL)
        gate.wait_arrived()

    [message] = smtp.record.wait_for(1)
    assert not message.answered
    smtp.record.wait_until(lambda record: record.connections_died_after_data == 1)


def test_a_gate_holds_several_and_a_stop_frees_them(smtp: SmtpServer) -> None:
    gate = Gate()
    smtp.script.add(Rule(Stage.ANSWER, gate=gate))
    sending = [InBackground(lambda: send(smtp)) for _ in range(3)]
    smtp.record.wait_until(lambda record: len(record.received) == 3)
    smtp.stop()
    for each in sending:
        each.join()

    assert all(isinstance(each.error, smtplib.SMTPServerDisconnected) for each in sending)
    assert smtp.record.messages == []
    assert smtp.record.connections_died_after_data == 3
    gate.release()  # nobody waits any more


def test_a_client_that_vanishes_after_its_answer_is_told_apart(smtp: SmtpServer) -> None:
    with raw_client(smtp) as client:
        assert client.deliver(MAIL).startswith(b"250")

    smtp.record.wait_until(lambda record: record.parallel_connections == 0)
    assert smtp.record.connections_died_after_data == 0
    assert smtp.record.connections_cut_after_data == 1


def test_a_client_that_leaves_before_the_final_dot_sent_nothing(smtp: SmtpServer) -> None:
    with raw_client(smtp) as client:
        for line in (b"EHLO me", b"MAIL FROM:<a@x.org>", b"RCPT TO:<b@x.org>", b"DATA", b"half\r\n.\r"):
            client.socket.sendall(line + b"\r\n")

    smtp.record.wait_until(lambda record: record.connections[0].ended)
    assert smtp.record.received == []
    assert smtp.record.connections_cut_after_data == 0
