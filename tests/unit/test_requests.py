"""Every request has an id that nobody can misuse; it is bound while the request is served."""

from contextlib import suppress

import pytest
import structlog
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import Resolver404, resolve

from core.requests import RequestMiddleware

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def lines(monkeypatch):
    """What the middleware logs."""
    written = []
    monkeypatch.setattr("core.requests.log.info", lambda event, **facts: written.append({"event": event, **facts}))
    return written


def serve(path="/api/docs/?q=layla@example.com", status=200, **headers):
    """The answer, and what was bound while it was made."""
    seen = {}

    def view(request):
        with suppress(Resolver404):
            request.resolver_match = resolve(request.path_info)
        seen.update(structlog.contextvars.get_contextvars())
        return HttpResponse(status=status)

    return RequestMiddleware(view)(RequestFactory().get(path, headers=headers)), seen


def test_the_callers_id_is_kept():
    answer, seen = serve(**{"X-Request-ID": "checkout-7.b_2"})

    assert answer["X-Request-ID"] == seen["request_id"] == "checkout-7.b_2"


@pytest.mark.parametrize("given", ["", "a b", 'x"} {"event": "forged', "é", "x" * 65, "<script>"])
def test_what_does_not_look_like_an_id_is_replaced_by_one_of_our_own(given):
    answer, seen = serve(**{"X-Request-ID": given})

    assert "X-Request-ID" not in answer
    assert len(seen["request_id"]) == 32


def test_two_requests_have_two_ids():
    assert serve()[1] != serve()[1]


def test_the_trace_of_the_caller_is_bound():
    seen = serve(traceparent=PARENT, tracestate="congo=t61rcWkgMzE")[1]

    assert (seen["traceparent"], seen["tracestate"]) == (PARENT, "congo=t61rcWkgMzE")


@pytest.mark.parametrize(
    "given", ["", "00-0", PARENT.upper(), PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)]
)
def test_a_trace_that_is_none_is_not_bound_nor_its_state(given):
    assert set(serve(traceparent=given, tracestate="a=1")[1]) == {"request_id"}


def test_nothing_is_left_for_the_next_request_of_the_thread():
    structlog.contextvars.bind_contextvars(left="over")
    assert "left" not in serve()[1]

    assert structlog.contextvars.get_contextvars() == {}


def test_one_line_tells_what_became_of_it_without_the_query(lines):
    serve(status=404)

    [line] = lines
    assert line.pop("seconds") < 1
    assert line == {"event": "request_finished", "method": "GET", "route": "api/docs/", "code": 404}


def test_probes_and_static_files_are_told_only_when_they_fail(lines):
    for path, status in (
        ("/healthz", 200),
        ("/metrics", 403),
        ("/readyz", 503),
        ("/static/a", 200),
        ("/static/b", 404),
    ):
        serve(path, status)

    assert [(line["route"], line["code"]) for line in lines] == [("readyz", 503), ("", 404)]
