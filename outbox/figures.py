"""What people on call and machines look at: each figure costs the same on any history."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from outbox import breaker, histogram, sql, sql_figures
from outbox.addresses import normalised
from outbox.counts import CAP
from outbox.models import Provider, Total
from outbox.states import State

_CANARIES = 3  # as in ops/monitoring; one may be late, and one may be lost with its worker
_NEWEST_DEAD = 1_000  # enough to see why mails die


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """How many intents of one kind are in one open state."""

    state: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """How often one is sent, and how long ago one was accepted or, before that, first asked for; in seconds."""

    every: float
    age: float | None  # None before the first one was asked for

    @property
    def late_after(self) -> float:
        """From which age on somebody should look."""
        return _CANARIES * self.every

    @property
    def is_late(self) -> bool:
        """Whether somebody should look."""
        return self.age is not None and self.age > self.late_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What flows now. Counts stop one past CAP; ages are in seconds, None when there is nothing to be old."""

    open: tuple[Open, ...]
    due: int
    oldest_due: float | None
    dead: int
    provider: Provider
    tick_age: float | None
    canary: Canary | None  # None when none is sent

    @property
    def held(self) -> int:
        """How many are claimed or being sent."""
        return sum(row.count for row in self.open if row.state != State.PENDING)


def flow() -> Flow:
    """The outbox as it stands, by the database's clock, in three queries."""
    stop = {"stop": CAP + 1}
    opened = sql.rows(sql_figures.OPEN_INTENTS, stop)
    sink = normalised(settings.CANARY_TO) if settings.CANARY_TO else None
    [(due, oldest, dead, canary)] = sql.rows(sql_figures.DUE_DEAD_CANARY, {**stop, "canary": sink})
    provider, tick_age = _provider()
    return Flow(
        open=tuple(Open(state=state, kind=kind, count=count) for state, kind, count in opened),
        due=due,
        oldest_due=_seconds(oldest),
        dead=dead,
        provider=provider,
        tick_age=_seconds(tick_age),
        canary=Canary(every=settings.CANARY_EVERY.total_seconds(), age=_seconds(canary)) if sink else None,
    )


def _provider() -> tuple[Provider, timedelta | None]:
    """The provider's row and the age of its last tick; before the first there is no row, and looking makes none."""
    age = ExpressionWrapper(Now() - F("ticked_at"), output_field=DurationField())
    found = Provider.objects.annotate(tick_age=age).filter(name=breaker.DEFAULT).first()
    return (found, found.tick_age) if found else (Provider(name=breaker.DEFAULT), None)


def dead_reasons() -> list[dict[str, Any]]:
    """Why the newest dead letters died, most frequent first: outcome, code, enhanced, count and an example."""
    return sql.records(sql_figures.DEAD_REASONS, {"newest": _NEWEST_DEAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """What ended in one stretch of time: counts by outcome, and the latencies of the delivered."""

    start: datetime
    counts: Mapping[str, int]
    buckets: Sequence[int]


def charts(now: datetime) -> dict[str, list[Bin]]:
    """The last hour by the minute and the last day by the half hour, without holes."""
    found: dict[tuple[str, datetime], list[tuple[str, int, list[int]]]] = {}
    for chart, start, *what in sql.rows(sql_figures.CHARTS):
        found.setdefault((chart, start), []).append((what[0], what[1], what[2]))
    return {
        name: [_bin(start, found.get((name, start), [])) for start in _starts(now, width, count)]
        for name, width, count in (("hour", 60, 60), ("day", 1800, 48))
    }


def _starts(now: datetime, width: int, count: int) -> list[datetime]:
    newest = int(now.timestamp()) // width * width
    return [datetime.fromtimestamp(newest - back * width, UTC) for back in reversed(range(count))]


def _bin(start: datetime, rows: list[tuple[str, int, list[int]]]) -> Bin:
    counts = {outcome: count for outcome, count, _ in rows}
    return Bin(start=start, counts=counts, buckets=histogram.added(buckets for _, _, buckets in rows))


def totals() -> Iterable[Total]:
    """All that was ever counted, by kind and outcome."""
    return Total.objects.order_by("kind", "outcome")


def _seconds(time: timedelta | None) -> float | None:
    return None if time is None else time.total_seconds()
