"""The test SMTP server does what the script says and records what happened."""

import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.smtp import (
    AUTH,
    EXTENSIONS,
    PIPELINING,
    SMTPUTF8,
    AcceptThenDrop,
    Drop,
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

MAIL = b"Message-ID: <one@example.org>\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


def connect(server: SmtpServer | SmtpProcess, timeout: float = 10.0) -> smtplib.SMTP:
    return smtplib.SMTP(server.host, server.port, "client.invalid", timeout)


def send(server: SmtpServer | SmtpProcess, *recipients: str, mail: bytes = MAIL) -> dict[str, tuple[int, bytes]]:
    with connect(server) as client:
        return client.sendmail("from@example.org", recipients or ["to@example.org"], mail)


@contextmanager
def raw_client(server: SmtpServer) -> Iterator["RawClient"]:
    with closing(RawClient(server.host, server.port)) as client:
        assert client.reply().startswith(b"220")
        yield client


class RawClient:
    """Says exactly these bytes."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=10)
        self._file = self.socket.makefile("rb")

    def reply(self) -> bytes:
        """One whole reply; empty at the end of the connection."""
        lines = b""
        while line := self._file.readline():
            lines += line
            if line[3:4] != b"-":
                break
        return lines

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def ask(self, line: bytes) -> bytes:
        self.socket.sendall(line + b"\r\n")
        return self.reply()

    def deliver(self, body: bytes) -> bytes:
        """A whole message, up to the final dot; the answer to it."""
        for line in (b"EHLO me", b"MAIL FROM:<a@x.org>", b"RCPT TO:<b@x.org>", b"DATA"):
            assert self.ask(line)[:3] in {b"250", b"354"}
        self.socket.sendall(body + b".\r\n")
        return self.reply()


class InBackground:
    """Runs the call in a thread; `error` is what it raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: Exception | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except (OSError, smtplib.SMTPException) as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()


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
