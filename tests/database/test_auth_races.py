"""What many do at the same moment, each on a connection of its own."""

from collections import Counter
from typing import Any

import pytest
from django.db import connection, transaction
from knox.models import AuthToken

from auth_api import services
from auth_api.models import PasswordReset, User
from outbox.models import Intent
from tests.database.auth_steps import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    at_once,
    confirm,
    log_in,
    make_user,
    post,
    register,
    requested,
    token_of,
    verify,
    wrong_code,
)

pytestmark = pytest.mark.django_db(transaction=True)


def states(kind):
    return Counter(Intent.objects.filter(kind=kind).values_list("state", flat=True))


def test_twenty_registers_of_one_address_make_one_account_and_one_welcome_mail():
    answers = at_once(20, lambda number: register(name=f"Layla {number}"))

    assert [answer.status_code for answer in answers] == [201] * 20
    assert len({answer.json()["en"] for answer in answers}) == 1
    assert len({answer.json()["task_id"] for answer in answers}) == 20
    assert len({tuple(answer.json()) for answer in answers}) == 1
    assert User.objects.count() == 1
    assert states("welcome") == {"pending": 1}
    assert states("account_exists") == {"pending": 1}


def test_twenty_confirms_with_one_code_set_one_password():
    make_user()
    code = requested()

    answers = at_once(20, lambda number: confirm(code, password=f"{NEW_PASSWORD} {number}"))

    winner = [answer.status_code for answer in answers].index(200)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 19}
    assert User.objects.get().check_password(f"{NEW_PASSWORD} {winner}")
    assert states("password_changed") == {"pending": 1}


def test_five_wrong_tries_end_a_request_also_when_they_arrive_together():
    make_user()
    code = requested()
    wrong = wrong_code()

    at_once(10, lambda number: verify(wrong) if number % 2 else confirm(wrong))

    request = PasswordReset.objects.get()
    assert (request.wrong_tries, request.closed_reason) == (5, "tries")
    assert confirm(code).status_code == 400


def test_of_many_wrong_tries_and_a_right_one_at_most_five_count_before_it():
    make_user()
    code = requested()
    wrong = wrong_code()

    answers = at_once(12, lambda number: confirm(code) if number == 6 else verify(wrong))

    request = PasswordReset.objects.get()
    assert (request.closed_reason == "used") == (answers[6].status_code == 200)
    assert request.closed_reason in {"used", "tries"}
    assert request.wrong_tries <= 5


def test_resets_of_one_address_at_the_same_moment_leave_one_live_request_with_its_mail():
    answers = at_once(10, lambda _: post("password/reset/", email=EMAIL))

    assert [answer.status_code for answer in answers] == [202] * 10
    assert PasswordReset.objects.count() == 1
    assert states("reset_code") == {"pending": 1}


def test_without_limits_too_the_newest_of_concurrent_resets_is_the_live_one(settings):
    settings.AUTH_LIMITS = {"mail": ()}

    answers = at_once(10, lambda _: post("password/reset/", email=EMAIL))

    assert [answer.status_code for answer in answers] == [202] * 10
    live = PasswordReset.objects.get(closed_at=None)
    assert live == PasswordReset.objects.latest("pk")
    assert states("reset_code") == {"pending": 1, "cancelled": 9}
    assert Intent.objects.get(state="pending").context == {"request": live.pk}


def test_a_reset_and_a_change_at_the_same_moment_do_not_wait_for_each_other_for_ever():
    make_user()
    token = token_of()
    code = requested()
    body: Any = {"current_password": PASSWORD, "password": "by change", "password_confirm": "by change"}

    calls = [lambda: confirm(code, password="by a reset"), lambda: post("password/change/", token=token, **body)]
    answers = at_once(6, lambda number: calls[number % 2]())

    assert Counter(answer.status_code for answer in answers)[200] >= 1
    assert not PasswordReset.objects.filter(closed_at=None).exists()
    assert states("password_changed") == {"pending": Counter(answer.status_code for answer in answers)[200]}


def test_no_session_that_the_old_password_opened_outlives_a_reset():
    make_user()
    code = requested()

    at_once(8, lambda number: confirm(code) if number == 3 else log_in())

    assert User.objects.get().check_password(NEW_PASSWORD)
    assert not AuthToken.objects.exists()


def test_a_login_that_waits_for_a_password_change_sees_it():
    make_user()

    def one(number):
        if number == 0:
            with transaction.atomic():
                services.set_password(User.objects.get(), NEW_PASSWORD)
                _wait_for_a_waiter()
            return None
        _wait_for_a_lock()
        return services.log_in(EMAIL, PASSWORD)

    assert at_once(2, one) == [None, None]
    assert not AuthToken.objects.exists()


def _wait_for_a_waiter():
    _until(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database"
        " WHERE datname = current_database()) OR NOT granted AND locktype = 'transactionid')"
    )


def _wait_for_a_lock():
    _until(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'auth_api_user'::regclass"
        " AND mode = 'RowExclusiveLock' AND granted AND pid <> pg_backend_pid())"
    )


def _until(question):
    with connection.cursor() as cursor:
        for _ in range(2000):
            cursor.execute(question)
            if cursor.fetchone()[0]:
                return
            cursor.execute("SELECT pg_sleep(0.005)")
    pytest.fail(f"never true: {question}")
