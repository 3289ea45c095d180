"""A provider that costs as little as can be: takes every mail, keeps only when and for whom.

A process of its own (`python -m ops.benchmarks.sink`), so that it shares no interpreter with what it measures.
It prints its two ports: SMTP, and one that answers a line "count" or "mails" with JSON and forgets all at "reset".
"""

import asyncio
import json
import socket
import sys
import time

from ops.dev.place import HOST

_GREETING = b"220 sink ESMTP\r\n"
_EXTENSIONS = (b"sink", b"PIPELINING", b"SIZE 10485760", b"8BITMIME", b"ENHANCEDSTATUSCODES")
_OK, _GO_ON, _TAKEN, _BYE = b"250 2.0.0 ok\r\n", b"354 go on\r\n", b"250 2.0.0 taken\r\n", b"221 2.0.0 bye\r\n"


class Mails:
    """When each mail was taken (Unix time), and for whom."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, str]] = []
        self.connections = 0


class Session(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, mails: Mails, ehlo: bytes) -> None:
        self._mails, self._ehlo = mails, ehlo
        self._buffer = bytearray()
        self._in_data = False
        self._recipient = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (told to mypy)
        self._transport = transport
        self._mails.connections += 1
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        """Answer all whole lines and messages, in one write."""
        self._buffer += data
        answers: list[bytes] = []
        while (answer := self._next()) is not None:
            answers.append(answer)
        if answers:
            self._transport.write(b"".join(answers))

    def _next(self) -> bytes | None:
        mark = b"\r\n.\r\n" if self._in_data else b"\r\n"
        end = self._buffer.find(mark)
        if end < 0:
            return None
        line = bytes(self._buffer[:end]) if not self._in_data else b""
        del self._buffer[: end + len(mark)]
        return self._taken() if self._in_data else self._answer(line)

    def _taken(self) -> bytes:
        self._in_data = False
        self._mails.taken.append((time.time(), self._recipient))
        return _TAKEN

    def _answer(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            return self._ehlo
        if verb == b"DATA":
            self._in_data = True
            return _GO_ON
        if verb == b"RCPT":
            self._recipient = line[line.find(b"<") + 1 : line.rfind(b">")].decode()
        if verb == b"QUIT":
            asyncio.get_running_loop().call_soon(self._transport.close)
            return _BYE
        return _OK


def _answered(mails: Mails, question: bytes) -> bytes:
    match question.strip():
        case b"mails":
            answer: object = mails.taken
        case b"count":
            answer = {"count": len(mails.taken), "connections": mails.connections}
        case _:
            mails.taken, mails.connections = [], 0
            answer = {}
    return json.dumps(answer).encode() + b"\n"


async def _control(mails: Mails, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while question := await reader.readline():
        writer.write(_answered(mails, question))
        await writer.drain()
    writer.close()


async def serve(port: int, *, pipelining: bool) -> None:
    """Listen until the process is ended; the first line it prints is its two ports."""
    mails = Mails()
    extensions = [word for word in _EXTENSIONS if pipelining or word != b"PIPELINING"]
    ehlo = b"".join(b"250-" + word + b"\r\n" for word in extensions[:-1]) + b"250 " + extensions[-1] + b"\r\n"
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: Session(mails, ehlo), HOST, port, backlog=512)
    control = await asyncio.start_server(lambda r, w: _control(mails, r, w), HOST, 0)
    print(json.dumps([smtp.sockets[0].getsockname()[1], control.sockets[0].getsockname()[1]]), flush=True)
    await smtp.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), pipelining="--no-pipelining" not in sys.argv))
