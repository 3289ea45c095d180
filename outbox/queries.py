"""Every read with a meaning: backlog, oldest due, dead letters, rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from outbox import breaker, sql, sql_figures
from outbox.counts import CAP
from outbox.models import Intent, Provider
from outbox.states import State

_STOP = {"stop": CAP + 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a person on call asks first. `oldest_due` is how late the latest is; None when nothing is due.

    Counts stop one past CAP, whatever the size of the table.
    """

    states: dict[str, int]
    due: int
    oldest_due: timedelta | None
    breaker: str
    reason: str
    paused: bool
    last_tick: datetime | None


def status() -> Status:
    """The outbox as it stands, by the database's clock."""
    due, oldest = sql.rows(sql_figures.DUE, _STOP)[0]
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
    """How many intents are in each state; like all counts it stops one past CAP."""
    counted = dict(sql.rows(sql_figures.STATES, _STOP))
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
        found = self._all()
        return found if self.include_unknown else found.filter(maybe_sent=False)

    def left_out(self) -> int:
        """How many more there are that may have arrived, and are not meant for that."""
        return 0 if self.include_unknown else self._all().filter(maybe_sent=True).count()

    def _all(self) -> QuerySet[Intent]:
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
        return found
