"""The outbox settings, typed and checked once."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from outbox.policy import RetryPolicy

_SECOND = timedelta(seconds=1)
_ABOVE_ZERO = (
    *("lease", "tick", "slice", "backoff", "answer_timeout", "deadline", "lifetime"),
    *("retention", "dead_retention"),  # zero reads as "keep for ever", and would delete everything closed
)
_DOMAIN = re.compile(r"[A-Za-z0-9.-]*")  # it stands in the Message-ID of every mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """What OUTBOX_* says; the README's table gives each one's meaning."""

    lease: timedelta = timedelta(seconds=10)
    retries: int = 3
    backoff: timedelta = timedelta(minutes=1)
    backoff_factor: float = 10
    backoff_max: timedelta = timedelta(hours=6)
    lifetime: timedelta = timedelta(days=3)
    tick: timedelta = _SECOND
    slice: timedelta = _SECOND
    lanes: int = 8
    ready: int = 64
    rate: float = 0
    answer_timeout: timedelta = timedelta(minutes=1)
    deadline: timedelta = timedelta(minutes=2)
    standby_after: timedelta = timedelta(seconds=3)
    retention: timedelta = timedelta(days=30)
    dead_retention: timedelta = timedelta(days=90)
    message_id_domain: str = ""

    def __post_init__(self) -> None:
        """Refuse values that cannot work together.

        Raises:
            ImproperlyConfigured: naming the setting and what is accepted.
        """
        for name in _ABOVE_ZERO:
            if getattr(self, name) <= timedelta():
                raise ImproperlyConfigured(f"OUTBOX_{name.upper()} must be longer than nothing.")
        if self.lease < 5 * self.turn:
            raise ImproperlyConfigured(f"OUTBOX_LEASE must be at least {5 * self.turn.total_seconds()} s.")
        if self.deadline < self.answer_timeout:
            raise ImproperlyConfigured("OUTBOX_DEADLINE must not be shorter than OUTBOX_ANSWER_TIMEOUT.")
        if self.backoff_max < self.backoff:
            raise ImproperlyConfigured("OUTBOX_BACKOFF_MAX must not be shorter than OUTBOX_BACKOFF.")
        if not _DOMAIN.fullmatch(self.message_id_domain):
            raise ImproperlyConfigured("OUTBOX_MESSAGE_ID_DOMAIN must be a domain in ASCII, such as example.com.")

    @property
    def turn(self) -> timedelta:
        """The longest time between two turns of a sender."""
        return timedelta(seconds=0.2)

    @property
    def renew_every(self) -> timedelta:
        """Three renewals fit into a lease, and one of them may be late."""
        return self.lease * 0.3

    @property
    def fence(self) -> timedelta:
        """How old the last renewal may be when DATA is sent: a lease less what two clocks and a commit may take."""
        return self.lease * 0.8

    @property
    def permit_lasts(self) -> timedelta:
        """How long after the fence was looked at the message may follow: half of what the fence leaves of the lease."""
        return self.lease * 0.1

    @property
    def policy(self) -> RetryPolicy:
        """The retry policy of kinds that declare none."""
        return RetryPolicy(
            max_retries=self.retries,
            base=self.backoff,
            factor=self.backoff_factor,
            ceiling=self.backoff_max,
        )


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    known = [field.name for field in fields(Conf)]
    for name in given:
        if name.lower() not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1)
            hint = f" Did you mean {near[0].upper()}?" if near else ""
            raise ImproperlyConfigured(f"OUTBOX has no setting {name}.{hint}")
    return {name.lower(): value for name, value in given.items()}


@cache
def outbox() -> Conf:
    """The settings of this process.

    Raises:
        ImproperlyConfigured: naming the setting that is wrong.
    """
    return Conf(**_checked(getattr(settings, "OUTBOX", {})))


@receiver(setting_changed)
def _forget(*, setting: str, **_: object) -> None:
    if setting == "OUTBOX":
        outbox.cache_clear()
