"""Every read with a meaning: backlog, oldest due, dead letters, rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from outbox import breaker, sql
from outbox.models import Intent, Provider
from outbox.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a person on call asks first. `oldest_due` is how late the latest is; None when nothing is due."""

    states: dict[str, int]
    due: int
    oldest_due: timedelta | None
    breaker: str
    reason: str
    paused: bool
    last_tick: datetime | None


def status() -> Status:
    """The outbox as it stands, by the database's clock."""
    due, oldest = sql.rows(sql.DUE)[0]
    gate = breaker.gate()
    provider = Provider.objects.get(name=breaker.DEFAULT)
    opening = "starting slowly" if gate.circuit.window is not None else "closed"
    return Status(
        states=by_state(),
        due=due,
        oldest_due=oldest,
        breaker="open" if gate.circuit.is_open else opening,
        reason=provider.reason,
        paused=gate.paused,
        last_tick=provider.ticked_at,
    )


def by_state() -> dict[str, int]:
    """How many intents are in each state."""
    counted = dict(Intent.objects.values_list("state").annotate(Count("pk")).order_by())
    return {state.value: counted.get(state.value, 0) for state in State}


def latest(limit: int) -> QuerySet[Intent]:
    """The newest intents, newest first."""
    return Intent.objects.order_by("-pk")[:limit]


def visible_to(task_id: UUID, *, owner: str, address: str) -> Intent | None:
    """The intent of this id if it is this person's: by its owner or, without one, by its address."""
    mine = Q(owner=owner) | Q(owner="", recipient=address)
    return Intent.objects.filter(mine, task_id=task_id).first()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """Which dead letters are meant; times are when they died."""

    since: timedelta | None = None
    until: timedelta | None = None
    kind: str = ""
    error: str = ""
    ids: Sequence[UUID] = ()
    include_unknown: bool = False

    def find(self) -> QuerySet[Intent]:
        """The dead letters, oldest first."""
        found = Intent.objects.filter(state=State.DEAD).order_by("pk")
        if self.since is not None:
            found = found.filter(closed_at__gte=Now() - self.since)
        if self.until is not None:
            found = found.filter(closed_at__lte=Now() - self.until)
        if self.kind:
            found = found.filter(kind=self.kind)
        if self.error:
            found = found.filter(reason__icontains=self.error)
        if self.ids:
            found = found.filter(task_id__in=self.ids)
        return found if self.include_unknown else found.filter(maybe_sent=False)
