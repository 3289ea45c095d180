"""The admin of the outbox: people find a mail, read what happened to it, and repair without harm."""

from datetime import timedelta
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models.functions import Now
from django.urls import reverse

from outbox import changelist, confirmed, errands, tasks
from outbox.models import Attempt, Errand, Intent, Provider
from outbox.states import State
from tests.database.admin_steps import LIST, PAGE, answers, ask, confirm, enter
from tests.database.outbox_steps import provider, states
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
EVERYTHING = ("view_intent", "resend_intent", "replay_intent", "cancel_intent")


def read(client, name, *args, query=""):
    answer = client.get(reverse(name, args=args) + query)
    assert answer.status_code == 200
    return unescape(answer.content.decode()).replace("\N{NO-BREAK SPACE}", " ")


def test_the_list_shows_state_kind_and_next_try_but_no_whole_address(client):
    enter(client, "view_intent")
    make_intent(recipient="layla@example.com", due_in=7 * MINUTE, attempts=1)
    make_intent(State.DEAD, recipient="omar@example.com", reason="550 no such user")

    page = read(client, LIST)

    assert "l***@example.com" in page
    assert "layla@example.com" not in page
    assert "in 6 minutes" in page or "in 7 minutes" in page
    assert "550 no such user" in page


@pytest.mark.parametrize("form", ["Layla@Example.com", " {0.task_id} ", "{0.task_id.hex}", "{0.message_id}"])
def test_a_mail_is_found_by_address_task_id_or_message_id(client, form):
    enter(client, "view_intent")
    wanted, other = make_intent(recipient="layla@example.com"), make_intent()
    Intent.objects.filter(pk=wanted.pk).update(message_id=f"<{wanted.task_id.hex}@example.com>")
    wanted.refresh_from_db()

    page = read(client, LIST, query=f"?q={form.format(wanted)}")

    assert reverse(PAGE, args=[wanted.pk]) in page
    assert reverse(PAGE, args=[other.pk]) not in page


@pytest.mark.parametrize("query", ["?kind=reset_code", "?state__exact=dead"])
def test_the_list_is_filtered_by_kind_and_state(client, query):
    enter(client, "view_intent")
    wanted, other = make_intent(State.DEAD, kind="reset_code"), make_intent()

    page = read(client, LIST, query=query)

    assert reverse(PAGE, args=[wanted.pk]) in page
    assert reverse(PAGE, args=[other.pk]) not in page


def test_no_filter_asks_for_what_would_read_the_whole_table(client):
    enter(client, "view_intent")

    page = read(client, LIST)

    assert "?closed_at__gte=" in page
    assert "closed_at__isnull" not in page


def test_a_count_stops_and_says_so(client, monkeypatch):
    enter(client, "view_intent")
    monkeypatch.setattr(changelist, "CAP", 5)
    for _ in range(7):
        make_intent()

    assert "more than 5 intents" in " ".join(read(client, LIST).split())
    assert "1 intent" in " ".join(read(client, LIST, query=f"?q={Intent.objects.all()[0].task_id}").split())


@pytest.mark.parametrize("rows", [3, 60])
def test_the_list_costs_the_same_few_queries_for_any_number_of_rows(client, django_assert_max_num_queries, rows):
    enter(client, "view_intent")
    for _ in range(rows):
        make_intent(State.DEAD)

    with django_assert_max_num_queries(9):
        read(client, LIST, query="?state__exact=dead")


def test_the_page_of_a_mail_tells_its_attempts(client, django_assert_max_num_queries):
    enter(client, "view_intent")
    intent = make_intent(State.DEAD, attempts=2, reason="550 no such user")
    Attempt.objects.filter(intent=intent, number=2).update(
        started_at=Now(),
        ended_at=Now() + timedelta(seconds=1.25),
        code=550,
        enhanced="5.1.1",
        text="no such user",
        worker="host:42",
    )

    with django_assert_max_num_queries(9):
        page = read(client, PAGE, intent.pk)

    for shown in ("Try 1: deferred", "Try 2: refused", "in phase envelope, after 1.25 s, by host:42"):
        assert shown in page
    assert "550 5.1.1 no such user" in " ".join(page.split())


def test_the_page_says_in_words_why_and_what_next(client):
    enter(client, "view_intent")
    intent = make_intent(attempts=1, due_in=30 * MINUTE, reason="452 mailbox full")

    page = read(client, PAGE, intent.pk)
    assert "Try 1 did not succeed: 452 mailbox full" in page
    assert "Try 2 follows in" in page
    provider(paused_at=timedelta(), paused_by="olga@example.com")
    assert "Dispatch is paused by olga@example.com" in read(client, PAGE, intent.pk)


def test_a_copy_and_its_original_link_to_each_other(client):
    enter(client, "view_intent")
    original = make_intent(State.SENT)
    copy = make_intent(resent_from=original)

    assert reverse(PAGE, args=[copy.pk]) in read(client, PAGE, original.pk)
    assert f'href="{reverse(PAGE, args=[original.pk])}"' in read(client, PAGE, copy.pk)


def test_a_script_in_what_the_provider_says_does_not_run(client):
    enter(client, "view_intent")
    intent = make_intent(State.DEAD, reason="<script>alert(1)</script>")
    Attempt.objects.update(text="<img src=x onerror=alert(1)>")

    for name, args in ((PAGE, [intent.pk]), (LIST, [])):
        raw = client.get(reverse(name, args=args)).content.decode()
        assert "<script>alert(1)" not in raw
        assert "<img src=x" not in raw


