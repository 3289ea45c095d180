"""Ended attempts as spans of OpenTelemetry, below the request that asked for the mail."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from django.conf import settings

from outbox import events

_PARTS = ("opentelemetry.propagate", "opentelemetry.trace")  # not imported unless it is switched on
_NS = 1_000_000_000


def connect() -> None:
    """Write spans from now on, if OpenTelemetry is switched on."""
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        write = _Writer(*map(import_module, _PARTS)).write
        events.attempt_ended.connect(write, weak=False, dispatch_uid="outbox.spans")


@dataclass(frozen=True, slots=True)
class _Writer:
    propagate: ModuleType
    api: ModuleType

    def write(self, *, trace: Mapping[str, str], seconds: float | None, **facts: Any) -> None:
        """One span for an attempt: it ends now, when it was recorded."""
        now = time.time_ns()
        names = ("task_id", "kind", "number", "outcome", "phase", "code")
        span = self.api.get_tracer("outbox").start_span(
            f"send {facts['kind']}",
            context=self.propagate.extract(dict(trace)),
            kind=self.api.SpanKind.CONSUMER,
            attributes={f"outbox.{name}": str(facts[name]) for name in names},
            start_time=now - round((seconds or 0) * _NS),
        )
        if facts["outcome"] != "delivered":
            span.set_status(self.api.StatusCode.ERROR, f"{facts['outcome']} {facts['code'] or ''}".strip())
        span.end(end_time=now)
