"""The bytes of one connection to the test SMTP server, read as lines and as messages."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

from tests.smtp_events import Ended
from tests.smtp_script import Gate

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close by RST


class Over(Exception):
    """The connection is over."""

    def __init__(self, ended: Ended) -> None:
        self.ended = ended


class Wire(asyncio.Protocol):
    """The bytes of one connection; `gone` is done as soon as the client has left."""

    def __init__(self, talk: Callable[["Wire"], None]) -> None:
        self._talk = talk
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._more: asyncio.Future[None] | None = None
        self.gone: asyncio.Future[Ended] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._talk(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._wake()

    def eof_received(self) -> None:
        self._lost(Ended.LEFT)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(Ended.RESET if exc else Ended.LEFT)

    async def line(self) -> str:
        """The next line without its end."""
        return (await self._until(b"\n")).rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    async def body(self) -> bytes:
        """Everything before the final dot, dots unstuffed."""
        self._buffer[:0] = b"\r\n"  # the end of the DATA line, so that a dot in the first line is found
        stuffed = await self._until(b"\r\n.\r\n")
        return stuffed[:-3].replace(b"\r\n.", b"\r\n")[2:]

    def write(self, data: bytes) -> bool:
        """Send; False when the client is not there any more."""
        if self.gone.done() or self._transport.is_closing():
            return False
        self._transport.write(data)
        return not self._transport.is_closing()

    def close(self, *, at_once: bool = False, by_reset: bool = False) -> None:
        """Hang up once what was written is out, or at once, or by RST."""
        if by_reset and not self._transport.is_closing():
            connected: socket.socket = self._transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if by_reset or at_once:
            self._transport.abort()
        self._transport.close()

    async def held_at(self, gate: Gate) -> None:
        """Wait until the gate is released or the client has left."""
        released: asyncio.Future[None] = self._loop.create_future()

        def release() -> None:
            if not released.done():
                released.set_result(None)

        def wake() -> None:
            self._loop.call_soon_threadsafe(release)

        gate.enter(wake)
        try:
            await asyncio.wait((released, self.gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gate.leave(wake)

    async def _until(self, mark: bytes) -> bytes:
        searched = 0
        while (found := self._buffer.find(mark, searched)) < 0:
            if self.gone.done():
                raise Over(self.gone.result())
            searched = max(0, len(self._buffer) - len(mark) + 1)
            self._more = self._loop.create_future()
            await self._more
        end = found + len(mark)
        taken = bytes(self._buffer[:end])
        del self._buffer[:end]
        return taken

    def _lost(self, ended: Ended) -> None:
        if not self.gone.done():
            self.gone.set_result(ended)
        self._wake()

    def _wake(self) -> None:
        if self._more and not self._more.done():
            self._more.set_result(None)
