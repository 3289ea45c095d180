"""What can happen at the test SMTP server, and each of it as a line of JSON."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_LONGEST_LINE = 998  # RFC 5321 section 4.5.3.1.6, without its CRLF


class Ended(StrEnum):
    """How a connection ended; empty while it is open."""

    OPEN = ""
    QUIT = "quit"
    LEFT = "left"  # the client closed without QUIT, or died
    RESET = "reset"  # the same, by RST
    CLOSED = "closed"  # by the server after a reply, 421 say
    DROPPED = "dropped"  # by the server instead of a reply
    STOPPED = "stopped"  # the server was stopped


@dataclass(slots=True, kw_only=True)
class Connection:
    """One connection. `at` is monotonic time in seconds, here and everywhere; `wall` is time.time()."""

    number: int
    at: float
    wall: float
    ended: Ended = Ended.OPEN
    ended_at: float | None = None
    user: str | None = None  # who logged in
    last_heard: str = ""  # the last verb, or "message" after a final dot


@dataclass(slots=True, kw_only=True)
class Command:
    """One command, when it came and the first code it was answered with; no code if it never was."""

    connection: int
    verb: str
    argument: str
    at: float
    wall: float
    code: int | None = None


@dataclass(slots=True, kw_only=True)
class Message:
    """One message whose final dot arrived; `accepted` and what follows are set when that is decided."""

    number: int
    connection: int
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    at: float
    wall: float
    accepted: bool = False
    accepted_at: float | None = None
    accepted_wall: float | None = None
    reply: str = ""  # what was decided, whether or not it could be said
    answered: bool = False  # the reply was written, and the client was still there

    @property
    def message_id(self) -> str:
        """The Message-ID header, brackets included; empty without one."""
        found = _MESSAGE_ID.search(self.raw.partition(b"\r\n\r\n")[0])
        return found[1].decode("latin-1") if found else ""

    @property
    def has_bare_newline(self) -> bool:
        """Whether there was a CR without LF or LF without CR, which RFC 5321 forbids."""
        pairs = self.raw.count(b"\r\n")
        return self.raw.count(b"\r") != pairs or self.raw.count(b"\n") != pairs

    @property
    def has_long_line(self) -> bool:
        """Whether a line is longer than RFC 5321 allows."""
        return any(len(line) > _LONGEST_LINE for line in self.raw.split(b"\r\n"))


@dataclass(slots=True, kw_only=True)
class LoggedIn:
    """The client of this connection was let in."""

    connection: int
    user: str


@dataclass(slots=True, kw_only=True)
class Settled:
    """It was decided what becomes of the message."""

    message: int
    accepted: bool
    reply: str
    at: float
    wall: float


@dataclass(slots=True, kw_only=True)
class Answered:
    """The reply to the final dot was written."""

    message: int


@dataclass(slots=True, kw_only=True)
class Closed:
    """The connection is over."""

    connection: int
    ended: Ended
    at: float


Event = Connection | Command | Message | LoggedIn | Settled | Answered | Closed
_EVENTS: dict[str, type[Any]] = {
    event.__name__: event for event in (Connection, Command, Message, LoggedIn, Settled, Answered, Closed)
}
_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "ended": Ended,
    "raw": lambda text: text.encode("latin-1"),
    "recipients": tuple,
}


def to_line(event: Event) -> str:
    """The event as one line of JSON; a message's bytes are written as if they were Latin-1."""
    plain: dict[str, Any] = {"event": type(event).__name__}
    for each in fields(event):
        value = getattr(event, each.name)
        plain[each.name] = value.decode("latin-1") if isinstance(value, bytes) else value
    return json.dumps(plain) + "\n"


def from_line(line: str) -> Event:
    """The event that `to_line` wrote."""
    plain = json.loads(line)
    event: Event = _EVENTS[plain.pop("event")](
        **{name: _FROM_JSON.get(name, lambda value: value)(value) for name, value in plain.items()}
    )
    return event
