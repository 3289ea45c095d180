"""The first page of the admin says whether mail flows, at the same cost on any history."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now
from django.urls import reverse

from outbox import dashboard, figures
from outbox.figures import Canary
from outbox.histogram import SIZE
from outbox.models import Intent, Minute
from outbox.states import State
from tests.database.admin_steps import enter
from tests.database.outbox_steps import provider
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def look(client):
    """The page as somebody with these permissions sees it."""

    def read(*permissions: str) -> str:
        enter(client, *permissions)
        return " ".join(client.get(reverse("admin:index")).content.decode().split())

    return read


def write_minute(
    ago: timedelta, outcome: str = "delivered", count: int = 1, bucket: int = 0, *, now: datetime | None = None
) -> None:
    buckets = [count if place == bucket and outcome == "delivered" else 0 for place in range(SIZE)]
    start = ((now or datetime.now(UTC)) - ago).replace(second=0, microsecond=0)
    Minute.objects.create(minute=start, kind="welcome", outcome=outcome, count=count, seconds=1, buckets=buckets)


def tile(page: str, name: str) -> str:
    return page.split(f"<span>{name}</span><strong>")[1].split("</strong>", maxsplit=1)[0]


def test_when_all_is_well_it_says_so(look):
    provider(ticked_at=timedelta())

    page = look("view_intent")

    assert "Mail flows." in page
    assert tile(page, "dead letters") == "0"


def test_each_trouble_is_a_sentence():
    provider(opened_at=timedelta(), probe_at=MINUTE, reason="Connection refused", paused_at=timedelta())
    make_intent(due_in=-6 * MINUTE)

    found = dashboard.problems(replace(figures.flow(), canary=Canary(every=600, age=1801)))

    assert [sentence.partition(" ")[0] for sentence in found] == ["Dispatch", "The", "Mail", "No", "No"]
    assert "The provider is away: Connection refused" in found
    assert found[-1] == "No canary was accepted for 30 minutes."


def test_a_canary_is_late_after_three_of_its_intervals(look, settings):
    settings.CANARY_TO, settings.CANARY_EVERY = "sink@example.com", 10 * MINUTE
    assert tile(look("view_intent"), "last canary") == "none yet"
    intent = make_intent(State.SENT, recipient="sink@example.com")

    late = []
    for minutes in (29, 31):
        Intent.objects.filter(pk=intent.pk).update(closed_at=Now() - minutes * MINUTE)
        late.append("No canary was accepted for 30 minutes." in dashboard.problems(figures.flow()))
    assert late == [False, True]


def test_the_tiles_are_what_the_tables_hold(look):
    provider(ticked_at=-30 * timedelta(seconds=1))
    make_intent(due_in=-2 * MINUTE)
    make_intent(due_in=MINUTE)
    make_intent(State.SENDING)
    make_intent(State.DEAD)
    write_minute(5 * MINUTE, count=1200, bucket=1)
    write_minute(5 * MINUTE, "refused", count=3)
    write_minute(timedelta(hours=5), count=34)
    write_minute(timedelta(hours=30), count=900)

    page = look("view_intent")

    assert tile(page, "due now") == "1"
    assert tile(page, "oldest due") in {"2 minutes", "120 seconds", "119 seconds"}
    assert tile(page, "being sent") == "1"
    assert tile(page, "sent in the last hour") == "1,200"
    assert tile(page, "sent in the last day") == "1,234"
    assert tile(page, "latency p50, last hour") == "0.15 s"
    assert ": 1,200 delivered</title>" in page
    assert ": 3 refused</title>" in page


def test_dead_letters_are_told_by_reason(look):
    for _ in range(3):
        make_intent(State.DEAD, reason="550 no such user")
    make_intent(State.DEAD, attempts=0, reason="outcome unknown")

    page = look("view_intent")

    assert "<td>3</td><td>refused" in page
    assert "550 no such user" in page
    assert "lifetime over" in page


def test_the_switch_is_there_for_those_who_may(look, client):
    provider(ticked_at=timedelta())
    assert "Pause dispatch" not in look("view_intent")
    client.logout()
    enter(client, "view_intent", "pause_provider", email="omar@example.com")

    assert "Pause dispatch" in client.get(reverse("admin:index")).content.decode()
    client.post(reverse("admin:outbox_pause"))
    page = client.get(reverse("admin:index")).content.decode()
    assert "Dispatch is paused by omar@example.com." in page
    assert "Resume dispatch" in page


def test_who_may_not_see_mails_sees_no_figures(look):
    make_intent(State.DEAD, reason="550 no such user")

    page = look("view_user")

    assert "dead letters" not in page
    assert "550 no such user" not in page


def test_it_costs_under_ten_queries_on_any_history(client, settings, django_assert_max_num_queries):
    settings.CANARY_TO = "sink@example.com"
    provider(ticked_at=timedelta())
    now = datetime.now(UTC)
    for minutes in range(90):
        write_minute(minutes * MINUTE, now=now)
    for _ in range(20):
        make_intent(State.DEAD)
    enter(client, "view_intent", "pause_provider")

    with django_assert_max_num_queries(9):
        client.get(reverse("admin:index"))


def test_nothing_on_the_page_comes_from_elsewhere(look):
    page = look("view_intent")

    for attribute in ("src=", "href=", "url("):
        for part in page.split(attribute)[1:]:
            assert not part.lstrip("\"'").startswith(("http:", "https:", "//")), part[:80]


def test_a_day_without_mail_is_drawn_without_holes():
    drawn = figures.charts(datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC))

    assert [len(drawn["hour"]), len(drawn["day"])] == [60, 48]
    assert drawn["hour"][-1].start == datetime(2026, 11, 24, 12, 34, tzinfo=UTC)
    assert drawn["day"][-1].start == datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
