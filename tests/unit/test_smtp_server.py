"""The test SMTP server speaks SMTP and records what happened."""

import gc
import smtplib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.smtp import (
    AUTH,
    EXTENSIONS,
    PIPELINING,
    SMTPUTF8,
    AcceptThenDrop,
    Ended,
    Gate,
    Hang,
    Record,
    Reply,
    Rule,
    SmtpServer,
    Stage,
)
from tests.smtp_process import SmtpProcess
from tests.unit.smtp_clients import MAIL, InBackground, connect, raw_client, send

# The record


def test_an_accepted_message_is_recorded_whole(smtp: SmtpServer) -> None:
    began = time.monotonic(), time.time()
    send(smtp, "ann@example.org", "bob@example.org")

    [message] = smtp.record.messages
    assert message.sender == "from@example.org"
    assert message.recipients == ("ann@example.org", "bob@example.org")
    assert message.raw == MAIL
    assert message.message_id == "<one@example.org>"
    assert message.connection == 1
    assert message.answered
    assert message.reply == "250 2.0.0 taken\r\n"
    assert message.accepted_at is not None
    assert began[0] <= message.at <= message.accepted_at <= time.monotonic()
    assert message.accepted_wall is not None
    assert began[1] <= message.accepted_wall <= time.time()
    assert not message.has_bare_newline
    assert not message.has_long_line


def test_every_command_and_connection_is_recorded(smtp: SmtpServer) -> None:
    send(smtp)

    smtp.record.wait_until(lambda record: record.connections[0].ended)
    assert [(one.verb.upper(), one.code) for one in smtp.record.commands] == [
        ("EHLO", 250),
        ("MAIL", 250),
        ("RCPT", 250),
        ("DATA", 354),
        ("QUIT", 221),
    ]
    [connection] = smtp.record.connections
    assert (connection.number, connection.ended) == (1, Ended.QUIT)
    assert smtp.record.said("RCPT")[0].argument.upper() == "TO:<TO@EXAMPLE.ORG>"


def test_copies_are_counted_by_message_id(smtp: SmtpServer) -> None:
    send(smtp)
    send(smtp, "ann@example.org")
    send(smtp, mail=b"message-id:\r\n <two@example.org>\r\n\r\nMessage-ID: <no@example.org>\r\n")

    assert smtp.record.copies() == {"<one@example.org>": 2, "<two@example.org>": 1}
    assert len(smtp.record.accepted_for("ann@example.org")) == 1
    assert smtp.record.accepted_for("nobody@example.org") == []


def test_waiting_ends_with_the_message_or_with_numbers(smtp: SmtpServer) -> None:
    later = InBackground(lambda: send(smtp))
    assert len(smtp.record.wait_for(1)) == 1
    later.join()

    with pytest.raises(AssertionError, match="1 messages accepted of 1 received"):
        smtp.record.wait_for(2, timeout=0.05)


def test_parallel_connections_are_counted(smtp: SmtpServer) -> None:
    with connect(smtp), connect(smtp):
        assert smtp.record.parallel_connections == 2
    send(smtp)

    smtp.record.wait_until(lambda record: record.parallel_connections == 0)
    assert smtp.record.max_parallel_connections == 2


