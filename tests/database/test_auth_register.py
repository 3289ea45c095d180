"""Registering: one account, one mail, and nothing told to strangers."""

from uuid import UUID

import pytest

from auth_api.models import User
from outbox.models import Intent
from tests.database.auth_steps import EMAIL, PASSWORD, count_hashes, make_user, post, register, statements

pytestmark = pytest.mark.django_db


def test_registering_creates_an_account_and_its_welcome_mail():
    answer = register(email="Layla@Example.com", language="ar")

    user = User.objects.get()
    intent = Intent.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "status": "success",
        "message": "يجري إرسال رسالة إلى layla@example.com.",
        "en": "A mail is being sent to layla@example.com.",
        "ar": "يجري إرسال رسالة إلى layla@example.com.",
        "task_id": str(intent.task_id),
    }
    assert (user.email, user.name, user.language) == ("layla@example.com", "Layla Haddad", "ar")
    assert user.check_password(PASSWORD)
    assert (intent.kind, intent.recipient, intent.language, intent.owner) == (
        "welcome",
        user.email,
        "ar",
        str(user.pk),
    )


def test_the_language_is_taken_from_the_request_when_the_body_names_none(client):
    body = {"name": "Layla", "email": EMAIL, "password": PASSWORD, "password_confirm": PASSWORD}
    client.post("/api/auth/register/", body, "application/json", headers={"Accept-Language": "ar-AE, en;q=0.5"})

    assert User.objects.get().language == "ar"


def test_registering_a_taken_address_changes_nothing_and_tells_its_holder():
    holder = make_user()
    answer = register(email="LAYLA@example.com", name="Somebody Else", password=PASSWORD + "!")

    intent = Intent.objects.get()
    holder.refresh_from_db()
    assert answer.status_code == 201
    assert holder.name == "Layla Haddad"
    assert holder.check_password(PASSWORD)
    assert (intent.kind, intent.recipient, intent.owner, intent.context) == ("account_exists", EMAIL, "", {})


def moments(answer):
    """The one header that holds the time."""
    return {("Expires", answer.headers["Expires"])}


@pytest.mark.parametrize("fields", [{}, {"is_active": False}, {"is_staff": True}], ids=["active", "inactive", "staff"])
def test_the_answer_to_a_taken_address_is_the_answer_to_a_free_one(fields):
    free = register(email="free@example.com")
    make_user(email="held@example.com", **fields)
    taken = register(email="Held@EXAMPLE.com")

    def without_ids(answer):
        return answer.content.replace(answer.json()["task_id"].encode(), b"").replace(b"held@", b"free@")

    assert taken.status_code == free.status_code
    assert without_ids(taken) == without_ids(free)
    assert set(taken.headers.items()) ^ set(free.headers.items()) <= moments(taken) | moments(free)


def test_a_taken_address_costs_the_statements_of_a_free_one():
    make_user(email="held@example.com")

    taken = statements(lambda: register(email="held@example.com"))

    assert taken == statements(lambda: register(email="free@example.com"))


@pytest.mark.parametrize("email", ["held@example.com", "free@example.com"])
def test_registering_hashes_once_whoever_has_the_address(email, monkeypatch):
    make_user(email="held@example.com")
    hashed = count_hashes(monkeypatch)

    register(email=email)

    assert len(hashed) == 1


def test_holders_are_told_once_a_minute_and_the_answer_stays_the_same():
    make_user()

    answers = [register() for _ in range(3)]

    assert Intent.objects.count() == 1
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({UUID(answer.json()["task_id"]) for answer in answers}) == 3
    assert len({answer.json()["en"] for answer in answers}) == 1


def test_a_mail_about_an_existing_account_counts_as_a_reset_mail():
    make_user()
    register()
    post("password/reset/", email=EMAIL)

    assert [intent.kind for intent in Intent.objects.all()] == ["account_exists"]


def test_a_welcome_mail_does_not_count_as_one():
    register()
    post("password/reset/", email=EMAIL)

    assert [intent.kind for intent in Intent.objects.order_by("pk")] == ["welcome", "reset_code"]


@pytest.mark.parametrize(
    ("changed", "field", "code"),
    [
        ({"email": "nobody"}, "email", "bad_address"),
        ({"email": "ليلى@example.com"}, "email", "bad_address"),
        ({"email": None}, "email", "null"),
        ({"name": ""}, "name", "blank"),
        ({"name": "a\nb"}, "name", "control_character"),
        ({"name": "a\0b"}, "name", "nul"),
        ({"name": 7}, "name", "invalid"),
        ({"language": "fr"}, "language", "invalid_choice"),
        ({"password_confirm": "another one"}, "password_confirm", "differ"),
        ({"is_staff": True}, "is_staff", "unknown"),
        ({"password": "kx7-q", "password_confirm": "kx7-q"}, "password", "password_too_short"),
        ({"password": "password123", "password_confirm": "password123"}, "password", "password_too_common"),
        (
            {"password": "947201648812", "password_confirm": "947201648812"},
            "password",
            "password_entirely_numeric",
        ),
        (
            {"password": "layla haddad", "password_confirm": "layla haddad"},
            "password",
            "password_too_similar",
        ),
        (
            {"password": "layla@example", "password_confirm": "layla@example"},
            "password",
            "password_too_similar",
        ),
    ],
)
def test_a_field_that_is_wrong_is_named_in_both_languages(changed, field, code):
    answer = register(**changed)

    problem = answer.json()["errors"][field][0]
    assert answer.status_code == 400
    assert problem["code"] == code
    assert problem["en"]
    assert problem["ar"]
    assert not User.objects.exists()
    assert not Intent.objects.exists()


def test_a_weak_password_is_told_the_length_it_needs():
    problem = register(password="kx7-q").json()["errors"]["password"][0]

    assert problem == {
        "code": "password_too_short",
        "en": "The password needs at least 8 characters.",
        "ar": "يجب ألا تقل كلمة المرور عن 8 محارف.",
    }


def test_nothing_is_left_when_the_mail_cannot_be_enqueued(monkeypatch):
    monkeypatch.setattr("auth_api.mails.intents.enqueue", lambda *_, **__: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        register()
    assert not User.objects.exists()
