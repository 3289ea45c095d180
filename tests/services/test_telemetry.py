"""Sentry and OpenTelemetry, the real packages talking to servers of ours; and neither, unless it is switched on."""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).parents[2]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
START = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "core.settings"
import core.celery
import structlog
from django.test import Client
from django.urls import path
from outbox import events

def ask(**headers):
    return Client(raise_request_exception=False).get("/healthz", headers=headers)
"""


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Post)
        self.got: list[tuple[str, bytes]] = []

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Post(BaseHTTPRequestHandler):
    """Takes everything."""

    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_packed = self.headers.get("Content-Encoding") == "gzip"
        self.server.got.append((self.path, gzip.decompress(body) if is_packed else body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(script: str, before: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
    """A process of the project's that does this."""
    command = [sys.executable, "-c", before + START + script]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_their_variables_neither_is_needed():
    absent = "import sys; sys.modules['sentry_sdk'] = sys.modules['opentelemetry'] = None"

    done = run("print(ask().status_code)", before=absent)

    assert done.stdout.splitlines()[-1] == "200", done.stderr


@pytest.mark.parametrize(
    ("missing", "setting", "value"),
    [
        ("sentry_sdk", "SENTRY_DSN", "http://key@127.0.0.1/1"),
        ("opentelemetry.sdk.trace", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
    ],
)
def test_a_variable_without_its_package_stops_the_start_in_a_sentence(missing, setting, value):
    done = run("", before=f"import sys; sys.modules[{missing!r}] = None", **{setting: value})

    assert done.returncode == 3
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith(f"{setting} is set, and ")
    assert sentence.endswith("cannot be imported: pip install -r ops/monitoring/requirements.txt")


def test_a_dsn_that_is_none_is_told_without_quoting_it():
    done = run("", SENTRY_DSN="hunter2")

    assert done.returncode == 3
    assert done.stderr.startswith("SENTRY_DSN cannot be read: ")
    assert "hunter2" not in done.stderr


def test_an_endpoint_that_is_no_address_stops_the_start_in_a_sentence():
    done = run("", OTEL_EXPORTER_OTLP_ENDPOINT="collector:4318")

    assert done.returncode == 3
    assert done.stderr == "OTEL_EXPORTER_OTLP_ENDPOINT must look like http://collector:4318\n"


def test_an_error_goes_to_sentry_with_the_requests_id_and_nobodys_address(collector):
    script = """
from outbox import views
def broken(request):
    code = "314159"
    raise RuntimeError("no room for layla@example.com")
from django.urls import get_resolver
next(p for p in get_resolver().url_patterns[-1].url_patterns if p.name == "healthz").callback = broken
assert ask(**{"X-Request-ID": "checkout-7"}).status_code == 500
"""
    done = run(script, SENTRY_DSN=f"http://key@{collector.place}/1")

    assert done.returncode == 0, done.stderr
    told = "\n".join(body.decode("utf-8", "replace") for _, body in collector.got)
    events = [json.loads(line) for line in told.splitlines() if '"exception"' in line]
    assert [event["tags"]["request_id"] for event in events if "RuntimeError" in json.dumps(event)] == ["checkout-7"]
    assert "no room for l***@example.com" in told
    assert "layla@" not in told
    assert "314159" not in told


def test_what_somebody_searched_for_does_not_reach_sentry(collector):
    script = """
import logging
def broken(request):
    logging.getLogger("shop").warning("went to /admin/?q=layla%40example.com&next=%2Fa%3Fq%3Dlayla%2540example.com")
    raise RuntimeError("no page /admin/?q=layla%2Bshop%40example.com")
from django.urls import get_resolver
next(p for p in get_resolver().url_patterns[-1].url_patterns if p.name == "healthz").callback = broken
link = "/healthz?q=layla%40example.com&code=271828"
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory
environ = RequestFactory().get(link, headers={"Referer": "http://localhost" + link}).environ
get_wsgi_application()(environ, lambda code, _: print(code))
"""
    done = run(script, SENTRY_DSN=f"http://key@{collector.place}/1")

    assert done.stdout.startswith("500"), done.stderr
    told = "\n".join(body.decode("utf-8", "replace") for _, body in collector.got)
    assert "http://testserver/healthz" in told
    assert "went to /admin/?q=l***%40example.com&next" in told
    assert "***%2540example.com" in told
    assert "no page /admin/?q=l***%40example.com" in told
    assert "271828" not in told
    assert "layla" not in told


def test_a_request_and_its_attempt_are_spans_of_the_callers_trace(collector):
    script = f"""
kept = {{}}
from outbox import tracing, views
from django.http import HttpResponse
from django.urls import get_resolver
def enqueue(request):
    kept.update(tracing.carried())
    return HttpResponse()
next(p for p in get_resolver().url_patterns[-1].url_patterns if p.name == "healthz").callback = enqueue
ask(traceparent="{PARENT}")
facts = {{"task_id": 7, "kind": "welcome", "number": 1, "outcome": "deferred", "phase": "data", "code": 452}}
events.attempt_ended.send(sender=None, trace=kept, seconds=1.5, state="pending", **facts)
"""
    done = run(script, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.place}", OTEL_SERVICE_NAME="accounts")

    assert done.returncode == 0, done.stderr
    assert {path for path, _ in collector.got} == {"/v1/traces"}
    spans = {
        span.name: span
        for _, body in collector.got
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    served, sent = spans["GET healthz"], spans["send welcome"]
    assert {served.trace_id.hex(), sent.trace_id.hex()} == {TRACE}
    assert served.parent_span_id.hex() == "00f067aa0ba902b7"
    assert sent.parent_span_id == served.span_id
    assert sent.end_time_unix_nano - sent.start_time_unix_nano == 1_500_000_000
    assert sent.status.message == "deferred 452"
