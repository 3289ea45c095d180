"""The account as its holder sees and changes it."""

import pytest
from knox.models import AuthToken

from auth_api.models import PasswordReset, User
from outbox.models import Intent
from tests.database.auth_steps import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    confirm,
    log_in,
    make_user,
    post,
    requested,
    send,
    token_of,
)

pytestmark = pytest.mark.django_db


def change(token, current=PASSWORD, password=NEW_PASSWORD, **fields):
    body = {"current_password": current, "password": password, "password_confirm": password}
    return post("password/change/", token=token, **{**body, **fields})


def test_an_account_is_shown_to_its_holder():
    user = make_user()

    body = send("get", "me/", token=token_of()).json()

    assert (body["status"], body["en"], body["ar"]) == ("success", "Your account.", "حسابك.")
    assert body["user"].keys() == {"id", "email", "name", "language", "created_at"}
    assert body["user"]["id"] == str(user.pk)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "me/"),
        ("patch", "me/"),
        ("post", "logout/"),
        ("post", "logout/all/"),
        ("post", "password/change/"),
    ],
)
def test_strangers_are_asked_to_log_in(method, path):
    answer = send(method, path, {})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Token"
    assert answer.json()["en"] == "Please log in first."


def test_name_and_language_can_be_changed():
    user = make_user()
    answer = send("patch", "me/", {"name": "ليلى", "language": "ar"}, token=token_of())

    user.refresh_from_db()
    assert answer.status_code == 200
    assert answer.json()["message"] == "تم تحديث حسابك."
    assert answer.json()["user"]["name"] == user.name == "ليلى"
    assert user.language == "ar"


def test_a_change_leaves_the_rest_as_it_is():
    user = make_user()

    assert send("patch", "me/", {}, token=token_of()).status_code == 200
    assert send("patch", "me/", {"language": "ar"}, token=token_of()).status_code == 200
    user.refresh_from_db()
    assert (user.name, user.language) == ("Layla Haddad", "ar")


@pytest.mark.parametrize("field", ["email", "is_staff", "password", "id"])
def test_nothing_else_can_be_changed(field):
    make_user()

    answer = send("patch", "me/", {field: "x"}, token=token_of())

    assert answer.status_code == 400
    assert answer.json()["errors"][field][0]["code"] == "unknown"


def test_a_changed_password_ends_the_other_sessions_and_is_told_by_mail():
    user = make_user()
    here, there = token_of(), token_of()
    answer = change(here)

    intent = Intent.objects.get(kind="password_changed")
    assert answer.status_code == 200
    assert answer.json()["task_id"] == str(intent.task_id)
    assert (intent.recipient, intent.owner) == (EMAIL, str(user.pk))
    assert intent.context["client"] == "127.0.0.1"
    assert intent.context["changed_at"].endswith("(Asia/Dubai)")
    assert [send("get", "me/", token=token).status_code for token in (here, there)] == [200, 401]
    assert log_in(password=PASSWORD).status_code == 401
    assert log_in(password=NEW_PASSWORD).status_code == 200


def test_the_current_password_must_be_known():
    make_user()
    token = token_of()

    answer = change(token, current="wrong")

    assert answer.status_code == 400
    assert answer.json()["errors"]["current_password"][0]["code"] == "wrong"
    assert not Intent.objects.exists()
    assert AuthToken.objects.count() == 1


def test_a_new_password_must_be_strong_and_unlike_its_holder():
    make_user()

    problems = change(token_of(), password="layla haddad").json()["errors"]["password"]

    assert [problem["code"] for problem in problems] == ["password_too_similar"]


def test_a_code_that_is_under_way_dies_with_a_password_change():
    make_user()
    token = token_of()
    code = requested()
    change(token)

    assert PasswordReset.objects.get().closed_reason == "changed"
    assert confirm(code, password=PASSWORD + "!").status_code == 400
    assert User.objects.get().check_password(NEW_PASSWORD)


def test_nothing_is_changed_when_the_mail_cannot_be_enqueued(monkeypatch):
    make_user()
    token = token_of()
    monkeypatch.setattr("auth_api.mails.intents.enqueue", lambda *_, **__: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        change(token)
    assert User.objects.get().check_password(PASSWORD)
