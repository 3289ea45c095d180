"""Typed readers of environment variables. A bad value stops the start with a sentence that names it."""

import difflib
import os
import re
from collections.abc import Iterable
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

_UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_FLAGS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_MAX_PORT = 65535


def text(name: str, default: str | None = None) -> str:
    """The variable, or what the file named by NAME_FILE holds (for secrets), or the default.

    Raises:
        ImproperlyConfigured: it is missing without a default, or its file cannot be read.
    """
    if path := os.environ.get(f"{name}_FILE"):
        return _from_file(name, path)
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"{name} is required: set it, or {name}_FILE to a file that holds it.")
    return value


def secret(name: str, default: str | None = None) -> str:
    """As `text`, and not empty: what is signed with an empty key is signed by everybody."""
    value = text(name, default)
    if not value.strip():
        raise ImproperlyConfigured(f"{name} is required and empty: set it, or {name}_FILE to a file that holds it.")
    return value


def _from_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE names {path!r}, which cannot be read: {error}.") from error


def flag(name: str, *, default: bool) -> bool:
    """1, true, yes, on or 0, false, no, off; an empty value is the default."""
    value = text(name, "").strip().lower()
    if not value:
        return default
    if value not in _FLAGS:
        raise ImproperlyConfigured(f"{name} is {value!r}; use one of {', '.join(_FLAGS)}.")
    return _FLAGS[value]


def integer(name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
    """A whole number within the bounds."""
    value = text(name, str(default)).strip()
    bounds = f"a whole number from {least}" + (f" to {most}" if most is not None else "")
    if not re.fullmatch(r"[0-9]{1,18}", value) or int(value) < least or (most is not None and int(value) > most):
        raise ImproperlyConfigured(f"{name} is {value!r}; use {bounds}.")
    return int(value)


def number(name: str, default: float, *, least: float) -> float:
    """A decimal number not under `least`."""
    value = text(name, str(default)).strip()
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) or float(value) < least:
        raise ImproperlyConfigured(f"{name} is {value!r}; use a number from {least}.")
    return float(value)


def port(name: str, default: int) -> int:
    """A TCP port."""
    return integer(name, default, least=1, most=_MAX_PORT)


def duration(name: str, default: str, *, above_zero: bool = False) -> timedelta:
    """A time such as `10`, `10s`, `5m`, `6h`, `3d`; without a unit it is seconds."""
    value = text(name, default).strip()
    match = re.fullmatch(r"([0-9]{1,8}(?:\.[0-9]{1,6})?)(ms|s|m|h|d|)", value)  # nine digits of days: too many
    if match is None:
        raise ImproperlyConfigured(f"{name} is {value!r}; use a time such as 10, 10s, 5m, 6h or 3d.")
    if above_zero and not float(match[1]):
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be longer than nothing.")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def refuse_both(one: str, other: str) -> None:
    """Stop when two flags are on that exclude each other."""
    if flag(one, default=False) and flag(other, default=False):
        raise ImproperlyConfigured(f"{one} and {other} are both on; use one of them at most.")


def words(name: str, default: str = "") -> list[str]:
    """A list separated by commas; spaces around its words do not count."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Addresses or networks such as 10.0.0.0/8, separated by commas."""
    try:
        return [ip_network(word) for word in words(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}; use networks such as 10.0.0.0/8, 192.0.2.7.") from error


def database(name: str) -> dict[str, Any]:
    """A PostgreSQL address such as postgresql://user:password@host:5432/name, as Django wants it.

    The value itself is never repeated in the complaint: it holds a password.
    """
    form = f"{name} must look like postgresql://user:password@host:5432/name"
    try:
        url = text(name)
        _ = urlsplit(url).port  # a bad port is raised only when it is asked for
        parsed = dict(dj_database_url.parse(url))
    except ValueError:  # ParseError and UnknownSchemeError are ValueErrors; all quote what they could not read
        raise ImproperlyConfigured(f"{form}; this one cannot be read.") from None
    if "://" not in url:  # it would be taken for the name of a database behind the local socket
        raise ImproperlyConfigured(f"{form}; this one has another form.")
    if parsed["ENGINE"] != "django.db.backends.postgresql" or not parsed["NAME"]:
        raise ImproperlyConfigured(f"{form}; only PostgreSQL works, and the database needs a name.")
    return parsed


def redis(name: str) -> str:
    """A Redis address such as redis://:password@host:6379/0, or rediss:// for TLS."""
    form = f"{name} must look like redis://:password@host:6379/0 (or rediss:// for TLS)"
    value = text(name)
    try:
        parts = urlsplit(value)
        known = parts.scheme in {"redis", "rediss"} and parts.hostname and (parts.port or 1)
    except ValueError:  # it quotes what it could not read
        raise ImproperlyConfigured(f"{form}; this one cannot be read.") from None
    if not known or not re.fullmatch(r"/?[0-9]*", parts.path):
        raise ImproperlyConfigured(f"{form}; this one has another form.")
    return value


def zone(name: str, default: str) -> str:
    """The name of a time zone in the IANA database."""
    value = text(name, default)
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ImproperlyConfigured(f"{name} is {value!r}; use an IANA name such as Asia/Dubai.") from error
    return value


def refuse_unknown(prefix: str, known: Iterable[str]) -> None:
    """Stop at a variable with the prefix that nobody reads: most often a misspelt one."""
    names = {f"{prefix}{name}" for name in known}
    for name in os.environ:
        if name.startswith(prefix) and name.removesuffix("_FILE") not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(names))}."
            raise ImproperlyConfigured(f"{name} is not a setting; {hint}")
