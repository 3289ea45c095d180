"""Decides whom a mail may really reach: everybody in production; outside of it one address, a list, or nobody."""

import re
from dataclasses import dataclass
from functools import cache
from html import escape
from ipaddress import ip_address

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from outbox.addresses import normalised
from outbox.errors import BadAddress

EVERYBODY = "*"
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_BODY = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_HARMLESS_BACKENDS = {
    f"django.core.mail.backends.{name}.EmailBackend" for name in ("console", "file", "locmem", "dummy")
}
# Where a mail server listens that passes mail on to the world; catchers of mail take others, such as 1025.
_PORTS_OF_REAL_SERVERS = {25, 465, 587}
_SETTINGS = {"DEBUG", "EMAIL_SANDBOX_TO", "EMAIL_SANDBOX_ALLOW", "EMAIL_BACKEND", "EMAIL_HOST", "EMAIL_PORT"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """`allow` holds addresses and domains whose mail goes out as it is; `to` gets the mail of all others, if set."""

    allow: frozenset[str] = frozenset()
    to: str = ""

    def __post_init__(self) -> None:
        """Refuse what can never match an address.

        Raises:
            ImproperlyConfigured: naming the setting and what is accepted.
        """
        if self.to and not _is_address(self.to):
            raise ImproperlyConfigured(f"EMAIL_SANDBOX_TO is {self.to!r}; use one address such as team@example.com.")
        for entry in self.allow:
            if entry != EVERYBODY and not _DOMAIN.fullmatch(entry) and not _is_address(entry):
                raise ImproperlyConfigured(
                    f"EMAIL_SANDBOX_ALLOW holds {entry!r}; use addresses, domains such as example.com, or * for all."
                )

    def route(self, recipient: str) -> str | None:
        """The address that really gets the mail of this recipient; None when nobody may."""
        domain = recipient.rpartition("@")[2]
        if self.allow & {EVERYBODY, recipient, domain}:
            return recipient
        return self.to or None


OPEN = Sandbox(allow=frozenset({EVERYBODY}))
REFUSAL = (
    "the sandbox lets no mail to this address out: add it or its domain to EMAIL_SANDBOX_ALLOW, or name an address "
    "of yours in EMAIL_SANDBOX_TO"
)


@cache
def current() -> Sandbox:
    """The sandbox of this process.

    With neither setting everything is let through, but for one case: DEBUG with a server that could reach real
    people. There nothing is.

    Raises:
        ImproperlyConfigured: naming the setting that is wrong.
    """
    allow = frozenset(entry.lower().removeprefix("@") for entry in getattr(settings, "EMAIL_SANDBOX_ALLOW", ()))
    to = getattr(settings, "EMAIL_SANDBOX_TO", "").lower()
    if allow or to or (settings.DEBUG and not _stays_here()):
        return Sandbox(allow=allow, to=to)
    return OPEN


def _stays_here() -> bool:
    """Whether mail surely ends on this machine."""
    if settings.EMAIL_BACKEND in _HARMLESS_BACKENDS:
        return True
    return _is_loopback(settings.EMAIL_HOST) and settings.EMAIL_PORT not in _PORTS_OF_REAL_SERVERS


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_address(entry: str) -> bool:
    try:
        return normalised(entry) == entry
    except BadAddress:
        return False


@receiver(setting_changed)
def _forget(*, setting: str, **_: object) -> None:
    if setting in _SETTINGS:
        current.cache_clear()


def marked_text(text: str, meant_for: str) -> str:
    """The text below a banner that says for whom it was."""
    return f"[Sandbox] This mail was meant for\n{meant_for}\nand nobody but you got it.\n{'-' * 40}\n\n{text}"


_BANNER = """
<table role="presentation" lang="en" dir="ltr" width="100%" cellpadding="0" cellspacing="0" border="0" \
style="width:100%;table-layout:fixed">
<tr>
<td align="center" style="padding:10px 16px;background:#7c2d12;color:#ffffff;font:600 14px/20px Arial,sans-serif">\
Sandbox: this mail was meant for <span style="overflow-wrap:anywhere;word-break:break-word">{}</span> \
and nobody but you got it.</td>
</tr>
</table>"""


def marked_html(html: str, meant_for: str) -> str:
    """The page with a banner at its top that says for whom it was."""
    begins = body.end() if (body := _BODY.search(html)) else 0
    return html[:begins] + _BANNER.format(escape(meant_for)) + html[begins:]
