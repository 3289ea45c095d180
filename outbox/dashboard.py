"""The first page of the admin: whether mail flows, within ten seconds of looking."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from outbox import charts, counts, figures, histogram, wording
from outbox.figures import Bin, Canary, Flow
from outbox.outcomes import NAMES

_LATE_S = 300  # as in outbox_status --check and in ops/monitoring
_TICK_S = 60
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Tile:
    """One number with its name; `tone` is good, bad or plain."""

    name: str
    value: str
    tone: str = "plain"


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback: the figures, for those who may see mails."""
    if not request.user.has_perm("outbox.view_intent"):
        return context
    flow, now = figures.flow(), timezone.now()
    drawn = figures.charts(now)
    return {
        **context,
        "title": "Dashboard",
        "flow": flow,
        "problems": problems(flow),
        "tiles": [*_tiles_now(flow), *_tiles_past(drawn), *_tiles_canary(flow.canary)],
        "hour": _drawn(drawn["hour"]),
        "day": _drawn(drawn["day"]),
        "legend": {"outcomes": list(NAMES.values()), "latencies": list(_SHARES)},
        "dead_reasons": figures.dead_reasons() if flow.dead else [],
        "may_pause": request.user.has_perm("outbox.pause_provider"),
    }


def problems(flow: Flow) -> list[str]:
    """What somebody on call should look at, in sentences; nothing when mail flows."""
    provider, age, canary = flow.provider, flow.tick_age, flow.canary
    found = {
        f"Dispatch is paused by {provider.paused_by}.": provider.paused_at is not None,
        f"The provider is away: {provider.reason}": provider.opened_at is not None,
        "Mail has been due for more than 5 minutes.": (flow.oldest_due or 0) > _LATE_S,
        "No tick of the dispatcher for a minute: is beat running, and a worker for the queue outbox?": (
            age is None or age > _TICK_S
        ),
    }
    sentences = [sentence for sentence, holds in found.items() if holds]
    if canary and canary.is_late:
        sentences.append(f"No canary was accepted for {_age(canary.late_after)}.")
    return sentences


def _tiles_now(flow: Flow) -> list[Tile]:
    late = flow.oldest_due
    return [
        Tile("due now", counts.words(flow.due)),
        Tile("oldest due", _age(late), "bad" if late and late > _LATE_S else "plain"),
        Tile("being sent", counts.words(flow.held)),
        Tile("dead letters", counts.words(flow.dead), "bad" if flow.dead else "good"),
        Tile("last tick", f"{_age(flow.tick_age)} ago" if flow.tick_age is not None else "never"),
    ]


def _tiles_past(drawn: dict[str, list[Bin]]) -> list[Tile]:
    tiles = [Tile(f"sent in the last {name}", f"{_delivered(bins):,}") for name, bins in drawn.items()]
    buckets = histogram.added(each.buckets for each in drawn["hour"])
    known = {name: histogram.quantile(buckets, share) for name, share in _SHARES.items()}
    return tiles + [Tile(f"latency {name}, last hour", _exact(seconds)) for name, seconds in known.items()]


def _tiles_canary(canary: Canary | None) -> list[Tile]:
    if canary is None:
        return []
    if canary.age is None:
        return [Tile("last canary", "none yet")]
    return [Tile("last canary", f"{_age(canary.age)} ago", "bad" if canary.is_late else "good")]


def _drawn(bins: list[Bin]) -> dict[str, charts.Chart]:
    moments = [each.start for each in bins]
    outcomes = {name: [each.counts.get(name, 0) for each in bins] for name in NAMES.values()}
    times = {name: [histogram.quantile(each.buckets, share) for each in bins] for name, share in _SHARES.items()}
    return {
        "sent": charts.bars(moments, {"delivered": outcomes["delivered"]}),
        "outcomes": charts.bars(moments, outcomes),
        "latencies": charts.lines(moments, times),
    }


def _delivered(bins: list[Bin]) -> int:
    return sum(each.counts.get("delivered", 0) for each in bins)


def _age(seconds: float | None) -> str:
    return "–" if seconds is None else wording.span_of(seconds)


def _exact(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.2g} s" if seconds < 10 else wording.span_of(seconds)  # noqa: PLR2004
