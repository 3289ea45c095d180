"""Turns what smtplib raised, and when, into an outcome."""

import re
import smtplib
from datetime import timedelta

from outbox.outcomes import Deferred, Outcome, Phase, Refused, Reply, Unavailable, Unknown

_LONGEST_TEXT = 500
_ENHANCED = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})\b")  # RFC 3463
_HINT = re.compile(r"\b(?:try again|retry)\b.{0,20}?\b(\d{1,5})\s*(s\b|sec|min)", re.IGNORECASE)
_PERMANENT = 500
_TOO_BIG = {552}  # about this mail's size, not about the sender
_TOO_BIG_ENHANCED = {"5.3.4"}
_TOO_LONG = "Line too long"  # smtplib's own words when a reply has no end; a provider's are bytes
_BEFORE_MAIL = {Phase.CONNECT, Phase.AUTH}


def reply(code: int | None, text: bytes | str) -> Reply:
    """What the provider said, cleaned so that a table can hold it."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    words = clean(words)
    match = _ENHANCED.match(words)
    return Reply(text=words, code=code if code and code > 0 else None, enhanced=match[1] if match else "")


def clean(text: str) -> str:
    """One line without NUL, control characters and half characters, of at most 500 letters."""
    shown = text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(shown.split())
    return line[:_LONGEST_TEXT] or "no reason given"


def classify(error: Exception, *, phase: Phase, default_sender: bool = True) -> Outcome:
    """The outcome of an attempt that ended with this error in this phase.

    Raises:
        The error itself, when it is not one of the network's or the provider's: a bug is never an outcome.
    """
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=replies):  # not an SMTPResponseException
            code, text = next(iter(replies.values()))
            return _about_this_mail(phase, reply(code, text))
        case smtplib.SMTPSenderRefused(smtp_code=code, smtp_error=text):
            return _about_the_sender(phase, reply(code, text), is_default=default_sender)
        case smtplib.SMTPResponseException(smtp_error=text) if isinstance(text, str) and text.startswith(_TOO_LONG):
            said = reply(None, text)
            return _lost(phase, said) if phase is Phase.DATA else Unavailable(phase=phase, reply=said)
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=text):
            return _about_response(phase, reply(code, text))
        case smtplib.SMTPException() | OSError():  # the connection is gone: how far it had come decides
            return _lost(phase, Reply(text=clean(str(error) or type(error).__name__)))
        case ValueError() if phase in _BEFORE_MAIL:  # its words may quote the password
            return _lost(phase, Reply(text=f"{type(error).__name__}: the host, user or password cannot be used"))
    raise error


def _lost(phase: Phase, said: Reply) -> Outcome:
    """The connection went away, timed out, or makes no sense any more."""
    match phase:
        case Phase.CONNECT | Phase.AUTH:
            return Unavailable(phase=phase, reply=said)
        case Phase.ENVELOPE:
            return Deferred(phase=phase, reply=said)
        case _:
            return Unknown(phase=phase, reply=said)


def _about_response(phase: Phase, said: Reply) -> Outcome:
    if phase in _BEFORE_MAIL or not _is_refusal(said):
        return _lost(phase, said)
    return _about_this_mail(phase, said)


def _is_refusal(said: Reply) -> bool:
    return (said.code or 0) // 100 in {4, 5}


def _about_the_sender(phase: Phase, said: Reply, *, is_default: bool) -> Outcome:
    """A 5xx to MAIL from our own address says nothing about the recipient's mailbox, unless it is about the size."""
    too_big = said.code in _TOO_BIG or said.enhanced in _TOO_BIG_ENHANCED
    if is_default and (said.code or 0) >= _PERMANENT and not too_big:
        return Unavailable(phase=phase, reply=said)
    return _about_response(phase, said)


def _about_this_mail(phase: Phase, said: Reply) -> Outcome:
    if (said.code or 0) >= _PERMANENT:
        return Refused(phase=phase, reply=said)
    return Deferred(phase=phase, reply=said, hint=_hint(said.text))


def _hint(text: str) -> timedelta | None:
    """The wait that the provider asks for: "try again in 300 s"."""
    match = _HINT.search(text)
    if match is None:
        return None
    return timedelta(**{"minutes" if match[2].lower() == "min" else "seconds": int(match[1])})
