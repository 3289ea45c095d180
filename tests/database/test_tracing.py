"""The request that asked for a mail is stored with it, and told by whoever works on it."""

import time
from datetime import timedelta

import pytest
from django.db import transaction
from structlog.contextvars import bound_contextvars

from outbox import intents, recording, rescuer, tracing, transitions
from outbox.models import Intent
from outbox.recording import Ended
from outbox.transitions import Begun
from tests.database.outbox_steps import SECOND, delivered, eventually, let_lease_run_out
from tests.factories import make_intent

REQUEST = {"request_id": "checkout-7", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
LEASE = timedelta(seconds=10)


def test_only_what_belongs_to_a_trace_is_carried_and_nothing_of_any_length():
    with bound_contextvars(**REQUEST, user="Layla", tracestate="a=" + "x" * 1000):
        found = tracing.carried()

    assert set(found) == {*REQUEST, "tracestate"}
    assert len(found["tracestate"]) == 512
    assert tracing.carried() == {}


@pytest.mark.django_db
def test_what_is_enqueued_in_a_request_carries_its_trace():
    with bound_contextvars(**REQUEST), transaction.atomic():
        asked = intents.enqueue("welcome", to="layla@example.com", context={"name": "Layla"})
    by_itself = intents.enqueue("welcome", to="omar@example.com", context={"name": "Omar"})

    traces = dict(Intent.objects.values_list("pk", "trace"))
    assert traces == {asked.pk: REQUEST, by_itself.pk: {}}


@pytest.mark.django_db
def test_a_row_of_a_release_that_knows_no_traces_has_an_empty_one():
    intent = make_intent()

    assert Intent.objects.get(pk=intent.pk).trace == {}


def begin_traced(trace: object) -> Begun:
    make_intent()
    Intent.objects.update(trace=trace)
    [begun] = transitions.begin(transitions.claim(1, LEASE), LEASE)
    return begun


@pytest.mark.django_db(transaction=True)
def test_the_end_of_an_attempt_names_the_request(heard):
    recording.record(
        [Ended(begun=begin_traced(REQUEST), outcome=delivered(), started_at=time.monotonic() - 2)], "host:1"
    )

    [told] = heard.of("attempt_ended")
    assert told["trace"] == REQUEST
    assert 2 <= told["seconds"] < 10


@pytest.mark.django_db(transaction=True)
def test_what_a_lost_worker_had_is_told_with_its_request(heard, outbox_settings):
    outbox_settings(LEASE=SECOND)  # nothing is rescued for so long after PostgreSQL's start
    let_lease_run_out(begin_traced(REQUEST))
    eventually(rescuer.rescue)

    assert [told["trace"] for told in (*heard.of("attempt_ended"), *heard.of("rescued"))] == [REQUEST, REQUEST]


@pytest.mark.django_db
def test_a_trace_that_is_none_spoils_no_turn():
    assert begin_traced([1, 2]).trace == {}
