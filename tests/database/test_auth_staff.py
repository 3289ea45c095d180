"""Staff log in and set passwords under the same rules as everybody: limits, ended sessions, a mail about it."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from auth_api.models import PasswordReset, User
from outbox.models import Intent
from tests.database.auth_steps import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    confirm,
    log_in,
    make_user,
    requested,
    send,
    token_of,
)

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/"


def try_login(typed: str = "wrong", email: str = EMAIL, caller: Client | None = None) -> Any:
    return (caller or Client()).post(LOGIN, {"username": email, "password": typed})


def must_be_guarded(user: User, old_token: str, old_code: str) -> None:
    """As after every change of a password."""
    assert send("get", "me/", token=old_token).status_code == 401
    assert confirm(old_code).status_code == 400
    assert log_in(password=PASSWORD).status_code == 401
    assert log_in(password=NEW_PASSWORD).status_code == 200
    assert Intent.objects.filter(kind="password_changed", recipient=user.email).count() == 1
    assert not PasswordReset.objects.live(user.email).exists()


def test_tries_at_the_admins_login_are_limited_together_with_those_of_the_api() -> None:
    make_user(is_staff=True)
    for _ in range(5):
        log_in(password="wrong")
    answers = [try_login().status_code for _ in range(6)]

    assert answers == [200] * 5 + [429]
    refused = try_login(PASSWORD)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert log_in().status_code == 429
    assert try_login(PASSWORD, "someone.else@example.com").status_code == 200  # not limited, and still wrong


@pytest.mark.parametrize("email", ["", "nonsense", "a\0b@example.com", "\ud800", "é@example.com", "a" * 5000])
def test_an_address_that_nobody_can_have_is_refused_as_any_wrong_one(email: str) -> None:
    assert try_login(email=email.encode("utf-8", "replace").decode()).status_code == 200


def test_looking_at_the_login_page_counts_for_nothing() -> None:
    assert {Client().get(LOGIN).status_code for _ in range(70)} == {200}


def test_staff_who_change_their_own_password_end_their_other_sessions_and_are_told() -> None:
    user = make_user(is_staff=True)
    token, code = token_of(), requested()
    elsewhere, here = Client(), Client()
    for caller in (elsewhere, here):
        caller.force_login(user)
    new = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}

    changed = here.post("/admin/password_change/", new)

    assert changed.headers["Location"] == "/admin/password_change/done/"
    assert here.get("/admin/").status_code == 200
    assert elsewhere.get("/admin/").status_code == 302
    must_be_guarded(user, token, code)


def test_a_wrong_old_password_changes_nothing() -> None:
    user = make_user(is_staff=True)
    here = Client()
    here.force_login(user)
    new = {"old_password": "wrong", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}

    assert here.post("/admin/password_change/", new).status_code == 200
    assert log_in(password=PASSWORD).status_code == 200


def test_a_password_set_on_the_command_line_ends_sessions_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_user()
    token, code = token_of(), requested()
    monkeypatch.setattr("getpass.getpass", lambda *_args, **_options: NEW_PASSWORD)

    call_command("changepassword", EMAIL, stdout=StringIO())

    must_be_guarded(user, token, code)
