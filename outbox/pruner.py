"""Deletes closed intents past their retention, in batches that hold no lock for long."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from outbox import conf, kinds
from outbox.models import Intent
from outbox.states import CLOSED, State

NOBODY_RETENTION = timedelta(days=1)  # long enough to see why no mail came; a stranger's typing error is not kept
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many intents went, by why they could; `finished` is False when the time was over before the end."""

    counts: dict[str, int] = field(default_factory=dict)
    finished: bool = True


def count() -> Pruned:
    """How many would go now."""
    return Pruned(counts={name: rows.count() for name, rows in _past().items()})


def prune(time_limit: timedelta | None = None, told: Callable[[int], object] = bool) -> Pruned:
    """Delete batch by batch, each in a transaction of its own; safe at any time, twice at once, and interrupted.

    What somebody has locked stays for the next time. `told` hears how many each batch deleted.
    """
    ends = None if time_limit is None else time.monotonic() + time_limit.total_seconds()
    counts: dict[str, int] = {}
    for name, rows in _past().items():
        counts[name], after = 0, None
        while batch := prune_batch(rows, after):
            counts[name] += batch.deleted
            told(batch.deleted)
            after = batch.last
            if ends is not None and time.monotonic() > ends:
                return Pruned(counts=counts, finished=False)
    return Pruned(counts=counts)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step deleted, and where the next begins."""

    deleted: int
    last: datetime | None


def prune_batch(rows: QuerySet[Intent], after: datetime | None) -> Batch | None:
    """Delete the oldest of these intents with their attempts; None when there are none left.

    `after` spares the next batch from walking again over what this one left (dead letters are kept longer).
    """
    later = rows if after is None else rows.filter(closed_at__gte=after)
    with transaction.atomic():
        locked = later.order_by("closed_at").select_for_update(skip_locked=True)
        found = list(locked.values_list("pk", "closed_at")[:_BATCH])
        if not found:
            return None
        # only(): Django reads what it deletes, and a message may be of ten megabytes.
        _, deleted = Intent.objects.filter(pk__in=[pk for pk, _ in found]).only("pk").delete()
    return Batch(deleted.get(Intent._meta.label, 0), found[-1][1])


def _past() -> dict[str, QuerySet[Intent]]:
    """The intents whose time is over, by why."""
    settings, closed = conf.outbox(), Intent.objects.filter(state__in=CLOSED)
    return {
        "sent, expired or cancelled": closed.filter(~Q(state=State.DEAD), closed_at__lt=Now() - settings.retention),
        "dead": closed.filter(state=State.DEAD, closed_at__lt=Now() - settings.dead_retention),
        "cancelled because nobody has the address": closed.filter(
            state=State.CANCELLED, reason=kinds.NOBODY.reason, closed_at__lt=Now() - NOBODY_RETENTION
        ),
    }
