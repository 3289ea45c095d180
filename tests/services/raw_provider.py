"""Providers that tests.smtp is too polite to be: one that says these very octets, and one behind TLS."""

import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

# One answer to each thing a client says when it delivers one mail, the greeting first.
USUAL = (
    b"220 raw.invalid\r\n",
    b"250 hello\r\n",
    b"250 2.1.0 go on\r\n",
    b"250 2.1.5 go on\r\n",
    b"354 end with a dot\r\n",
    b"250 2.0.0 taken\r\n",
)
GREETING, EHLO, MAIL, RCPT, DATA, ANSWER = range(6)

Connected = Callable[[socket.socket], None]


class Listener:
    """Calls a function with each connection, in a thread of its own."""

    host = "127.0.0.1"

    def __init__(self, talk: Connected) -> None:
        self._talk = talk
        self._server = socket.create_server((self.host, 0))
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._server.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._talk(connection)


def saying(answers: Sequence[bytes]) -> Connected:
    """Says the n-th answer to the n-th thing it hears; then it stays silent until the client leaves."""

    def talk(connection: socket.socket) -> None:
        said = connection.makefile("rb")
        for step, answer in enumerate(answers):
            connection.sendall(answer)
            if not _heard(said, is_message=step == DATA and answer.startswith(b"354")):
                return
        said.read()

    return talk


def dripping(step: int, octet: bytes, seconds: float) -> Connected:
    """Answers as usual before the step, and there says one octet each 20 ms, for so many seconds at most."""

    def talk(connection: socket.socket) -> None:
        said = connection.makefile("rb")
        for answer in USUAL[:step]:
            connection.sendall(answer)
            _heard(said, is_message=answer.startswith(b"354"))
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            connection.sendall(octet)
            time.sleep(0.02)

    return talk


def _heard(said: io.BufferedReader, *, is_message: bool) -> bool:
    line = said.readline()
    while is_message and line not in {b".\r\n", b""}:
        line = said.readline()
    return line != b""


def behind_tls(context: ssl.SSLContext, port: int, *, by_starttls: bool) -> Connected:
    """Speaks TLS, from the first octet or after STARTTLS, and passes everything on to the plain server there."""

    def talk(plain: socket.socket) -> None:
        if by_starttls:
            _agree_to_tls(plain)
        with (
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            if by_starttls:
                server.recv(1000)  # its greeting: the client had ours
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            server.shutdown(socket.SHUT_RDWR)
            back.join()

    return talk


def _agree_to_tls(plain: socket.socket) -> None:
    for answer in (b"220 raw.invalid\r\n", b"250-raw.invalid\r\n250 STARTTLS\r\n"):
        plain.sendall(answer)
        plain.recv(1000)
    plain.sendall(b"220 2.0.0 go on\r\n")


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while octets := source.recv(65536):
            target.sendall(octets)
