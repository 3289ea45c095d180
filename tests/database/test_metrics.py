"""/metrics tells the truth, cheaply, to those who may know it."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.contrib.postgres.functions import TransactionNow as Now
from django.core.checks import run_checks
from prometheus_client.parser import text_string_to_metric_families as parse

import core.celery  # noqa: F401  (tasks belong to the app that it makes)
from outbox import canary, exposition, figures, rollup
from outbox.models import Attempt, Intent
from outbox.states import State
from outbox.tasks import send_canary
from tests.database.outbox_steps import provider, states
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _token(settings):
    settings.METRICS_TOKEN = "scrape-me"


@pytest.fixture
def scrape(client):
    """All samples by name and labels, as Prometheus would read them."""

    def read() -> dict[str, float]:
        answer = client.get("/metrics", headers={"Authorization": "Bearer scrape-me"})
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("text/plain")
        samples = [sample for family in parse(answer.content.decode()) for sample in family.samples]
        return {
            " ".join([sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))]): sample.value
            for sample in samples
        }

    return read


def delivered(seconds: float, kind: str = "welcome") -> None:
    intent = make_intent(State.SENT, kind=kind)
    ended = Now() - 5 * MINUTE
    Intent.objects.filter(pk=intent.pk).update(scheduled_at=ended - timedelta(seconds=seconds))
    Attempt.objects.filter(intent=intent).update(started_at=ended, ended_at=ended)


def test_the_backlog_is_told_by_state_and_kind(scrape):
    make_intent(due_in=-2 * MINUTE)
    make_intent(due_in=-MINUTE, kind="reset_code", priority=0)
    make_intent(due_in=MINUTE)
    make_intent(State.SENDING)
    make_intent(State.DEAD)

    found = scrape()

    assert found["outbox_due"] == 2
    assert found["outbox_oldest_due_seconds"] == pytest.approx(120, abs=5)
    assert found["outbox_intents kind=welcome state=pending"] == 2
    assert found["outbox_intents kind=reset_code state=pending"] == 1
    assert found["outbox_intents kind=welcome state=sending"] == 1
    assert found["outbox_dead_letters"] == 1


def test_what_is_due_later_is_not_late(scrape):
    make_intent(due_in=MINUTE)

    found = scrape()

    assert (found["outbox_due"], found["outbox_oldest_due_seconds"]) == (0, 0)


def test_counts_stop_at_the_cap(scrape, monkeypatch):
    for module in (figures, exposition):
        monkeypatch.setattr(module, "CAP", 3)
    for _ in range(5):
        make_intent(due_in=-MINUTE), make_intent(State.DEAD)

    found = scrape()

    assert (found["outbox_due"], found["outbox_dead_letters"]) == (3, 3)


def test_a_long_backlog_does_not_hide_what_is_being_sent(scrape, monkeypatch):
    monkeypatch.setattr(figures, "CAP", 3)
    for _ in range(9):
        make_intent()
    make_intent(State.CLAIMED), make_intent(State.SENDING), make_intent(State.SENDING)

    found = scrape()

    assert [found[f"outbox_intents kind=welcome state={state}"] for state in ("claimed", "sending")] == [1, 2]
    assert found["outbox_intents kind=welcome state=pending"] == 4
    assert figures.flow().held == 3


def test_outcomes_and_latencies_are_counters(scrape):
    for seconds in (0.02, 0.22, 4):
        delivered(seconds)
    rollup.catch_up()

    found = scrape()

    assert found["outbox_attempts_total kind=welcome outcome=delivered"] == 3
    assert found["outbox_delivery_seconds_bucket kind=welcome le=0.1"] == 1
    assert found["outbox_delivery_seconds_bucket kind=welcome le=0.3"] == 2
    assert found["outbox_delivery_seconds_bucket kind=welcome le=5"] == 3
    assert found["outbox_delivery_seconds_bucket kind=welcome le=+Inf"] == 3
    assert found["outbox_delivery_seconds_count kind=welcome"] == 3
    assert found["outbox_delivery_seconds_sum kind=welcome"] == pytest.approx(4.24, abs=0.2)


def test_what_died_is_a_counter_that_goes_on_past_the_cap(scrape, monkeypatch):
    monkeypatch.setattr(exposition, "CAP", 2)
    before = scrape()
    for _ in range(5):
        make_intent(State.DEAD, attempts=0)
    Intent.objects.update(closed_at=Now() - 5 * MINUTE)
    rollup.catch_up()

    assert before["outbox_died_total kind=welcome"] == 0
    assert scrape()["outbox_died_total kind=welcome"] == 5


def test_a_counter_begins_at_zero_so_that_its_first_increase_is_seen(scrape):
    found = scrape()

    for kind in ("welcome", "reset_code", "message"):
        assert found[f"outbox_attempts_total kind={kind} outcome=unknown"] == 0
        assert found[f"outbox_died_total kind={kind}"] == 0


def test_the_breaker_the_pause_and_the_tick_are_told(scrape):
    assert scrape()["outbox_tick_age_seconds"] == float("inf")
    provider(opened_at=timedelta(), probe_at=MINUTE, paused_at=timedelta(), ticked_at=-MINUTE, window=2)

    found = scrape()

    assert [found[f"outbox_{name}"] for name in ("breaker_open", "paused", "starting_slowly")] == [1, 1, 1]
    assert found["outbox_tick_age_seconds"] == pytest.approx(60, abs=5)


def test_a_scrape_costs_a_few_queries(scrape, django_assert_max_num_queries):
    scrape()
    make_intent(due_in=-MINUTE)
    delivered(1)
    rollup.catch_up()

    with django_assert_max_num_queries(5):
        scrape()


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer guess"}, {"Authorization": "scrape-me"}])
def test_without_the_token_nobody_reads_them(client, header):
    answer = client.get("/metrics", headers=header)

    assert answer.status_code == 403
    assert b"outbox_due" not in answer.content


def test_an_empty_token_opens_nothing(client, settings):
    settings.METRICS_TOKEN = ""

    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 403


@pytest.mark.parametrize(
    ("address", "headers", "code"),
    [
        ("10.1.2.3", {}, 200),
        ("fd00::1", {}, 200),
        ("192.0.2.1", {}, 403),
        ("", {}, 403),
        ("10.1.2.3", {"X-Forwarded-For": "10.1.2.3"}, 403),
        ("10.1.2.3", {"Forwarded": "for=10.1.2.3"}, 403),
    ],
)
def test_an_allowed_network_needs_no_token_unless_it_is_a_proxy(client, settings, address, headers, code):
    settings.METRICS_ALLOW = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]

    assert client.get("/metrics", headers=headers, REMOTE_ADDR=address).status_code == code


def test_without_a_sink_there_is_no_canary(scrape):
    assert not [name for name in scrape() if "canary" in name]


def test_the_age_of_the_canary_is_that_of_the_last_accepted(scrape, settings):
    settings.CANARY_TO = "Sink@example.com"
    for minutes in (20, 7):
        intent = make_intent(State.SENT, recipient="sink@example.com")
        Intent.objects.filter(pk=intent.pk).update(closed_at=Now() - minutes * MINUTE)
    make_intent(State.DEAD, recipient="sink@example.com")

    assert scrape()["outbox_canary_age_seconds"] == pytest.approx(420, abs=5)


def test_before_one_was_accepted_its_age_is_that_of_the_first_asked_for(scrape, settings):
    settings.CANARY_TO, settings.CANARY_EVERY = "sink@example.com", 2 * MINUTE
    found = scrape()
    assert found["outbox_canary_every_seconds"] == 120
    assert "outbox_canary_age_seconds" not in found
    for minutes in (9, 4):
        intent = make_intent(State.DEAD, recipient="sink@example.com")
        Intent.objects.filter(pk=intent.pk).update(created_at=Now() - minutes * MINUTE)

    assert scrape()["outbox_canary_age_seconds"] == pytest.approx(540, abs=5)


def test_two_beats_ask_for_one_canary(settings):
    settings.CANARY_TO = "sink@example.com"

    send_canary()
    send_canary()

    [intent] = Intent.objects.all()
    assert (intent.kind, intent.recipient, intent.state) == ("message", "sink@example.com", State.PENDING)
    Intent.objects.update(state=State.CANCELLED, closed_at=Now())
    assert canary.enqueue() is not None


def test_a_canary_that_waits_gives_way_to_the_next_and_one_being_sent_goes_on(settings):
    settings.CANARY_TO = "sink@example.com"
    make_intent(due_in=100 * MINUTE, kind="message", recipient="sink@example.com")
    make_intent(State.SENDING, kind="message", recipient="sink@example.com")
    make_intent(kind="message")
    Intent.objects.update(created_at=Now() - settings.CANARY_EVERY)

    assert canary.enqueue() is not None
    assert states() == ["cancelled", "sending", "pending", "pending"]
    assert Intent.objects.earliest("pk").reason == "a newer canary followed"


def test_a_sink_that_is_no_address_stops_the_start(settings):
    assert run_checks() == []
    settings.CANARY_TO = "the sink"

    assert [problem.id for problem in run_checks()] == ["outbox.E005"]


def test_ready_means_the_database_answers(client):
    assert client.get("/readyz").json() == {"status": "ok"}
