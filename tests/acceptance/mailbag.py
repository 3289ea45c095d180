"""What people would read of a delivered mail."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from tests.smtp import Message

_CODE = re.compile(r"(?<!\d)\d{6}(?!\d)")


def opened(mail: Message) -> EmailMessage:
    """The mail, parsed."""
    return message_from_bytes(mail.raw, policy=default)


def subject(mail: Message) -> str:
    """Its subject."""
    return str(opened(mail)["Subject"])


def text(mail: Message) -> str:
    """Its plain text."""
    return _part(mail, "plain")


def html(mail: Message) -> str:
    """Its HTML."""
    return _part(mail, "html")


def code(mail: Message) -> str:
    """The six digits that the plain text holds.

    Raises:
        AssertionError: there is not exactly one such number.
    """
    found = set(_CODE.findall(text(mail)))
    assert len(found) == 1, f"{len(found)} six-digit numbers in the mail"
    return str(found.pop())


def _part(mail: Message, kind: str) -> str:
    part = opened(mail).get_body((kind,))
    assert part is not None, f"the mail has no {kind} part"
    return str(part.get_content())
