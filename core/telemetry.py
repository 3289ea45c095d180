"""Sentry and OpenTelemetry: each switched on by its variable, and neither imported otherwise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured

from core.logs import without_addresses

_HOW = "pip install -r ops/monitoring/requirements.txt"
_PARTS = ("trace", "propagate", "sdk.trace", "sdk.trace.export", "exporter.otlp.proto.http.trace_exporter")
_otel: "_Otel | None" = None  # once it is switched on


@dataclass(frozen=True, slots=True)
class _Otel:
    """What a request needs of OpenTelemetry."""

    tracer: Any
    trace: ModuleType
    propagate: ModuleType


def start_sentry(dsn: str) -> None:
    """Report errors to Sentry, without anybody's address or secret; nothing when the DSN is empty.

    Raises:
        ImproperlyConfigured: SENTRY_DSN is set, and sentry-sdk is not installed or refuses it.
    """
    if not dsn:
        return
    sentry = _needed("sentry_sdk", "SENTRY_DSN", "sentry-sdk")
    try:
        sentry.init(
            dsn=dsn,
            send_default_pii=False,
            include_local_variables=False,  # they hold codes, passwords and whole mails
            max_request_body_size="never",
            before_send=_cleaned,
            before_breadcrumb=lambda crumb, _hint: without_addresses(crumb),
        )
    except ValueError as error:  # BadDsn; it does not quote what it could not read
        raise ImproperlyConfigured(f"SENTRY_DSN cannot be read: {error}.") from None


def start_tracing(endpoint: str) -> None:
    """Send spans of requests and attempts by OTLP over HTTP; nothing when the endpoint is empty.

    The other variables of OpenTelemetry's standard (OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS, …) count too.

    Raises:
        ImproperlyConfigured: OTEL_EXPORTER_OTLP_ENDPOINT is no address, or OpenTelemetry is not installed.
    """
    global _otel  # noqa: PLW0603  (one per process, as OpenTelemetry itself has it)
    if not endpoint or _otel is not None:
        return
    if not endpoint.startswith(("http://", "https://")):
        raise ImproperlyConfigured("OTEL_EXPORTER_OTLP_ENDPOINT must look like http://collector:4318")
    packages = "opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http"
    trace, propagate, sdk, export, otlp = (
        _needed(f"opentelemetry.{name}", "OTEL_EXPORTER_OTLP_ENDPOINT", packages) for name in _PARTS
    )
    provider = sdk.TracerProvider()
    exporter = otlp.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")  # it may come from a file
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _otel = _Otel(trace.get_tracer("core"), trace, propagate)


@contextmanager
def served(method: str) -> Iterator[Callable[[str, int], None]]:
    """A span for a request, beneath the trace that its caller began; call what is yielded with route and status.

    Within it the bound trace context is the span's own, so that what is enqueued hangs below it.
    """
    if _otel is None:
        yield lambda _route, _code: None
        return
    above = _otel.propagate.extract(structlog.contextvars.get_contextvars())
    with _otel.tracer.start_as_current_span(method, context=above, kind=_otel.trace.SpanKind.SERVER) as span:
        own: dict[str, str] = {}
        _otel.propagate.inject(own)
        with structlog.contextvars.bound_contextvars(**own):
            yield lambda route, code: _finish(span, method, route, code)


def _finish(span: Any, method: str, route: str, code: int) -> None:  # noqa: ANN401  (its type may not be here)
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": code})


def _cleaned(event: dict[str, Any], _hint: object) -> object:
    """The event without addresses, and with the id of the request by which logs are searched."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if request_id:
        event["tags"] = {**(event.get("tags") or {}), "request_id": request_id}
    if request := event.get("request"):  # the admin's search has whole addresses in its links; the path says enough
        headers = request.get("headers") or {}
        kept = {name: value for name, value in headers.items() if name.lower() != "referer"}
        event["request"] = {**request, "query_string": "", "headers": kept}
    return without_addresses(event)


def _needed(module: str, setting: str, packages: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImproperlyConfigured(f"{setting} is set, and {packages} cannot be imported: {_HOW}") from error
