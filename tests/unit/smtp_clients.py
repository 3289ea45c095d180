"""Clients of the test SMTP server: smtplib's, one that says anything, and one in a thread."""

import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from tests.smtp import (
    SmtpServer,
)
from tests.smtp_process import SmtpProcess

MAIL = b"Message-ID: <one@example.org>\r\nSubject: hello\r\n\r\nbody\r\n"


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
