"""The sender before an open breaker, a pause, a limit on connections or a rate."""

import time
from threading import Event

import pytest

from outbox.models import Intent, Provider
from outbox.states import State
from tests.database.outbox_steps import (
    MINUTE,
    SECOND,
    Working,
    eventually,
    handed_over,
    in_state,
    provider,
    reread,
    states,
)
from tests.factories import make_intent
from tests.smtp import Gate, Reply, Rule, Stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sound", "long_slice")]


@pytest.mark.parametrize("columns_", [{"opened_at": -SECOND, "probe_at": MINUTE}, {"paused_at": -SECOND}])
def test_what_was_handed_over_is_given_back_at_once_at_an_open_breaker_or_a_pause(
    columns_, smtp, make_sender, outbox_settings
):
    outbox_settings(SLICE=20 * SECOND)
    provider(**columns_)
    made, claims = handed_over(3)
    make_intent()
    began = time.monotonic()

    assert make_sender().work(claims) == 0
    assert time.monotonic() - began < 10
    assert states() == ["pending"] * 4
    assert {intent.due_at for intent in made} == {reread(intent).due_at for intent in made}
    assert smtp.record.connections == []


def test_while_starting_slowly_no_more_are_begun_than_the_window_holds(smtp, make_sender):
    provider(window=2)
    smtp.script.add(Rule(Stage.ANSWER, gate=(gate := Gate())))
    _, claims = handed_over(5)
    stop = Event()

    with Working(make_sender(), claims, once=stop.is_set):
        eventually(lambda: gate.arrivals == 2)
        assert in_state(State.SENDING) == 2
        gate.release()

    assert in_state(State.SENT) == 5
    assert Provider.objects.get().window == 4


def test_a_provider_that_is_away_costs_nobody_a_try_and_dispatch_stops(smtp, make_sender):
    smtp.stop()
    _, claims = handed_over(3)
    for _ in range(10):
        make_intent()
    begun = make_sender().work(claims)

    assert 1 <= begun <= 8
    assert Provider.objects.get().opened_at is not None
    assert states() == ["pending"] * 13
    assert not Intent.objects.filter(spent__gt=0).exists()
    assert make_sender().work() == 0


def test_a_limit_on_connections_lowers_the_lanes_and_the_breaker_stays_closed(smtp, make_sender, heard):
    smtp.script.add(Rule(Stage.CONNECT, Reply(421, "4.7.0 too many connections"), parallel_above=3))
    smtp.script.add(Rule(Stage.ANSWER, delay=0.01))
    provider(delivered_at=-SECOND)
    for _ in range(60):
        make_intent()
    sender = make_sender()
    eventually(lambda: sender.work() == 0 and in_state(State.PENDING) == 0)

    assert in_state(State.SENT) == 60
    assert heard.of("breaker_opened") == []
    assert {facts["lanes"] for facts in heard.of("lanes_lowered")} <= {4, 2, 1}
    assert heard.of("lanes_lowered")
    assert not Intent.objects.exclude(spent=1).exists()


def test_the_rate_limit_holds_back_what_is_claimed_and_not_what_was(smtp, make_sender, outbox_settings):
    outbox_settings(RATE=0.01)
    _, claims = handed_over(3)
    for _ in range(20):
        make_intent()
    begun = make_sender().work(claims)

    assert begun == 4
    assert len(smtp.record.messages) == 4
