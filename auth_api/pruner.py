"""Deletes what no longer counts: old reset requests, ended sessions, used-up allowances."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models.functions import Now
from knox.models import AuthToken

from auth_api import throttles
from auth_api.models import PasswordReset

_KEPT = timedelta(days=1)  # long enough to see, in the admin's outbox, what became of a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows went."""

    requests: int
    sessions: int
    allowances: int


def prune() -> Pruned:
    """Delete it all; safe at any time, and twice at once."""
    requests, _ = PasswordReset.objects.filter(expires_at__lt=Now() - _KEPT).delete()
    sessions, _ = AuthToken.objects.filter(expiry__lt=Now()).delete()
    return Pruned(requests=requests, sessions=sessions, allowances=throttles.prune())