def test_only_what_is_possible_and_allowed_is_offered(client):
    enter(client, "view_intent", "resend_intent", "cancel_intent")
    pending, dead = make_intent(), make_intent(State.DEAD)

    offered = {pk: read(client, PAGE, pk).split('class="ob-buttons"')[-1] for pk in (pending.pk, dead.pk)}
    assert 'value="cancel"' in offered[pending.pk]
    assert 'value="resend"' not in offered[pending.pk]
    assert 'value="resend"' in offered[dead.pk]
    assert 'value="replay"' not in offered[dead.pk]


def test_an_action_asks_first_with_the_number_and_changes_nothing(client):
    enter(client, *EVERYTHING)
    pks = [make_intent().pk for _ in range(3)] + [make_intent(State.SENT).pk]

    page = unescape(ask(client, "cancel", *pks).content.decode())

    assert "Cancel 4 mails?" in page
    assert "3 pending, 1 sent" in " ".join(page.split())
    assert states() == ["pending"] * 3 + ["sent"]
    assert not Errand.objects.exists()


def test_a_confirmed_action_is_done_and_told_and_logged(client):
    user = enter(client, *EVERYTHING)
    intent = make_intent()

    answer = confirm(client, "cancel", intent.pk, reason="wrong text")

    assert answer.url == reverse(PAGE, args=[intent.pk])
    intent.refresh_from_db()
    assert (intent.state, intent.reason, intent.actor) == ("cancelled", "wrong text", user.email)
    assert "1 cancelled." in read(client, PAGE, intent.pk)
    logged = LogEntry.objects.filter(user=user).values_list("content_type__model", "object_id", "change_message")
    assert set(logged) == {
        ("errand", str(Errand.objects.get().pk), "cancel 1 mails: wrong text"),
        ("intent", str(intent.pk), "cancelled: wrong text"),
    }


def test_everything_that_a_filter_finds_is_replayed_and_nothing_else(client):
    enter(client, *EVERYTHING)
    dead = [make_intent(State.DEAD, kind="reset_code") for _ in range(3)]
    make_intent(State.DEAD)

    confirm(client, "replay", dead[0].pk, query="?kind=reset_code&state__exact=dead", across=True)

    assert states() == ["pending"] * 3 + ["dead"]


def test_what_comes_after_the_number_was_shown_is_not_meant(client):
    enter(client, *EVERYTHING)
    first = make_intent(State.DEAD)
    said = answers(ask(client, "replay", first.pk, across=True, query="?state__exact=dead"))
    assert said["confirmed"] == str(first.pk)
    make_intent(State.DEAD)

    ask(client, "replay", first.pk, across=True, query="?state__exact=dead", **said)

    assert states() == ["pending", "dead"]


@pytest.mark.parametrize(
    "said",
    [{"confirmed": value} for value in ("", "x", "-1", "9" * 30, "²")]
    + [{name: value} for name in ("number", "form") for value in ("", "x")],
)
def test_a_confirmation_that_is_none_only_asks_again(client, said):
    enter(client, *EVERYTHING)
    intent = make_intent()

    assert confirm(client, "cancel", intent.pk, **said).status_code == 200
    assert states() == ["pending"]


def test_many_are_a_workers_task_whose_progress_is_shown(client, monkeypatch):
    enter(client, *EVERYTHING)
    monkeypatch.setattr(confirmed, "AT_ONCE", 2)
    monkeypatch.setattr(errands, "_BATCH", 2)
    started: list[tuple[object, ...]] = []
    monkeypatch.setattr(tasks, "_published", lambda *what: started.append(what))
    first, *_ = [make_intent().pk for _ in range(5)]

    answer = confirm(client, "cancel", first, across=True)

    errand = Errand.objects.get()
    assert started == [(tasks.run_errand, errand.pk)]
    assert answer.url == reverse("admin:outbox_errand_change", args=[errand.pk])
    errands.step(errand.pk)
    page = read(client, "admin:outbox_errand_change", errand.pk)
    assert "2 looked at, 2 changed." in page
    assert 'http-equiv="refresh"' in page


def test_without_redis_a_big_action_waits_and_says_so(client, monkeypatch):
    enter(client, *EVERYTHING)
    monkeypatch.setattr(confirmed, "AT_ONCE", 0)
    monkeypatch.setattr(tasks, "start_errand", lambda _: False)

    answer = confirm(client, "cancel", make_intent().pk)

    assert "Redis is away" in client.get(answer.url).content.decode()


def test_more_than_an_errand_may_hold_is_refused(client, monkeypatch):
    enter(client, *EVERYTHING)
    monkeypatch.setattr(errands, "MOST", 2)
    first, *_ = [make_intent().pk for _ in range(3)]

    answer = ask(client, "cancel", first, across=True)

    assert "more than 2 mails" in client.get(answer.url).content.decode()


@pytest.mark.parametrize("action", ["resend", "replay", "cancel"])
def test_who_lacks_the_permission_cannot_act(client, action):
    enter(client, *{*EVERYTHING} - {f"{action}_intent"})
    intent = make_intent({"cancel": State.PENDING}.get(action, State.DEAD))

    ask(client, action, intent.pk, confirmed=str(intent.pk))

    assert states() == [intent.state]
    assert Intent.objects.count() == 1


def test_the_pause_is_switched_by_post_and_permission_alone(client):
    enter(client, "view_provider")
    provider()
    assert client.post(reverse("admin:outbox_pause")).status_code == 403
    client.logout()
    user = enter(client, "view_provider", "pause_provider", email="omar@example.com")
    assert client.get(reverse("admin:outbox_pause")).status_code == 405

    client.post(reverse("admin:outbox_pause"))
    assert Provider.objects.get().paused_by == user.email
    client.post(reverse("admin:outbox_resume"))
    assert Provider.objects.get().paused_at is None
    assert list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True)) == ["paused", "resumed"]
