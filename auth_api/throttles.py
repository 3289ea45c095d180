"""Rate limits, counted in Postgres: exact sliding windows, one statement each, by the database's clock.

One row holds the moments at which one subject did one thing. The keys are keyed hashes, so that the
table tells nobody who has an account or where people connect from.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from rest_framework.exceptions import Throttled

from auth_api import clients

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
_LABEL = b"auth_api.throttles.key.1"
_HASH_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many hits in any span of this length."""

    hits: int
    span: timedelta


# What one client, and what one address, may do. A client may be many people behind one router. An address
# needs room for clumsy fingers, and no more: each hit can cost a password hash.
_CLIENT = (Limit(60, MINUTE), Limit(600, HOUR))
_ADDRESS = (Limit(30, MINUTE), Limit(100, HOUR))
_LIMITS: Mapping[str, Sequence[Limit]] = {
    "client": _CLIENT,
    "register": _ADDRESS,
    "login": (Limit(10, MINUTE), Limit(50, HOUR)),
    "reset": _ADDRESS,
    "verify": _ADDRESS,
    "confirm": _ADDRESS,
    "change": (Limit(10, MINUTE), Limit(50, HOUR)),
    "mail": (Limit(1, MINUTE), Limit(5, HOUR)),
}

# Raw, because the ORM has no ON CONFLICT … WHERE. The conflicting row is locked before SET and WHERE look
# at it, so hits that arrive together are counted one after the other. clock_timestamp(), not now(): a
# transaction that waited for the lock began before the hits it must count. Only hits that some limit still
# counts are kept.
_SPEND = """
INSERT INTO auth_api_allowance AS allowance (key, hits) VALUES (%(key)s, ARRAY[clock_timestamp()])
ON CONFLICT (key) DO UPDATE
SET hits = ARRAY(
        SELECT hit FROM unnest(allowance.hits) AS hit
        WHERE hit > clock_timestamp() - (SELECT max(span) FROM unnest(%(spans)s::interval[]) AS span)
        ORDER BY hit
    ) || clock_timestamp()
WHERE NOT EXISTS (
    SELECT FROM unnest(%(allowed)s::int[], %(spans)s::interval[]) AS rule (allowed, span)
    WHERE rule.allowed <= (
        SELECT count(*) FROM unnest(allowance.hits) AS hit WHERE hit > clock_timestamp() - rule.span
    )
)
RETURNING 1
"""

# How long until a hit would be counted again: for each limit that is reached, the time until the oldest of
# its last `allowed` hits leaves the span; the longest of these.
_WAIT = """
SELECT max(hits[cardinality(hits) - rule.allowed + 1] + rule.span - clock_timestamp())
FROM auth_api_allowance, unnest(%(allowed)s::int[], %(spans)s::interval[]) AS rule (allowed, span)
WHERE key = %(key)s AND cardinality(hits) >= rule.allowed
"""

# Rows none of whose hits any limit still counts; the newest hit is the last one.
_PRUNE = "DELETE FROM auth_api_allowance WHERE hits[cardinality(hits)] < clock_timestamp() - %s"


def check_client(action: str, client: str) -> None:
    """Count this for the client; one that is not known (a Unix socket) is not limited.

    Raises:
        Throttled: with the seconds to wait.
    """
    if client:
        _check("client", f"{action} {clients.site_of(client)}")


def check_address(action: str, address: str) -> None:
    """Count this for the address, whether or not it has an account.

    Raises:
        Throttled: with the seconds to wait.
    """
    _check(action, address)


def spend_mail(address: str) -> bool:
    """Count one mail that anybody can cause to this address; False, and not counted, when over the limit.

    Holds the address's row until the caller's transaction ends: two requests for one address take turns.
    """
    return _spend(_asked("mail", address))


def spend_nothing(address: str) -> None:
    """The same statement as `spend_mail`, where only its cost is wanted."""
    _spend(_asked("mail", f"not counted {address}"))


def prune() -> int:
    """Delete the rows that no longer count; how many."""
    longest: Any = max(limit.span for action in _LIMITS for limit in limits_of(action))
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE, [longest])
        deleted: int = cursor.rowcount
    return deleted


def _check(action: str, subject: str) -> None:
    asked = _asked(action, subject)
    if not _spend(asked):
        raise Throttled(_wait(asked).total_seconds())


def _spend(asked: Mapping[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_SPEND, asked)
        return cursor.fetchone() is not None


def _wait(asked: Mapping[str, Any]) -> timedelta:
    with connection.cursor() as cursor:
        cursor.execute(_WAIT, asked)
        row: tuple[timedelta | None] = cursor.fetchone()
    return max(row[0] or timedelta(), timedelta(seconds=1))


def _asked(action: str, subject: str) -> dict[str, Any]:
    limits = limits_of(action)
    return {
        "key": f"{action}:{_hashed(f'{action} {subject}')}",
        "allowed": [limit.hits for limit in limits],
        "spans": [limit.span for limit in limits],
    }


def limits_of(action: str) -> Sequence[Limit]:
    """The limits in force: AUTH_LIMITS of the settings, by action, replaces the ones written here."""
    changed: Mapping[str, Sequence[Limit]] = getattr(settings, "AUTH_LIMITS", {})
    return changed.get(action, _LIMITS[action])


def _hashed(subject: str) -> str:
    key = hmac.digest(settings.SECRET_KEY.encode(), _LABEL, "sha256")
    return hmac.digest(key, subject.encode(), "sha256").hex()[:_HASH_LENGTH]
