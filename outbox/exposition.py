"""The figures in the form that Prometheus reads. Every name is in ops/monitoring too: a test compares them."""

import math
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from outbox import figures, kinds
from outbox.counts import CAP
from outbox.histogram import BOUNDS
from outbox.models import Total
from outbox.outcomes import NAMES
from outbox.sql_figures import DIED

CONTENT_TYPE = CONTENT_TYPE_LATEST


def text() -> bytes:
    """All metrics as they are now; they come from PostgreSQL, so every web process tells the same."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Outbox())
    return generate_latest(registry)


class _Outbox(Collector):
    def collect(self) -> Iterator[Metric]:
        """Each metric with its samples."""
        flow = figures.flow()
        yield from _backlog(flow)
        yield from _dispatch(flow)
        yield from _counters([*figures.totals()])
        if flow.canary:
            yield from _canary(flow.canary)


def _backlog(flow: figures.Flow) -> Iterator[Metric]:
    capped = f"counted up to {CAP}"
    yield GaugeMetricFamily("outbox_due", f"Mails that are due now, {capped}.", value=min(flow.due, CAP))
    yield GaugeMetricFamily(
        "outbox_oldest_due_seconds", "How late the latest due mail is; 0 when none is.", value=flow.oldest_due or 0
    )
    by_state = GaugeMetricFamily("outbox_intents", f"Open mails, each state {capped}.", labels=["state", "kind"])
    for row in flow.open:
        by_state.add_metric([row.state, row.kind], row.count)
    yield by_state
    yield GaugeMetricFamily(
        "outbox_dead_letters", f"Mails that somebody must look at, {capped}.", value=min(flow.dead, CAP)
    )


def _dispatch(flow: figures.Flow) -> Iterator[Metric]:
    provider, age = flow.provider, flow.tick_age
    yield GaugeMetricFamily("outbox_breaker_open", "1 while the provider is away.", value=bool(provider.opened_at))
    yield GaugeMetricFamily("outbox_starting_slowly", "1 after it came back.", value=provider.window is not None)
    yield GaugeMetricFamily("outbox_paused", "1 while a person stopped dispatch.", value=bool(provider.paused_at))
    yield GaugeMetricFamily(
        "outbox_tick_age_seconds", "Since the last tick of the dispatcher.", value=math.inf if age is None else age
    )


def _canary(canary: figures.Canary) -> Iterator[Metric]:
    yield GaugeMetricFamily("outbox_canary_every_seconds", "How often a canary is sent.", value=canary.every)
    if canary.age is not None:
        said = "Since the last canary was accepted or, while none was, since the first was asked for."
        yield GaugeMetricFamily("outbox_canary_age_seconds", said, value=canary.age)


def _counters(totals: list[Total]) -> Iterator[Metric]:
    ended = CounterMetricFamily("outbox_attempts", "Attempts that ended.", labels=["kind", "outcome"])
    died = CounterMetricFamily("outbox_died", "Mails that became dead letters.", labels=["kind"])
    counted = {(total.kind, total.outcome): total.count for total in totals}
    for (kind, outcome), count in {**_nothing(), **counted}.items():
        if outcome == DIED:
            died.add_metric([kind], count)
        else:
            ended.add_metric([kind, outcome], count)
    yield ended
    yield died
    took = HistogramMetricFamily(
        "outbox_delivery_seconds", "From when a mail was first due until the provider accepted it.", labels=["kind"]
    )
    for total in totals:
        if total.outcome == "delivered":
            took.add_metric([total.kind], _cumulative(total.buckets), total.seconds)
    yield took


def _nothing() -> dict[tuple[str, str], int]:
    """Zero for all that may come: Prometheus sees no increase where a counter begins with the first thousand."""
    names = [*kinds.names(), kinds.RAW.name]
    return {(kind, outcome): 0 for kind in names for outcome in (*NAMES.values(), DIED)}


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    return list(zip(bounds, accumulate(buckets), strict=True))
