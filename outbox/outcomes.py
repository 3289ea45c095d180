"""What one attempt can end in, and how far its dialogue had come."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Phase(StrEnum):
    """The last step of the SMTP dialogue that was begun (RFC 5321 section 3)."""

    CONNECT = "connect"
    AUTH = "auth"
    ENVELOPE = "envelope"
    DATA = "data"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the provider said: its text, the SMTP code and the enhanced code (RFC 3463) if any."""

    text: str
    code: int | None = None
    enhanced: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """What every outcome carries: the phase reached and the words for it."""

    phase: Phase
    reply: Reply


class Delivered(_Ended):
    """The provider accepted the mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred(_Ended):
    """Not now; the provider may have said how long to wait."""

    hint: timedelta | None = None


class Refused(_Ended):
    """The provider will never take this mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable(_Ended):
    """The provider takes no mail at all now; this says nothing about this one, which is due after the wait."""

    wait: timedelta = timedelta()


class Unknown(_Ended):
    """The mail was handed over and no answer came: it may or may not have been accepted."""


class Broken(_Ended):
    """The mail cannot be rendered or built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack(_Ended):
    """Not handed over, for a reason of our own; due again after the wait."""

    wait: timedelta = timedelta()


class Void(_Ended):
    """What the mail was about is over, so it must not be sent."""


Outcome = Delivered | Deferred | Refused | Unavailable | Unknown | Broken | GivenBack | Void

NAMES: dict[type[Outcome], str] = {
    Delivered: "delivered",
    Deferred: "deferred",
    Refused: "refused",
    Unavailable: "unavailable",
    Unknown: "unknown",
    Broken: "broken",
    GivenBack: "given back",
    Void: "void",
}
