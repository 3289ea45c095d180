"""A real SMTP server on 127.0.0.1 for tests, with scripted replies and a complete record.

    with SmtpServer() as smtp:
        smtp.script.add(Rule(Stage.RCPT, Reply(550, "5.1.1 no such user"), recipient=r"^bad@"))
        …  # let the system send to smtp.host, smtp.port
        smtp.record.wait_for(2)
        assert smtp.record.accepted_for("good@example.org")
        smtp.stop()   # connections are refused
        smtp.start()  # on the same port
        smtp.reset()  # no rules, an empty record: ready for the next test

What can be scripted is told in `tests.smtp_script`, what is recorded in `tests.smtp_record`. As a process
of its own, `python -m tests.smtp --port 2525 --record FILE`; from Python by `tests.smtp_process`.
"""

import asyncio
import os
import random
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import count
from types import TracebackType
from typing import Self

from tests.smtp_events import Ended, Message
from tests.smtp_record import Record
from tests.smtp_script import AcceptThenDrop, Drop, Gate, Hang, Moment, Reply, Rule, Script, Stage
from tests.smtp_session import Provider, Session
from tests.smtp_wire import Wire

__all__ = [
    "AUTH",
    "EXTENSIONS",
    "PIPELINING",
    "SMTPUTF8",
    "AcceptThenDrop",
    "Drop",
    "Ended",
    "Gate",
    "Hang",
    "Message",
    "Moment",
    "Record",
    "Reply",
    "Rule",
    "Script",
    "SmtpServer",
    "Stage",
]

AUTH = "AUTH PLAIN LOGIN"
PIPELINING = "PIPELINING"
SMTPUTF8 = "SMTPUTF8"
EXTENSIONS = ("8BITMIME", "SIZE 10485760", "ENHANCEDSTATUSCODES")

# Below those the kernel lends to clients, and every other one for each of pytest's two processes: a port stays ours
# while we are stopped.
_PORTS = range(20_000 + (os.environ.get("PYTEST_XDIST_WORKER") == "gw1"), 32_000, 2)


class SmtpServer:
    """The server, in a thread of its own.

    `extensions` are the lines of EHLO: `(*EXTENSIONS, AUTH)` offers a login that any password passes;
    with `credentials` only this user and password do, and nobody mails without. STARTTLS is not spoken.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        port: int = 0,
        extensions: Sequence[str] = EXTENSIONS,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self.port = port
        self.script = Script()
        self.record = Record()
        self._provider = Provider(
            script=self.script,
            record=self.record,
            extensions=tuple(extensions),
            credentials=credentials,
            connection_numbers=count(1),
            message_numbers=count(1),
        )
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether connections are accepted."""
        return self._thread is not None

    def start(self) -> None:
        """Listen, on the port of the last time if there was one; nothing happens when it does already.

        Raises:
            OSError: the port is taken.
        """
        if self._thread:
            return
        listening: Future[None] = Future()
        thread = threading.Thread(target=self._run, args=(listening,), name="smtp-server", daemon=True)
        thread.start()
        listening.result(timeout=10)
        self._thread = thread

    def stop(self) -> None:
        """Close the listening socket and every connection; nothing happens when that was done.

        Raises:
            ExceptionGroup: a rule's `when` raised, or the server has a bug.
        """
        if not self._thread:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None
        if failures := [failure for failure in self._failures if isinstance(failure, Exception)]:
            self._failures = []
            raise ExceptionGroup("the SMTP server failed in a dialogue", failures)

    def reset(self) -> None:
        """No rules and an empty record; open connections stay."""
        self.script.clear()
        self.record.clear()

    def _run(self, listening: Future[None]) -> None:
        try:
            asyncio.run(self._serve(listening))
        except OSError as error:
            listening.set_exception(error)

    async def _serve(self, listening: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await self._listen()
        listening.set_result(None)
        await self._stopping.wait()
        for listener in server.sockets:
            self._loop.remove_reader(listener)
        await asyncio.sleep(0)  # asyncio forgets, unclosed, what it has just accepted when the server closes meanwhile
        await asyncio.gather(*asyncio.all_tasks() - self._tasks - {asyncio.current_task()})
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next round

    async def _listen(self) -> asyncio.Server:
        if self.port:
            return await self._bind(self.port)
        for port in random.sample(_PORTS, 50):
            try:
                server = await self._bind(port)
            except OSError:  # taken by somebody else
                continue
            self.port = port
            return server
        raise OSError("no free port found")

    async def _bind(self, port: int) -> asyncio.Server:
        return await self._loop.create_server(
            lambda: Wire(self._begin), self.host, port, backlog=512, reuse_address=True
        )

    def _begin(self, wire: Wire) -> None:
        task = self._loop.create_task(self._talk(wire))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: wire.close())  # also when it was cancelled before its first step

    async def _talk(self, wire: Wire) -> None:
        try:
            await Session(self._provider, wire).run()
        except Exception as failure:  # noqa: BLE001 — raised again by `stop`, in the test's own thread
            self._failures.append(failure)


if __name__ == "__main__":
    from tests.smtp_control import main

    main()
