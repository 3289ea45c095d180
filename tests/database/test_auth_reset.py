"""Resetting a password by a code that was mailed."""

from datetime import timedelta

import pytest
from django.utils import timezone
from knox.models import AuthToken

from auth_api.models import PasswordReset, User
from outbox.models import Intent
from tests.database.auth_steps import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    age_limits,
    code_of,
    confirm,
    log_in,
    make_user,
    post,
    requested,
    send,
    statements,
    token_of,
    verify,
    wrong_code,
)

pytestmark = pytest.mark.django_db
REFUSED = "This code is wrong or no longer valid. You can ask for a new one."
MINUTE = timedelta(minutes=1)


def test_asking_writes_a_request_and_one_mail_that_holds_no_code() -> None:
    make_user()
    answer = post("password/reset/", email="Layla@EXAMPLE.com")

    request, intent = PasswordReset.objects.get(), Intent.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {
        "status": "success",
        "message": "A 6-digit code is being sent to layla@example.com.",
        "en": "A 6-digit code is being sent to layla@example.com.",
        "ar": "يجري إرسال رمز مكوّن من 6 أرقام إلى layla@example.com.",
        "task_id": str(intent.task_id),
    }
    assert (intent.kind, intent.recipient, intent.owner) == ("reset_code", EMAIL, "")
    assert intent.context == {"request": request.pk}
    assert request.expires_at - request.created_at == timedelta(hours=1)


@pytest.mark.parametrize("email", ["nobody@example.com", "off@example.com", "LAYLA@example.com"])
def test_asking_costs_the_same_and_is_answered_the_same_whoever_has_the_address(email: str) -> None:
    make_user()
    make_user("off@example.com", is_active=False)
    answers = []

    known = statements(lambda: answers.append(post("password/reset/", email=EMAIL)))
    age_limits(2 * MINUTE)
    if email.lower() == EMAIL:  # its second request also cancels the first one's mail
        Intent.objects.all().delete()
        PasswordReset.objects.all().delete()
    other = statements(lambda: answers.append(post("password/reset/", email=email)))

    assert known == other
    assert not [sql for sql in known if "auth_api_user" in sql]
    usual, asked = ({**answer.json(), "task_id": ""} for answer in answers)
    assert str(asked) == str(usual).replace(EMAIL, email.lower())


def test_a_code_is_checked_without_being_used_up_and_sets_the_password_once() -> None:
    make_user()
    token_of()
    code = requested()

    assert [verify(code).status_code for _ in range(2)] == [200, 200]
    answer = confirm(code)
    assert answer.status_code == 200
    assert answer.json()["en"] == "Your password has been changed. Please log in again."
    assert confirm(code).status_code == 400
    assert log_in(password=NEW_PASSWORD).status_code == 200
    assert log_in(password=PASSWORD).status_code == 401


def test_a_reset_ends_all_sessions_and_is_told_by_mail() -> None:
    user = make_user(language="ar")
    token = token_of()
    confirm(requested())

    intent = Intent.objects.get(kind="password_changed")
    assert send("get", "me/", token=token).status_code == 401
    assert not AuthToken.objects.exists()
    assert (intent.recipient, intent.language, intent.owner) == (EMAIL, "ar", str(user.pk))
    assert intent.context["name"] == "Layla Haddad"
    assert intent.context["client"] == "127.0.0.1"


def test_every_refusal_of_a_code_reads_the_same() -> None:
    make_user()
    make_user("other@example.com")
    answers = [verify("123456"), confirm("123456")]  # before anybody asked
    first = requested()
    answers += [verify(wrong_code()), confirm(wrong_code())]
    answers += [verify(code_of(), email="other@example.com")]  # another person's
    age_limits(2 * MINUTE)
    second = requested()
    answers += [verify(first)] if first != second else []  # superseded
    PasswordReset.objects.update(created_at=timezone.now() - 2 * MINUTE, expires_at=timezone.now() - MINUTE)
    answers += [verify(second), confirm(second)]  # expired
    age_limits(2 * MINUTE)
    third = requested()
    confirm(third)
    answers += [verify(third), confirm(third)]  # used
    answers += [confirm(requested("nobody@example.com"), email="nobody@example.com")]  # nobody's

    assert {(answer.status_code, answer.json()["en"]) for answer in answers} == {(400, REFUSED)}
    assert len({answer.content for answer in answers}) == 1


