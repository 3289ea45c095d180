"""Checks the invariants on the live tables."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet
from django.db.models.functions import Now

from outbox import conf, sql
from outbox.models import Attempt, Intent
from outbox.states import HELD, OPEN, State

_EXAMPLES = 5
_GRACE = timedelta(seconds=30)  # what a sweep may be late after a restart of everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An invariant that does not hold: how many rows break it, and some of them."""

    invariant: str
    count: int
    examples: list[str]


_ATTEMPTS = Attempt.objects.filter(intent=OuterRef("pk"))
_MAYBE_OUT = _ATTEMPTS.filter(outcome__in=("unknown", "delivered"), phase__in=("data", "answered"))


def _unrecorded() -> QuerySet[Intent]:
    return Intent.objects.exclude(state=State.SENDING).annotate(ended=Count("history")).exclude(ended=F("attempts"))


def _sending_unrecorded() -> QuerySet[Intent]:
    sending = Intent.objects.filter(state=State.SENDING).annotate(ended=Count("history"))
    return sending.exclude(ended=F("attempts") - 1)


def _sent_without_delivery() -> QuerySet[Intent]:
    return Intent.objects.filter(~Exists(_ATTEMPTS.filter(outcome="delivered")), state=State.SENT)


def _delivered_but_not_sent() -> QuerySet[Intent]:
    newest = _ATTEMPTS.filter(outcome="delivered", number=OuterRef("attempts"))
    return Intent.objects.filter(Exists(newest)).exclude(state=State.SENT)


def _expired_but_maybe_sent() -> QuerySet[Intent]:
    return Intent.objects.filter(Exists(_MAYBE_OUT), state=State.EXPIRED)


def _lease_long_over() -> QuerySet[Intent]:
    late = Now() - (2 * conf.outbox().lease + _GRACE)
    return Intent.objects.filter(state__in=HELD, lease_until__lt=late)


def _lifetime_long_over() -> QuerySet[Intent]:
    return Intent.objects.filter(state__in=OPEN - {State.SENDING}, expires_at__lt=Now() - _GRACE)


def _numbers_beyond() -> QuerySet[Intent]:
    return Intent.objects.filter(Exists(_ATTEMPTS.filter(number__gt=OuterRef("attempts"))))


_INVARIANTS: dict[str, Callable[[], QuerySet[Intent]]] = {
    "every attempt that ended is recorded": _unrecorded,
    "an attempt under way is not recorded yet": _sending_unrecorded,
    "no attempt is numbered beyond its intent's count": _numbers_beyond,
    "what is sent was delivered": _sent_without_delivery,
    "what the newest attempt delivered is sent": _delivered_but_not_sent,
    "expired means provably not sent": _expired_but_maybe_sent,
    "no lease is long over": _lease_long_over,
    "nothing that is not under way is long past its lifetime": _lifetime_long_over,
}


def examine() -> list[Finding]:
    """Every invariant that does not hold, in one snapshot; an empty list is health."""
    with transaction.atomic():
        # Tables are compared with each other, so all must be seen at one moment; only the outermost block can say so.
        if len(connection.atomic_blocks) == 1:
            sql.rows("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        found = [_finding(name, rows()) for name, rows in _INVARIANTS.items()]
        found.append(_constraints())
    return [finding for finding in found if finding.count]


def names() -> list[str]:
    """The invariants that are checked, in words."""
    return [*_INVARIANTS, "every constraint of the tables is there and valid"]


def _finding(name: str, rows: QuerySet[Intent]) -> Finding:
    ids = [str(task_id) for task_id in rows.values_list("task_id", flat=True)[:_EXAMPLES]]
    return Finding(invariant=name, count=rows.count() if ids else 0, examples=ids)


def _constraints() -> Finding:
    wanted = {c.name for model in (Intent, Attempt) for c in model._meta.constraints}
    valid = {name for (name,) in sql.rows(sql.VALID_CONSTRAINTS)}
    missing = sorted(wanted - valid)
    return Finding(invariant=names()[-1], count=len(missing), examples=missing)
