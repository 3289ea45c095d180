"""The page that asks before an action: what it shows is what is done, once."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models.functions import Now
from django.urls import reverse

from outbox import confirmed, tasks
from outbox.models import Errand, Intent
from outbox.states import State
from tests.database.admin_steps import PAGE, answers, ask, enter
from tests.database.outbox_steps import states
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
EVERYTHING = ("view_intent", "resend_intent", "replay_intent", "cancel_intent")


@pytest.mark.parametrize("at_once", [0, confirmed.AT_ONCE])
def test_a_double_click_does_it_once_and_leads_to_what_is_done(client, monkeypatch, at_once):
    enter(client, *EVERYTHING)
    monkeypatch.setattr(confirmed, "AT_ONCE", at_once)
    started: list[int] = []
    monkeypatch.setattr(tasks, "start_errand", started.append)
    intent = make_intent(State.SENT)
    said = answers(ask(client, "resend", intent.pk))

    first, second = (ask(client, "resend", intent.pk, **said) for _ in range(2))

    errand = Errand.objects.get()
    assert started == ([] if at_once else [errand.pk])
    assert second.url == reverse("admin:outbox_errand_change", args=[errand.pk])
    assert first.url in {reverse(PAGE, args=[intent.pk]), second.url}
    assert LogEntry.objects.filter(content_type__model="errand").count() == 1
    assert states() == ["sent", "pending"] if at_once else ["sent"]


def test_two_clicks_at_the_same_moment_do_it_once(client, monkeypatch):
    enter(client, *EVERYTHING)
    intent = make_intent(State.SENT)
    said = answers(ask(client, "resend", intent.pk))
    monkeypatch.setattr(confirmed, "_before", lambda _: None)  # both have looked when the first one begins

    for _ in range(2):
        ask(client, "resend", intent.pk, **said)

    assert states() == ["sent", "pending"]


def test_more_than_was_shown_is_asked_again_and_less_is_done(client):
    enter(client, *EVERYTHING)
    letters = [make_intent(State.DEAD), make_intent(), make_intent(State.DEAD)]
    query = "?state__exact=dead"
    said = answers(ask(client, "replay", letters[0].pk, across=True, query=query))
    Intent.objects.filter(pk=letters[1].pk).update(state=State.DEAD, closed_at=Now())

    again = ask(client, "replay", letters[0].pk, across=True, query=query, **said)

    assert "3 mails fit by now, and 2 were shown: look again." in again.content.decode()
    assert answers(again)["number"] == "3"
    assert states() == ["dead"] * 3
    Intent.objects.filter(pk=letters[1].pk).delete()
    ask(client, "replay", letters[0].pk, across=True, query=query, **answers(again))
    assert states() == ["pending"] * 2
