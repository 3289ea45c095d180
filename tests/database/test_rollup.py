"""Attempts are counted once, minute by minute, whatever happens to the one who counts."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

import core.celery  # noqa: F401  (tasks belong to the app that it makes)
from outbox import pruner, rollup, transitions
from outbox.histogram import SIZE
from outbox.models import Attempt, Intent, Minute, Total
from outbox.states import State
from outbox.tasks import roll_up
from tests.database.outbox_steps import bury, finish
from tests.factories import begin_one, make_intent

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def attempt(at: datetime, outcome: str = "delivered", took: float = 1.2, kind: str = "welcome") -> None:
    """One attempt that ended then, of a mail first due `took` seconds before."""
    intent = make_intent(State.CANCELLED, attempts=0, kind=kind)
    Intent.objects.filter(pk=intent.pk).update(scheduled_at=at - timedelta(seconds=took), attempts=1)
    Attempt.objects.create(intent=intent, number=1, started_at=at, ended_at=at, outcome=outcome, phase="answered")


def counted() -> list[tuple[int, str, str, int]]:
    """Minutes after noon, kind, outcome and count of what is counted."""
    rows = Minute.objects.order_by("minute", "kind", "outcome")
    return [(int((row.minute - NOON) / MINUTE), row.kind, row.outcome, row.count) for row in rows]


def totals() -> dict[tuple[str, str], int]:
    return {(total.kind, total.outcome): total.count for total in Total.objects.all()}


def test_attempts_are_counted_by_minute_kind_and_outcome():
    attempt(NOON)
    attempt(NOON + timedelta(seconds=59.999))
    attempt(NOON + MINUTE)
    attempt(NOON + MINUTE, "refused")
    attempt(NOON + MINUTE, kind="reset_code")

    assert rollup.catch_up() == 4
    assert counted() == [
        (0, "welcome", "delivered", 2),
        (1, "reset_code", "delivered", 1),
        (1, "welcome", "delivered", 1),
        (1, "welcome", "refused", 1),
    ]
    assert totals() == {("welcome", "delivered"): 3, ("welcome", "refused"): 1, ("reset_code", "delivered"): 1}


def died(at: datetime) -> Intent:
    letter = make_intent(State.DEAD, attempts=0)  # its lifetime ended while nobody knew whether it had arrived
    Intent.objects.filter(pk=letter.pk).update(closed_at=at)
    return letter


def test_dead_letters_are_counted_also_where_no_attempt_ended():
    died(NOON - timedelta(hours=3))
    attempt(NOON)
    rollup.catch_up()
    died(NOON + MINUTE)
    died(NOON + MINUTE)

    rollup.catch_up()

    assert [(minute, outcome, count) for minute, _, outcome, count in counted()] == [
        (-180, "died", 1),
        (0, "delivered", 1),
        (1, "died", 2),
    ]
    assert totals() == {("welcome", "delivered"): 1, ("welcome", "died"): 3}


def test_a_letter_that_is_replayed_and_dies_again_has_died_twice():
    letter = died(NOON)
    rollup.catch_up()
    Intent.objects.filter(pk=letter.pk).update(closed_at=NOON + 5 * MINUTE)

    rollup.catch_up()

    assert totals() == {("welcome", "died"): 2}


def test_only_delivered_mails_have_a_latency_from_when_they_were_first_due():
    attempt(NOON, took=0.05)
    attempt(NOON, took=1.2)
    attempt(NOON, took=99999)
    attempt(NOON, "refused", took=0.05)

    rollup.catch_up()

    delivered, refused = Minute.objects.order_by("outcome")
    places = {place: count for place, count in enumerate(delivered.buckets) if count}
    assert places == {0: 1, 6: 1, SIZE - 1: 1}
    assert delivered.seconds == pytest.approx(100000.25)
    assert sum(refused.buckets) == refused.seconds == 0
    assert Total.objects.get(outcome="delivered").buckets == delivered.buckets


def test_counting_again_changes_nothing():
    attempt(NOON)
    rollup.catch_up()

    assert rollup.catch_up() == 0
    assert totals() == {("welcome", "delivered"): 1}


def test_a_minute_that_is_not_over_is_not_counted():
    attempt(NOON)
    intent = Intent.objects.get()
    Attempt.objects.filter(intent=intent).update(started_at=Now(), ended_at=Now())

    assert rollup.catch_up() == 0


def test_after_a_downtime_all_that_was_missed_is_counted():
    attempt(NOON)
    rollup.catch_up()
    for hours in (2, 5, 49):
        attempt(NOON + timedelta(hours=hours))

    rollup.catch_up()

    assert [minute for minute, *_ in counted()] == [0, 120, 300, 2940]
    assert totals() == {("welcome", "delivered"): 4}


def test_one_statement_counts_an_hour_at_most():
    for minutes in (0, 59, 60, 61):
        attempt(NOON + minutes * MINUTE)

    assert [rollup.count_stretch(), rollup.count_stretch(), rollup.count_stretch()] == [2, 2, None]


@pytest.mark.django_db(transaction=True)
def test_two_at_once_count_once():
    for minutes in range(200):
        attempt(NOON + minutes * MINUTE, took=0.05)

    def count(_: int) -> int:
        try:
            return rollup.catch_up()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        written = sum(pool.map(count, range(4)))

    assert written == 200
    total = Total.objects.get()
    assert (total.count, total.buckets[0], round(total.seconds)) == (200, 200, 10)


def test_a_count_that_is_cut_short_is_done_again():
    attempt(NOON)
    with transaction.atomic():
        assert rollup.count_stretch() == 1
        transaction.set_rollback(True)
    assert totals() == {}

    rollup.catch_up()

    assert totals() == {("welcome", "delivered"): 1}


def test_totals_never_fall_when_intents_and_minutes_are_pruned(outbox_settings):
    attempt(NOON)
    attempt(NOON + MINUTE)
    rollup.catch_up()
    outbox_settings(RETENTION=timedelta(seconds=1))
    Intent.objects.update(closed_at=NOON)

    pruner.prune()
    rollup.prune()

    assert Intent.objects.count() == 0
    assert totals() == {("welcome", "delivered"): 2}


def test_dead_letters_that_outlive_the_minutes_are_not_counted_again(outbox_settings):
    attempt(NOON, "refused")
    attempt(NOON + MINUTE, "refused")
    rollup.catch_up()
    outbox_settings(RETENTION=timedelta(seconds=1))

    assert rollup.prune() == 1
    assert rollup.catch_up() == 0
    assert totals() == {("welcome", "refused"): 2}


def test_what_a_sender_records_is_what_is_counted():
    for end in (finish, finish, bury):
        transitions.close([end(begin_one())], "tester")
    Attempt.objects.update(started_at=NOON, ended_at=NOON)

    roll_up()

    assert counted() == [(0, "welcome", "delivered", 2), (0, "welcome", "refused", 1)]


def test_counting_reads_two_indexes_when_there_is_nothing_to_do(django_assert_num_queries):
    with django_assert_num_queries(1):
        rollup.count_stretch()


def test_beat_counts_every_minute():
    [entry] = [entry for entry in settings.CELERY_BEAT_SCHEDULE.values() if entry["task"] == "outbox.roll_up"]

    assert entry["schedule"] <= MINUTE
