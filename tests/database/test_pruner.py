"""Closed intents go when their retention is over; nothing else does."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db.models.functions import Now

import core.celery  # noqa: F401  (tasks belong to the app that it makes)
from auth_api import mails
from outbox import kinds, pruner
from outbox.models import Attempt, Intent
from outbox.states import CLOSED, OPEN, State
from outbox.tasks import prune as prune_task
from tests.database.outbox_steps import locked_by_another
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def closed(state: State, ago: timedelta, **columns: Any) -> Intent:
    intent = make_intent(state, **columns)
    Intent.objects.filter(pk=intent.pk).update(closed_at=Now() - ago)
    return intent


def left() -> set[int]:
    return set(Intent.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("state", sorted(CLOSED - {State.DEAD}))
def test_what_is_closed_goes_after_its_retention_and_not_before(state):
    closed(state, 31 * DAY)
    young = closed(state, 29 * DAY)

    assert sum(pruner.prune().counts.values()) == 1
    assert left() == {young.pk}


def test_a_dead_letter_is_kept_longer():
    closed(State.DEAD, 91 * DAY)
    young = closed(State.DEAD, 89 * DAY)

    pruner.prune()

    assert left() == {young.pk}


def test_the_retention_is_a_setting(outbox_settings):
    outbox_settings(RETENTION=DAY, DEAD_RETENTION=2 * DAY)
    for state in (State.SENT, State.DEAD):
        closed(state, 3 * DAY)

    assert pruner.prune().counts["dead"] == 1
    assert left() == set()


@pytest.mark.parametrize("state", sorted(OPEN))
def test_an_open_intent_is_never_deleted_however_old(state):
    old = make_intent(state, due_in=-400 * DAY, expires_in=-300 * DAY)

    pruner.prune()

    assert left() == {old.pk}


def test_what_was_for_an_address_without_an_account_goes_after_a_day():
    assert mails._NO_ACCOUNT == kinds.NOBODY
    closed(State.CANCELLED, timedelta(hours=25), reason=kinds.NOBODY.reason)
    young = closed(State.CANCELLED, timedelta(hours=23), reason=kinds.NOBODY.reason)
    other = closed(State.CANCELLED, timedelta(hours=25), reason="a newer one followed")

    pruner.prune()

    assert left() == {young.pk, other.pk}


def test_attempts_go_with_their_intent_and_copies_stay():
    old = closed(State.SENT, 31 * DAY, attempts=2)
    copy = make_intent(State.SENT, resent_from=old)

    pruner.prune()

    assert left() == {copy.pk}
    assert Intent.objects.get().resent_from is None
    assert set(Attempt.objects.values_list("intent", flat=True)) == {copy.pk}


def test_many_go_in_batches_past_those_that_stay(monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(pruner, "_BATCH", 3)
    kept = {closed(State.DEAD, 60 * DAY + n * DAY).pk for n in range(5)}
    for n in range(7):
        closed(State.SENT, 40 * DAY + n * DAY)

    assert pruner.prune().counts["sent, expired or cancelled"] == 7
    assert left() == kept


@pytest.mark.django_db(transaction=True)
def test_what_somebody_has_locked_stays_without_waiting():
    locked, free = closed(State.SENT, 40 * DAY), closed(State.SENT, 40 * DAY)

    with locked_by_another(locked):
        pruner.prune()

    assert left() == {locked.pk}
    assert free.pk not in left()
    pruner.prune()
    assert left() == set()


def test_a_task_whose_time_is_over_asks_for_another_one(monkeypatch):
    asked: list[object] = []
    monkeypatch.setattr(pruner, "_BATCH", 1)
    monkeypatch.setattr("outbox.tasks._PRUNE_FOR", -DAY)
    monkeypatch.setattr("outbox.tasks._published", asked.append)
    closed(State.SENT, 40 * DAY), closed(State.SENT, 41 * DAY)

    prune_task()
    assert (len(left()), asked) == (1, [prune_task])
    prune_task()
    prune_task()
    assert left() == set()
    assert len(asked) == 2


def test_a_dry_run_counts_and_deletes_nothing():
    closed(State.SENT, 40 * DAY), closed(State.DEAD, 100 * DAY), closed(State.DEAD, 50 * DAY)

    out = StringIO()
    call_command("outbox_prune", dry_run=True, stdout=out)
    assert "would delete 2 intents" in out.getvalue()
    assert len(left()) == 3
    call_command("outbox_prune", stdout=out)
    assert "\ndeleted 2 intents" in out.getvalue()
    assert len(left()) == 1


def test_beat_prunes_daily():
    planned = {entry["task"]: entry["schedule"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert (planned["outbox.prune"].hour, len(planned["outbox.prune"].minute)) == ({3}, 1)
