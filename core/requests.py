"""Gives every request an id and its trace context, binds both for what is logged and enqueued, and logs one line.

Not django-structlog: it logs whole addresses of pages, and those of the admin's searches hold addresses of people.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

import structlog
from django.http import HttpRequest, HttpResponse

from core import telemetry

HEADER = "X-Request-ID"
_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # it stands in logs, in a row and in the answer: nothing else gets in
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")  # W3C trace context
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
_QUIET = frozenset({"healthz", "readyz", "metrics", ""})  # machines ask for these all day; static files have no route
_REFUSED, _FAILED = 400, 500

log = structlog.get_logger("core.requests")


class RequestMiddleware:
    """The first middleware: whatever the others do belongs to the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        """As Django calls it."""
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve the request under its id.

        The answer names the id only to who gave one: two answers that must not differ would differ by it.
        """
        started_at = time.monotonic()
        given = request.headers.get(HEADER, "")
        is_good = _GOOD_ID.fullmatch(given) is not None
        request_id = given if is_good else uuid4().hex
        with _bound(request_id, request.headers), telemetry.served(request.method or "") as span:
            response = self._get_response(request)
            route = request.resolver_match.route if request.resolver_match else ""
            span(route, response.status_code)
            if _is_told(route, response.status_code):
                took = round(time.monotonic() - started_at, 3)
                log.info(
                    "request_finished", method=request.method, route=route, code=response.status_code, seconds=took
                )
        if is_good:
            response[HEADER] = request_id
        return response


def _is_told(route: str, code: int) -> bool:
    """Whether the request is worth a line: not a probe that went well, nor a static file."""
    return route not in _QUIET or code >= (_FAILED if route else _REFUSED)


@contextmanager
def _bound(request_id: str, headers: Mapping[str, str]) -> Iterator[None]:
    """Bind what came, as far as it is well formed; nothing of the thread's last request is left."""
    parent, state = headers.get("traceparent", ""), headers.get("tracestate", "")
    trace = {"traceparent": parent} if _TRACEPARENT.fullmatch(parent) else {}
    if trace and _TRACESTATE.fullmatch(state):
        trace["tracestate"] = state
    structlog.contextvars.clear_contextvars()
    with structlog.contextvars.bound_contextvars(request_id=request_id, **trace):
        yield