def test_a_reset_forgets_everything_but_open_connections(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 no"), recipient="bad"))
    with connect(smtp) as client:
        client.sendmail("a@x.org", "b@x.org", MAIL)
        smtp.reset()
        assert smtp.record.messages == []
        assert smtp.record.max_parallel_connections == 1
        client.sendmail("a@x.org", "bad@x.org", MAIL)

    assert len(smtp.record.wait_for(1)) == 1


def test_a_record_read_from_its_lines_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "record"
    with SmtpProcess(path) as smtp:
        smtp.script.add(Rule(Stage.ANSWER, AcceptThenDrop(), times=1))
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(smtp)
        send(smtp, mail="Message-ID: <ü@x>\r\n\r\nü\r\n".encode())
        smtp.record.wait_until(lambda record: record.parallel_connections == 0)

    path.write_text(path.read_text() + '{"event": "Conn')  # killed in the middle of a line
    read = Record.read(path)
    assert read.messages == smtp.record.messages
    assert read.messages[1].raw == "Message-ID: <ü@x>\r\n\r\nü\r\n".encode()
    assert read.connections == smtp.record.connections
    assert read.commands == smtp.record.commands
    assert read.connections_died_after_data == 1


# Starting and stopping


def test_a_stopped_server_refuses_connections_and_returns_on_its_port(smtp: SmtpServer) -> None:
    port = smtp.port
    for _ in range(3):
        send(smtp)
        smtp.stop()
        with pytest.raises(ConnectionRefusedError):
            connect(smtp)
        smtp.start()

    assert smtp.port == port
    assert len(smtp.record.messages) == 3


def test_stopping_cuts_open_connections(smtp: SmtpServer) -> None:
    with raw_client(smtp) as client:
        smtp.stop()
        assert client.reply() == b""

    assert smtp.record.connections[0].ended is Ended.STOPPED


def test_stopping_while_clients_connect_leaves_no_socket_open(smtp: SmtpServer) -> None:
    """Pytest fails the test that leaves one."""
    ends = time.monotonic() + 0.5

    def come_and_go(_: int) -> None:
        while time.monotonic() < ends:
            with suppress(OSError), socket.create_connection((smtp.host, smtp.port), timeout=1):
                pass

    with ThreadPoolExecutor() as pool:
        clients = pool.map(come_and_go, range(4))
        while time.monotonic() < ends:
            time.sleep(0.003)  # so that they queue
            smtp.stop()
            smtp.start()
        assert list(clients)
    gc.collect()


def test_starting_and_stopping_twice_is_harmless(smtp: SmtpServer) -> None:
    smtp.start()
    smtp.stop()
    smtp.stop()

    assert not smtp.is_running


def test_a_taken_port_is_an_error(smtp: SmtpServer) -> None:
    with pytest.raises(OSError, match="in use"):
        SmtpServer(port=smtp.port).start()


def test_a_rule_that_raises_is_told_to_the_test(smtp: SmtpServer) -> None:
    smtp.script.add(Rule(Stage.MAIL, when=lambda moment: 1 / moment.messages > 1))
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(smtp)

    with pytest.raises(ExceptionGroup, match="failed in a dialogue") as caught:
        smtp.stop()
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


# The protocol


def test_dots_are_unstuffed(smtp: SmtpServer) -> None:
    body = b".first\r\n..\r\nx\r\n.\r\nlast\r\n"
    send(smtp, mail=body)

    assert smtp.record.messages[0].raw == body


def test_an_empty_message_is_a_message(smtp: SmtpServer) -> None:
    with raw_client(smtp) as client:
        assert client.deliver(b"").startswith(b"250")

    assert smtp.record.messages[0].raw == b""
    assert smtp.record.messages[0].message_id == ""


@pytest.mark.parametrize(
    ("body", "bare", "long"),
    [
        (b"fine\r\n", False, False),
        (b"lonely\nline feed\r\n", True, False),
        (b"lonely\rreturn\r\n", True, False),
        (b"x" * 998 + b"\r\n", False, False),
        (b"x" * 999 + b"\r\n", False, True),
    ],
)
def test_what_a_message_may_not_contain_is_flagged(smtp: SmtpServer, body: bytes, bare: bool, long: bool) -> None:
    with raw_client(smtp) as client:
        client.deliver(body)

    [message] = smtp.record.messages
    assert (message.has_bare_newline, message.has_long_line) == (bare, long)


def test_a_dot_between_bare_line_feeds_ends_nothing(smtp: SmtpServer) -> None:
    with raw_client(smtp) as client:
        client.deliver(b"one\n.\nMAIL FROM:<smuggled@x.org>\r\n")

    assert smtp.record.messages[0].raw == b"one\n.\nMAIL FROM:<smuggled@x.org>\r\n"


def test_pipelined_commands_are_answered_one_by_one() -> None:
    with SmtpServer(extensions=(*EXTENSIONS, PIPELINING)) as smtp, raw_client(smtp) as client:
        assert b"PIPELINING" in client.ask(b"EHLO me")
        client.socket.sendall(b"MAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nRCPT TO:<c@x.org>\r\nDATA\r\n")
        assert [client.reply()[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
        client.socket.sendall(b"text\r\n.\r\nNOOP\r\nQUIT\r\n")
        assert [client.reply()[:3] for _ in range(3)] == [b"250", b"250", b"221"]

    assert smtp.record.messages[0].recipients == ("b@x.org", "c@x.org")


def test_a_message_in_pieces_is_put_together(smtp: SmtpServer) -> None:
    with raw_client(smtp) as client:
        client.ask(b"EHLO me")
        client.ask(b"MAIL FROM:<a@x.org>")
        client.ask(b"RCPT TO:<b@x.org>")
        client.ask(b"DATA")
        for byte in b"a\r\n..\r\n.\r\n":
            client.socket.sendall(bytes([byte]))
        assert client.reply().startswith(b"250")

    assert smtp.record.messages[0].raw == b"a\r\n.\r\n"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([b"MAIL FROM:<a@x.org>"], b"503"),
        ([b"EHLO me", b"RCPT TO:<b@x.org>"], b"503"),
        ([b"EHLO me", b"MAIL FROM:<a@x.org>", b"DATA"], b"503"),
        ([b"EHLO me", b"MAIL FROM:<a@x.org>", b"MAIL FROM:<a@x.org>"], b"503"),
        ([b"EHLO me", b"MAIL TO:<a@x.org>"], b"501"),
        ([b"EHLO me", b"MAIL FROM:<a@x.org> SMTPUTF8"], b"555"),
        ([b"EHLO me", b"MAIL FROM:<a@x.org> SIZE=99999999"], b"552"),
        ([b"EHLO me", b"MAIL FROM:<a@x.org> SIZE=10 BODY=8BITMIME"], b"250"),
        ([b"EHLO me", "MAIL FROM:<ä@x.org>".encode()], b"553"),
        ([b"EHLO me", b"STARTTLS"], b"502"),
        ([b"EHLO me", b"AUTH PLAIN"], b"504"),
        ([b"EHLO me", b"MAIL FROM:<>", b"RSET", b"MAIL FROM:<a@x.org>"], b"250"),
        ([b"HELO me", b"mail from:<a@x.org>"], b"250"),
    ],
)
def test_the_order_and_form_of_commands_is_checked(smtp: SmtpServer, lines: list[bytes], code: bytes) -> None:
    with raw_client(smtp) as client:
        assert [client.ask(line) for line in lines][-1].startswith(code)


def test_smtputf8_is_spoken_when_offered() -> None:
    with SmtpServer(extensions=(*EXTENSIONS, SMTPUTF8)) as smtp, connect(smtp) as client:
        client.sendmail("ä@x.org", "ö@x.org", MAIL, mail_options=["SMTPUTF8"])

        assert smtp.record.accepted_for("ö@x.org")


def test_a_message_over_the_size_is_refused() -> None:
    with SmtpServer(extensions=("SIZE 10",)) as smtp, raw_client(smtp) as client:
        assert client.deliver(b"x" * 20 + b"\r\n").startswith(b"552 5.3.4")

        assert smtp.record.messages == []
        assert len(smtp.record.received) == 1


# Logging in


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_any_login_is_good_where_one_is_offered(mechanism: str) -> None:
    with SmtpServer(extensions=(f"AUTH {mechanism}",)) as smtp, connect(smtp) as client:
        client.login("ann", "secret")

        assert smtp.record.connections[0].user == "ann"


def test_the_login_may_come_in_several_lines() -> None:
    with SmtpServer(extensions=(AUTH,), credentials=("ann", "pw")) as smtp, raw_client(smtp) as client:
        client.ask(b"EHLO me")
        assert client.ask(b"AUTH LOGIN") == b"334 VXNlcm5hbWU6\r\n"
        assert client.ask(b"YW5u") == b"334 UGFzc3dvcmQ6\r\n"
        assert client.ask(b"*").startswith(b"501")
        assert client.ask(b"AUTH PLAIN") == b"334 \r\n"
        assert client.ask(b"AGFubgBwdw==").startswith(b"235")


def test_only_the_right_login_may_mail() -> None:
    with SmtpServer(extensions=(AUTH,), credentials=("ann", "right")) as smtp, connect(smtp) as client:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            client.sendmail("a@x.org", "b@x.org", MAIL)
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            client.login("ann", "wrong")
        client.login("ann", "right")
        client.sendmail("a@x.org", "b@x.org", MAIL)

        assert len(smtp.record.messages) == 1


# Its own process


def test_a_process_of_its_own_does_the_same(tmp_path: Path) -> None:
    with SmtpProcess(tmp_path / "record") as smtp:
        rule = smtp.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 \x00 مرحبا"), recipient="bad"))
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(smtp, "bad@example.org")
        smtp.script.remove(rule)
        send(smtp, "bad@example.org")
        smtp.stop()
        with pytest.raises(ConnectionRefusedError):
            connect(smtp)
        smtp.start()
        smtp.script.add(Rule(Stage.ANSWER, Hang()))
        smtp.script.clear()
        send(smtp)

        assert len(smtp.record.wait_for(2)) == 2
        assert smtp.record.said("RCPT")[0].code == 550
        smtp.reset()
        assert smtp.record.messages == []


def test_what_cannot_reach_another_process_is_refused(tmp_path: Path) -> None:
    with SmtpProcess(tmp_path / "record") as smtp:
        for rule in (Rule(Stage.ANSWER, gate=Gate()), Rule(Stage.ANSWER, Hang(Gate()))):
            with pytest.raises(ValueError, match="with SmtpServer only"):
                smtp.script.add(rule)
        with pytest.raises(ValueError, match="with SmtpServer only"):
            smtp.script.add(Rule(Stage.ANSWER, when=lambda moment: moment.messages > 1))


def test_a_process_that_cannot_listen_says_so(smtp: SmtpServer, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="did not start"):
        SmtpProcess(tmp_path / "record", port=smtp.port).start()
