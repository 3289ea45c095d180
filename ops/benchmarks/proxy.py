"""A TCP proxy that makes the provider far away: each direction is late by half the round trip.

A process of its own: `python -m ops.benchmarks.proxy PORT MILLISECONDS`; it prints the port it listens on.
"""

import asyncio
import json
import socket
import sys
from typing import cast

from ops.dev.place import HOST


class _Side(asyncio.Protocol):
    """One end of a connection; what it hears, its peer says later. Nothing overtakes: each waits the same time."""

    def __init__(self, late: float) -> None:
        self.late = late
        self.peer: _Side | None = None
        self._kept: list[bytes] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for data in self._kept:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self.late, self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.say(data)

    def say(self, data: bytes) -> None:
        """Send, or keep it until there is a connection."""
        if self.transport is None:
            self._kept.append(data)
        elif not self.transport.is_closing():
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        asyncio.get_running_loop().call_later(self.late, self._hang_up)

    def _hang_up(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()


class _Near(_Side):
    """The client's end: dials the provider when it is connected."""

    def __init__(self, late: float, port: int) -> None:
        super().__init__(late)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        await asyncio.sleep(2 * self.late)  # TCP's own handshake, which the kernel answered for the provider
        far = _Side(self.late)
        far.peer, self.peer = self, far
        await asyncio.get_running_loop().create_connection(lambda: far, HOST, self._port)


async def _serve(port: int, round_trip_s: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Near(round_trip_s / 2, port), HOST, 0, backlog=512)
    print(json.dumps([server.sockets[0].getsockname()[1]]), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
