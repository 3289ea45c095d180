"""Who the mails come from, as the settings say it: checked, and ready for templates."""

import re
from dataclasses import dataclass, field

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from outbox import headers

_COLOUR = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_LINK = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)
_READABLE = 4.5  # the contrast that WCAG 2.2 asks for on level AA


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """`support` is an address, `logo` a picture's link or ""; `on_colour` is black or white, whichever reads well."""

    name: str
    url: str
    support: str
    address: str
    colour: str
    logo: str = ""
    on_colour: str = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what would break in mail programs, and derive `on_colour`.

        Raises:
            ValueError: naming the field and what is accepted.
        """
        if not _COLOUR.fullmatch(self.colour):  # old mail programs know no other form
            raise ValueError(f"colour {self.colour!r} is not of the form #1d4ed8")
        for name, link in (("url", self.url), ("logo", self.logo or "https://none")):
            if not _LINK.fullmatch(link):  # a mail has no page that a link could be relative to
                raise ValueError(f"{name} {link!r} is not a link that begins with https:// or http://")
        contrast_with_white = 1.05 / (_luminance(self.colour) + 0.05)
        object.__setattr__(self, "on_colour", "#ffffff" if contrast_with_white >= _READABLE else "#000000")


def brand() -> Brand:
    """What settings.EMAIL_BRAND says.

    Raises:
        ImproperlyConfigured: a key is missing, misspelt or not usable.
    """
    try:
        return Brand(**settings.EMAIL_BRAND)
    except (AttributeError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"EMAIL_BRAND: {error}") from error


def reply_to() -> str:
    """Whom answers go to, as a header's value; "" for the sender."""
    value = getattr(settings, "EMAIL_REPLY_TO", "")
    return headers.mailbox("Reply-To", value) if value else ""


def verify() -> None:
    """Refuse settings that no mail could be built with; called at the start.

    Raises:
        ImproperlyConfigured: naming the setting and what is accepted.
    """
    brand()
    for name, may_be_empty in (("DEFAULT_FROM_EMAIL", False), ("EMAIL_REPLY_TO", True)):
        value = getattr(settings, name, "")
        if not headers.is_mailbox(value) and not (may_be_empty and not value):
            raise ImproperlyConfigured(
                f'{name} is {value!r}; write name@example.com or "Name" <name@example.com>, the name in quotes.'
            )


def _luminance(colour: str) -> float:
    """How bright the colour is, 0 to 1 (WCAG 2.2, relative luminance)."""
    red, green, blue = (_linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return float(channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004
