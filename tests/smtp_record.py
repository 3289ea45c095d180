"""What the test SMTP server saw, complete: connections, commands, messages and what became of them.

Everything enters as an event through `Record.add`, so a record read back from its file (`Record.read`) or
followed from another process knows the same as the server's own.
"""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.smtp_events import (
    Answered,
    Closed,
    Command,
    Connection,
    Ended,
    Event,
    LoggedIn,
    Message,
    Settled,
    from_line,
)


class Record:
    """Everything that happened at one server, in order; safe to read from any thread.

    smtp.record.wait_for(3)                                  # accepted messages
    assert smtp.record.copies() == {"<a@x>": 1, "<b@x>": 2}  # by Message-ID
    smtp.record.wait_until(lambda record: record.accepted_for("ann@example.org"))
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # its lock may be taken again by the thread that has it
        self._listeners: list[Callable[[Event], None]] = []
        self.clear()

    @classmethod
    def read(cls, path: Path) -> "Record":
        """The record that a server wrote to this file, so far as its lines are complete."""
        record = cls()
        with path.open(encoding="ascii") as lines:
            for line in lines:
                if line.endswith("\n"):
                    record.add(from_line(line))
        return record

    def clear(self) -> None:
        """Forget all but the connections that are open."""
        with self._changed:
            still_open = [one for one in getattr(self, "connections", []) if not one.ended]
            self.connections: list[Connection] = still_open
            self.commands: list[Command] = []
            self.received: list[Message] = []
            self._accepted: list[Message] = []
            self._connections_by_number = {one.number: one for one in still_open}
            self._received_by_number: dict[int, Message] = {}
            self.max_parallel_connections = len(still_open)

    # What is asked of it

    @property
    def messages(self) -> list[Message]:
        """The accepted messages, in the order they were accepted."""
        with self._changed:
            return list(self._accepted)

    @property
    def parallel_connections(self) -> int:
        """How many connections are open."""
        with self._changed:
            return len(self._connections_by_number)

    def accepted_for(self, address: str) -> list[Message]:
        """The accepted messages with this envelope recipient."""
        return [message for message in self.messages if address in message.recipients]

    def copies(self) -> Counter[str]:
        """How often each Message-ID was accepted."""
        return Counter(message.message_id for message in self.messages)

    def said(self, verb: str) -> list[Command]:
        """The commands with this verb."""
        with self._changed:
            return [command for command in self.commands if command.verb == verb]

    @property
    def connections_died_after_data(self) -> int:
        """Connections that ended after a final dot and before its answer could be written."""
        return len(self._died_after_data())

    @property
    def connections_cut_after_data(self) -> int:
        """The same, and those whose client vanished without a further command after the answer.

        A client killed between reading 250 and recording it looks like that. The bound for copies
        wherever clients are killed; a client that closes without QUIT is counted too.
        """
        with self._changed:
            vanished = {
                one.number
                for one in self.connections
                if one.ended in {Ended.LEFT, Ended.RESET} and one.last_heard == "message"
            }
            return len(vanished | self._died_after_data())

    def _died_after_data(self) -> set[int]:
        with self._changed:
            over = {one.number for one in self.connections if one.ended}
            return {message.connection for message in self.received if not message.answered} & over

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Message]:
        """The accepted messages, once there are at least so many.

        Raises:
            AssertionError: there are fewer when the time is over.
        """
        self.wait_until(lambda record: len(record._accepted) >= count, timeout)
        return self.messages

    def wait_until(self, predicate: Callable[["Record"], object], timeout: float = 10.0) -> None:
        """Return once the predicate holds; it is asked after each event.

        Raises:
            AssertionError: it does not hold when the time is over.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self), timeout):
                raise AssertionError(f"not within {timeout} s; the SMTP server has {self.summary()}")

    def summary(self) -> str:
        """The record in numbers."""
        with self._changed:
            return (
                f"{len(self._accepted)} messages accepted of {len(self.received)} received, "
                f"{len(self.connections)} connections, {self.parallel_connections} of them open"
            )

    # How it is filled

    def lock(self) -> AbstractContextManager[object]:
        """While it is held nobody sees the record change, so two events look like one."""
        return self._changed

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call the listener with each event from now on, in order; it must not block."""
        with self._changed:
            self._listeners.append(listener)

    def add(self, event: Event) -> None:
        """Take the event in and tell everybody who waits."""
        with self._changed:
            for listener in self._listeners:
                listener(event)
            self._take_in(event)
            self._changed.notify_all()

    def _take_in(self, event: Event) -> None:
        match event:
            case Command():
                self.commands.append(event)
                self._heard(event.connection, event.verb)
            case Message():
                self.received.append(event)
                self._received_by_number[event.number] = event
                self._heard(event.connection, "message")
            case Settled() | Answered():
                self._settle(event)
            case Connection():
                self.connections.append(event)
                self._connections_by_number[event.number] = event
                self.max_parallel_connections = max(self.max_parallel_connections, self.parallel_connections)
            case LoggedIn() | Closed() if connection := self._connections_by_number.get(event.connection):
                self._update(connection, event)

    def _heard(self, connection: int, what: str) -> None:
        if known := self._connections_by_number.get(connection):
            known.last_heard = what

    def _settle(self, event: Settled | Answered) -> None:
        message = self._received_by_number.get(event.message)
        if message is None:  # received before `clear`
            return
        if isinstance(event, Answered):
            message.answered = True
            return
        message.reply = event.reply
        if event.accepted:
            message.accepted, message.accepted_at, message.accepted_wall = True, event.at, event.wall
            self._accepted.append(message)

    def _update(self, connection: Connection, event: LoggedIn | Closed) -> None:
        if isinstance(event, LoggedIn):
            connection.user = event.user
            return
        connection.ended, connection.ended_at = event.ended, event.at
        del self._connections_by_number[connection.number]
