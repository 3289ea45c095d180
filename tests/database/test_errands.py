"""What a person asked for on many intents is done once, in batches, whatever happens to the worker."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, connection
from django.db.models.functions import Now

import core.celery  # noqa: F401  (tasks belong to the app that it makes)
from outbox import errands, tasks
from outbox.models import Errand, Intent
from outbox.states import State
from tests.database.outbox_steps import states
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def make(state: State, count: int, **columns) -> list[int]:
    return [make_intent(state, **columns).pk for _ in range(count)]


def begin(action: str, ids: list[int], **given) -> Errand:
    return errands.begin(action, ids, actor="olga@example.com", **given)[0]


def finish(errand: Errand) -> Errand:
    while not errands.step(errand.pk).finished:
        pass
    errand.refresh_from_db()
    return errand


def test_dead_letters_are_replayed_and_the_others_counted_by_reason():
    ids = make(State.DEAD, 2) + make(State.SENT, 1) + make(State.DEAD, 1, expires_in=-HOUR)

    errand = finish(begin("replay", ids, reason="new password"))

    assert states() == ["pending", "pending", "sent", "dead"]
    assert (errand.changed, errand.skipped) == (2, {"not dead": 1, "past its lifetime": 1})
    assert Intent.objects.get(pk=ids[0]).reason == "replayed: new password"
    assert Intent.objects.get(pk=ids[0]).actor == "olga@example.com"


def test_what_may_have_arrived_is_replayed_only_when_asked_for():
    ids = make(State.DEAD, 1) + make(State.DEAD, 1, maybe_sent=True)

    careful = finish(begin("replay", ids))
    assert (states(), careful.skipped) == (["pending", "dead"], {"it may have arrived": 1})
    finish(begin("replay", ids[1:], include_unknown=True))
    assert states() == ["pending", "pending"]


def test_closed_mails_are_resent_as_linked_copies_and_what_is_under_way_is_not():
    ids = make(State.SENT, 1) + make(State.SENDING, 1)

    errand = finish(begin("resend", ids, reason="they lost it"))

    assert errand.changed == 1
    [(reason, count)] = errand.skipped.items()
    assert ("still under way" in reason, count) == (True, 1)
    [copy] = Intent.objects.filter(resent_from__isnull=False)
    assert (copy.resent_from_id, copy.actor, copy.reason) == (ids[0], "olga@example.com", "resent: they lost it")


def test_what_is_not_under_way_is_cancelled():
    ids = make(State.PENDING, 2) + make(State.SENDING, 1)

    errand = finish(begin("cancel", ids, reason="wrong text"))

    assert states() == ["cancelled", "cancelled", "sending"]
    assert (errand.changed, sum(errand.skipped.values())) == (2, 1)
    assert Intent.objects.get(pk=ids[0]).reason == "wrong text"


def test_what_was_pruned_meanwhile_is_counted_as_gone():
    ids = make(State.SENT, 2)
    errand = begin("resend", ids)
    Intent.objects.filter(pk=ids[0]).delete()

    assert finish(errand).skipped == {"it is gone": 1}


def test_progress_is_written_batch_by_batch(monkeypatch):
    monkeypatch.setattr(errands, "_BATCH", 2)
    errand = begin("cancel", make(State.PENDING, 5))

    seen = []
    for _ in range(4):
        step = errands.step(errand.pk)
        errand.refresh_from_db()
        seen.append((step.finished, errand.done, errand.changed, errand.finished_at is not None))
    assert seen == [(False, 2, 2, False), (False, 4, 4, False), (True, 5, 5, True), (True, 5, 5, True)]


def test_a_batch_that_fails_leaves_nothing_behind(monkeypatch):
    errand = begin("cancel", make(State.PENDING, 2))
    monkeypatch.setattr(errands, "_note", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        errands.step(errand.pk)
    monkeypatch.undo()

    assert states() == ["pending", "pending"]
    assert finish(errand).changed == 2


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_one_errand_resend_each_mail_once(monkeypatch):
    monkeypatch.setattr(errands, "_BATCH", 5)
    errand = begin("resend", make(State.SENT, 60))

    def work(_: int) -> None:
        try:
            while Errand.objects.filter(pk=errand.pk, finished_at=None).exists():
                errands.step(errand.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))

    assert Intent.objects.filter(resent_from__isnull=False).count() == 60
    assert Errand.objects.get().changed == 60


@pytest.mark.parametrize("ids", [[], list(range(100_001))])
def test_an_errand_about_nothing_or_too_much_is_refused(ids):
    with pytest.raises(ValueError, match="1 to 100000"):
        begin("cancel", ids)


def test_an_errand_is_finished_exactly_when_all_is_done():
    errand = begin("cancel", [1, 2])

    with pytest.raises(IntegrityError):
        Errand.objects.filter(pk=errand.pk).update(finished_at=Now())


def test_a_form_that_is_sent_twice_at_once_begins_one_errand():
    form = uuid4()

    (first, is_new), (second, is_new_too) = (
        errands.begin("cancel", ids, actor="olga@example.com", form=form) for ids in ([1, 2], [3])
    )

    assert (is_new, is_new_too) == (True, False)
    assert (second.pk, second.ids) == (first.pk, [1, 2])
    with pytest.raises(IntegrityError):
        Errand.objects.create(action="cancel", ids=[1], total=1, actor="olga@example.com", form=form)


def test_a_task_works_for_a_while_and_asks_for_another_one(monkeypatch):
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(errands, "_BATCH", 1)
    monkeypatch.setattr(tasks, "_ERRAND_SLICE_S", -1)
    monkeypatch.setattr(tasks, "_published", lambda *what: asked.append(what))
    errand = begin("cancel", make(State.PENDING, 2))

    tasks.run_errand(errand.pk)
    assert asked == [(tasks.run_errand, errand.pk)]
    tasks.run_errand(errand.pk)
    assert len(asked) == 1
    assert states() == ["cancelled", "cancelled"]


def test_an_errand_without_a_worker_is_started_again(monkeypatch):
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(tasks, "_published", lambda *what: asked.append(what))
    lost, fresh, done = (begin("cancel", make(State.PENDING, 1)) for _ in range(3))
    finish(done)
    Errand.objects.filter(pk__in=(lost.pk, done.pk)).update(touched_at=Now() - timedelta(minutes=2))

    tasks.resume_errands()

    assert asked == [(tasks.run_errand, lost.pk)]
    assert fresh.pk != lost.pk


def test_without_a_broker_the_errand_waits_for_beat(monkeypatch):
    def away(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(tasks, "_published", away)

    assert tasks.start_errand(1) is False
    assert "outbox.resume_errands" in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