def test_five_wrong_tries_end_a_request() -> None:
    make_user()
    code = requested()
    wrong = wrong_code()

    for _ in range(4):
        verify(wrong)
    assert verify(code).status_code == 200
    confirm(wrong)
    assert verify(code).status_code == 400
    assert confirm(code).status_code == 400
    request = PasswordReset.objects.get()
    assert (request.wrong_tries, request.closed_reason) == (5, "tries")


def test_a_badly_typed_code_is_no_try() -> None:
    requested()

    assert verify("12345").json()["errors"]["code"][0]["code"] == "bad_code"
    assert PasswordReset.objects.get().wrong_tries == 0


def test_a_newer_request_ends_the_older_and_its_mail() -> None:
    make_user()
    first = requested()
    age_limits(2 * MINUTE)
    second = requested()

    older, newer = PasswordReset.objects.order_by("pk")
    assert (older.closed_reason, newer.closed_at) == ("superseded", None)
    assert list(Intent.objects.order_by("pk").values_list("state", flat=True)) == ["cancelled", "pending"]
    assert verify(second).status_code == 200
    assert first == second or verify(first).status_code == 400


def test_requests_of_other_people_are_left_alone() -> None:
    make_user()
    make_user("other@example.com")
    other = requested("other@example.com")
    requested()

    assert verify(other, email="other@example.com").status_code == 200
    assert not Intent.objects.exclude(state="pending").exists()


def test_over_the_limit_nothing_is_written_and_the_live_code_stays() -> None:
    make_user()
    code = requested()
    task_id = str(Intent.objects.get().task_id)

    again = post("password/reset/", email=EMAIL)

    assert again.status_code == 202
    assert again.json()["task_id"] != task_id
    assert Intent.objects.count() == PasswordReset.objects.count() == 1
    assert verify(code).status_code == 200


def test_one_mail_a_minute_and_five_an_hour_go_to_an_address() -> None:
    for _ in range(7):
        post("password/reset/", email=EMAIL)
        age_limits(2 * MINUTE)
    assert Intent.objects.count() == 5

    age_limits(timedelta(hours=1))
    post("password/reset/", email=EMAIL)
    assert Intent.objects.count() == 6


def test_a_weak_password_leaves_the_code_usable() -> None:
    make_user()
    code = requested()

    for password in ("12345678", "layla haddad", "layla@example"):
        answer = confirm(code, password=password)
        assert answer.status_code == 400
        assert set(answer.json()["errors"]) == {"password"}
    assert PasswordReset.objects.get().wrong_tries == 0
    assert confirm(code).status_code == 200


def test_an_inactive_account_cannot_be_reset() -> None:
    make_user(is_active=False)

    assert confirm(requested()).json()["en"] == REFUSED
    assert User.objects.get().check_password(PASSWORD)


def test_an_account_that_was_created_after_the_request_can_use_its_code() -> None:
    code = requested()
    make_user()

    assert confirm(code).status_code == 200


def test_a_code_outlives_a_rotation_of_the_secret(settings) -> None:
    make_user()
    code = requested()

    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret, fifty letters long, for this test only"
    assert verify(code).status_code == 200
    assert confirm(code).status_code == 200


def test_a_process_without_the_key_refuses_and_counts_nothing(settings) -> None:
    make_user()
    code = requested()

    settings.SECRET_KEY = "another secret, fifty letters long, for this test only"
    assert verify(code).json()["en"] == REFUSED
    assert PasswordReset.objects.get().wrong_tries == 0


def test_the_password_stays_when_the_mail_about_it_cannot_be_enqueued(monkeypatch) -> None:
    make_user()
    code = requested()
    with monkeypatch.context() as broken:
        broken.setattr("auth_api.mails.intents.enqueue", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            confirm(code)

    assert User.objects.get().check_password(PASSWORD)
    assert confirm(code).status_code == 200
