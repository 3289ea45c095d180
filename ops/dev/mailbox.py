"""Keeps received mails, one file each, and reads them as a mail program would: bad input included."""

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One delivery: the envelope and the bytes, as they came."""

    id: str
    received: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    @property
    def subject(self) -> str:
        """The subject in readable letters."""
        return self.header("Subject")

    @property
    def source(self) -> str:
        """The bytes as text, with what is not UTF-8 marked."""
        return self.raw.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """The plain-text body; empty if there is none."""
        return _body(self._message(), "plain")

    @property
    def html(self) -> str:
        """The HTML body; empty if there is none."""
        return _body(self._message(), "html")

    def header(self, name: str) -> str:
        """A header, decoded; empty if it is missing, raw if it cannot be decoded."""
        value = message_from_bytes(self.raw, policy=policy.compat32).get(name, "")
        try:
            return " ".join(str(make_header(decode_header(value))).split())
        except (LookupError, ValueError):  # an unknown charset, or bytes that are not in it
            return " ".join(str(value).split())

    def _message(self) -> Message:
        return message_from_bytes(self.raw, policy=policy.default)


def _body(message: Message, subtype: str) -> str:
    """The first part of that kind which is no attachment."""
    for part in message.walk():
        if part.get_content_type() == f"text/{subtype}" and part.get_content_disposition() != "attachment":
            return _decoded(part)
    return ""


def _decoded(part: Message) -> str:
    try:
        if isinstance(part, EmailMessage):
            return str(part.get_content())
    except (LookupError, ValueError):  # a charset nobody knows: show what can be shown
        pass
    payload = part.get_payload(decode=True)
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


class Mailbox:
    """A folder of mails. Several processes may use it: a mail appears in one step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, *, sender: str, recipients: list[str], raw: bytes) -> None:
        """Keep a mail; when this returns, everybody sees it."""
        received = time.time_ns()
        facts = {"received": received, "from": sender, "to": recipients, "raw": raw.decode("latin-1")}
        partial = self._folder / f"{received}-{os.urandom(4).hex()}.partial"
        partial.write_text(json.dumps(facts), encoding="ascii")
        partial.replace(partial.with_suffix(".json"))

    def newest_first(self) -> list[Mail]:
        """Every mail."""
        return [_read(path) for path in sorted(self._folder.glob("*.json"), reverse=True)]

    def find(self, mail_id: str) -> Mail | None:
        """The mail of that id; None if there is none. The id may come from a stranger."""
        return next((_read(path) for path in self._folder.glob("*.json") if path.stem == mail_id), None)


def _read(path: Path) -> Mail:
    facts: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
    return Mail(
        id=path.stem,
        received=datetime.fromtimestamp(facts["received"] / 1e9, UTC),
        sender=facts["from"],
        recipients=tuple(facts["to"]),
        raw=facts["raw"].encode("latin-1"),
    )
