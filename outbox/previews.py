"""Mails to look at, without anything secret in them: every kind in every language by its sample, or one intent's."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.template.loader import render_to_string

from outbox import kinds, messages, rendering
from outbox.errors import NotAllowed
from outbox.messages import Mail
from outbox.models import Intent
from outbox.rendering import Rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One kind in one language; `mail` is the finished message."""

    kind: str
    language: str
    rendered: Rendered
    mail: Mail

    @property
    def direction(self) -> str:
        """Which way the language is read, as in HTML."""
        return "rtl" if self.language.partition("-")[0] in settings.LANGUAGES_BIDI else "ltr"

    @property
    def octets(self) -> int:
        """The size of the finished message; Gmail clips a page of more than 102 KB."""
        return len(self.mail.data)

    def part(self, suffix: str) -> bytes | None:
        """What KIND.LANGUAGE.SUFFIX holds: the page (html), the text (txt) or the source (eml); None for others."""
        match suffix:
            case "html":
                return self.rendered.html.encode()
            case "txt":
                return self.rendered.text.encode()
            case "eml":
                return self.mail.data
        return None


PARTS = ("html", "txt", "eml")


def build(kind: str, language: str) -> Preview:
    """The kind's mail with its sample context.

    Raises:
        UnknownKind: no kind has this name.
        jinja2.TemplateError: its templates are wrong.
    """
    rendered = rendering.render(kind, language, kinds.get(kind).sample)
    message_id = f"<preview-{kind}-{language}@example.com>"
    mail = messages.build(rendered, recipient="layla@example.com", message_id=message_id)
    return Preview(kind=kind, language=rendered.language, rendered=rendered, mail=mail)


def build_all() -> Iterator[Preview]:
    """Every kind in every language."""
    return (build(kind, language) for kind in kinds.names() for language, _ in settings.LANGUAGES)


def build_for(intent: Intent) -> Preview:
    """The mail of this intent from its stored context. What is bound late is the sample's: no code is ever derived.

    Raises:
        NotAllowed: another app handed it over finished, and it stays sealed.
        UnknownKind, BadContext: this release does not know its kind, or the kind has other variables now.
        jinja2.TemplateError: its templates are wrong.
    """
    if intent.kind == kinds.RAW.name:
        raise NotAllowed("another app handed this message over finished; it is sealed, and only the provider gets it")
    kind = kinds.get(intent.kind)
    stored = kind.sample if intent.is_sample else kind.complete(intent.context)
    late = {name: kind.sample[name] for name in kind.late}
    rendered = rendering.render(intent.kind, intent.language, {**stored, **late})
    mail = messages.build(rendered, recipient=intent.recipient, message_id=intent.message_id)
    return Preview(kind=intent.kind, language=rendered.language, rendered=rendered, mail=mail)


def write(folder: Path) -> int:
    """Write KIND.LANGUAGE.html, .txt and .eml, and an index.html that shows them side by side; how many mails.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    previews = list(build_all())
    for preview in previews:
        for suffix in PARTS:
            path = folder / f"{preview.kind}.{preview.language}.{suffix}"
            path.write_bytes(preview.part(suffix) or b"")
    (folder / "index.html").write_text(render_to_string("admin/outbox/index.html", {"previews": previews}), "utf-8")
    return len(previews)
