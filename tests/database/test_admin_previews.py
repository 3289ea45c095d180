"""Mails in the admin: who may look has the view permission, looking changes nothing, and nothing in a mail runs."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from auth_api.models import User
from outbox.kinds import RAW
from outbox.models import Intent
from tests.factories import make_intent

pytestmark = pytest.mark.django_db
KINDS = ("account_exists", "password_changed", "reset_code", "welcome")
MAILS = "/admin/outbox/intent/mails/"
every_part = pytest.mark.parametrize("part", ["html", "txt", "eml"])


@pytest.fixture
def staff(client):
    """Somebody of the staff, logged in, with these permissions."""

    def log_in(*permissions):
        user = User.objects.create_user(email="staff@example.com", name="Staff", password="a-Long-pass-phrase")
        user.is_staff = True
        user.save()
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def viewer(staff):
    return staff("view_intent")


def mail_of(intent, part="html"):
    return reverse("admin:outbox_mail", args=[intent.pk, part])


# --- Every kind -----------------------------------------------------------------------------------------------
def test_the_page_of_mails_shows_each_kind_in_each_language_in_a_frame_where_no_script_runs(viewer):
    page = viewer.get(MAILS).content.decode()

    frames = re.findall(r'<iframe sandbox loading="lazy" src="\./([^"]*)"', page)
    assert frames == [f"{kind}/{language}/html" for kind in KINDS for language in ("en", "ar")]
    for frame in frames:
        assert viewer.get(f"{MAILS}{frame}").status_code == 200


def test_the_list_of_intents_leads_to_the_page_of_mails(viewer):
    assert f'href="{MAILS}"' in viewer.get("/admin/outbox/intent/").content.decode()


@every_part
@pytest.mark.parametrize("kind", KINDS)
def test_each_part_of_a_sample_is_shown(viewer, kind, part):
    answer = viewer.get(f"{MAILS}{kind}/ar/{part}")

    assert answer["Content-Type"] == {"html": "text/html; charset=utf-8"}.get(part, "text/plain; charset=utf-8")
    assert answer.content.startswith({"html": b"<!doctype html>", "eml": b"From: "}.get(part, b""))


@pytest.mark.parametrize("path", ["gone/en/html", "welcome/en/exe", "message/en/html", "welcome/fr/html"])
def test_what_is_not_there_is_not_found(viewer, path):
    assert viewer.get(f"{MAILS}{path}").status_code in {302, 404}  # the admin leads unknown ids to its front page


# --- One intent -----------------------------------------------------------------------------------------------
def test_the_page_of_an_intent_shows_its_mail_in_a_frame(viewer):
    intent = make_intent(context={"name": "Omar"})

    page = viewer.get(f"/admin/outbox/intent/{intent.pk}/change/").content.decode()

    assert f'<iframe sandbox loading="lazy" src="{mail_of(intent)}"' in page
    for part in ("html", "txt", "eml"):
        assert f'<a href="{mail_of(intent, part)}" target="mail">' in page


@every_part
def test_the_mail_is_made_from_what_is_stored(viewer, part):
    intent = make_intent(context={"name": "Omar"}, recipient="omar@example.com")

    assert b"Omar" in viewer.get(mail_of(intent, part)).content


@every_part
def test_a_real_code_is_neither_shown_nor_derived(viewer, part, change_kind):
    change_kind("reset_code", bind=lambda _: pytest.fail("a preview derived a real code"))
    intent = make_intent(kind="reset_code", context={"request": 7})

    assert b"042137" in viewer.get(mail_of(intent, part)).content


def test_a_sealed_message_and_a_kind_that_is_gone_are_told_and_not_shown(viewer):
    for intent in (make_intent(kind=RAW.name, payload=b"gAAAA"), make_intent(kind="gone")):
        answer = viewer.get(mail_of(intent))

        assert answer.status_code == 404
        assert answer.content.startswith(b"This mail cannot be shown: ")
        assert viewer.get(f"/admin/outbox/intent/{intent.pk}/change/").status_code == 200


# --- Safe to look at ------------------------------------------------------------------------------------------
@every_part
def test_nothing_in_a_mail_may_run_or_be_fetched_and_only_our_own_pages_may_frame_it(viewer, part):
    for url in (mail_of(make_intent()), f"{MAILS}welcome/en/{part}"):
        answer = viewer.get(url)

        policy = {words.split()[0]: words.split()[1:] for words in answer["Content-Security-Policy"].split(";")}
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
        assert policy["sandbox"] == []
        assert "script-src" not in policy
        assert policy["frame-ancestors"] == ["'self'"]
        assert answer["X-Frame-Options"] == "SAMEORIGIN"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_only_reading_is_allowed(viewer, method):
    for url in (mail_of(make_intent()), f"{MAILS}welcome/en/html", MAILS):
        assert getattr(viewer, method)(url).status_code == 405


def test_looking_changes_nothing(viewer, django_assert_num_queries):
    intent = make_intent(context={"name": "Omar"})
    before = Intent.objects.filter(pk=intent.pk).values().get()

    # The session, the person, its permissions and those of its groups, the row, and the context, which lists leave out.
    with django_assert_num_queries(6):
        viewer.get(mail_of(intent))

    assert Intent.objects.filter(pk=intent.pk).values().get() == before


@pytest.mark.parametrize("permissions", [[], ["view_provider"], ["resend_intent"]])
def test_without_the_permission_to_view_intents_there_is_nothing_to_see(staff, permissions):
    client = staff(*permissions)

    for url in (mail_of(make_intent()), f"{MAILS}welcome/en/html", MAILS):
        assert client.get(url).status_code == 403


def test_who_is_not_logged_in_is_asked_to(client):
    for url in (mail_of(make_intent()), f"{MAILS}welcome/en/html", MAILS):
        assert client.get(url)["Location"].startswith("/admin/login/")
