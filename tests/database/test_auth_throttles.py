"""Limits, counted in Postgres."""

from datetime import timedelta
from typing import Any

import pytest
from rest_framework.exceptions import Throttled

from auth_api import throttles
from auth_api.models import Allowance
from auth_api.throttles import HOUR, MINUTE, Limit
from outbox.models import Intent
from tests.database.auth_steps import (
    EMAIL,
    age_limits,
    at_once,
    confirm,
    log_in,
    make_user,
    post,
    register,
    token_of,
    verify,
)

SECOND = timedelta(seconds=1)


@pytest.fixture
def limit(settings):
    """Set the limits of one action: `limit("login", Limit(2, MINUTE))`."""

    def change(action, *limits):
        settings.AUTH_LIMITS = {**getattr(settings, "AUTH_LIMITS", {}), action: limits}

    return change


@pytest.mark.django_db
def test_a_window_slides(limit):
    limit("mail", Limit(2, MINUTE))

    assert throttles.spend_mail(EMAIL)
    age_limits(40 * SECOND)
    assert throttles.spend_mail(EMAIL)
    assert not throttles.spend_mail(EMAIL)
    age_limits(21 * SECOND)  # the first is out of the minute, the second is not
    assert throttles.spend_mail(EMAIL)
    assert not throttles.spend_mail(EMAIL)


@pytest.mark.django_db
def test_every_limit_must_hold(limit):
    limit("mail", Limit(1, MINUTE), Limit(2, HOUR))

    allowed = []
    for _ in range(4):
        allowed.append(throttles.spend_mail(EMAIL))
        age_limits(2 * MINUTE)
    assert allowed == [True, True, False, False]


@pytest.mark.django_db
def test_what_was_refused_does_not_count(limit):
    limit("mail", Limit(1, MINUTE))

    throttles.spend_mail(EMAIL)
    age_limits(50 * SECOND)
    assert not throttles.spend_mail(EMAIL)
    age_limits(11 * SECOND)
    assert throttles.spend_mail(EMAIL)


@pytest.mark.django_db
def test_only_hits_that_count_are_kept(limit):
    limit("mail", Limit(9, MINUTE))
    for _ in range(5):
        throttles.spend_mail(EMAIL)
        age_limits(25 * SECOND)

    assert len(Allowance.objects.get().hits) == 3


@pytest.mark.django_db
def test_each_address_and_each_action_is_counted_alone(limit):
    for action in ("login", "reset"):
        limit(action, Limit(1, MINUTE))
    throttles.check_address("login", EMAIL)

    throttles.check_address("login", "other@example.com")
    throttles.check_address("reset", EMAIL)
    with pytest.raises(Throttled):
        throttles.check_address("login", EMAIL)


@pytest.mark.django_db
def test_who_waits_as_long_as_told_is_let_in(limit):
    limit("login", Limit(2, MINUTE), Limit(3, HOUR))
    for pause in (0, 20, 70):
        age_limits(pause * SECOND)
        throttles.check_address("login", EMAIL)

    with pytest.raises(Throttled) as refused:
        throttles.check_address("login", EMAIL)
    wait = vars(refused.value)["wait"]
    assert 3490 < wait <= 3511  # the first of three was 90 s ago, of an hour

    age_limits((wait - 60) * SECOND)
    with pytest.raises(Throttled):
        throttles.check_address("login", EMAIL)
    age_limits(61 * SECOND)
    throttles.check_address("login", EMAIL)


@pytest.mark.django_db
def test_the_table_names_neither_address_nor_client():
    throttles.check_address("login", EMAIL)
    throttles.check_client("login", "203.0.113.9")

    keys = list(Allowance.objects.values_list("key", flat=True))
    assert len(keys) == 2
    assert not [key for key in keys if "layla" in key or "203" in key.partition(":")[2][:3]]
    assert {key.partition(":")[0] for key in keys} == {"login", "client"}


@pytest.mark.django_db
def test_a_client_that_is_not_known_is_not_limited(limit):
    limit("client", Limit(1, MINUTE))

    for _ in range(3):
        throttles.check_client("login", "")
    assert not Allowance.objects.exists()


@pytest.mark.django_db
def test_one_ipv6_network_is_one_client(limit):
    limit("client", Limit(1, MINUTE))
    throttles.check_client("login", "2001:db8::1")

    throttles.check_client("login", "2001:db8:0:1::1")
    with pytest.raises(Throttled):
        throttles.check_client("login", "2001:db8::2")


CALLS = {
    "register": register,
    "login": lambda: log_in(password="wrong"),
    "reset": lambda: post("password/reset/", email=EMAIL),
    "verify": lambda: verify("123456"),
    "confirm": lambda: confirm("123456"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("of", ["client", "address"])
@pytest.mark.parametrize("action", CALLS)
def test_every_public_endpoint_is_limited_per_client_and_per_address(limit, action, of):
    limit("client" if of == "client" else action, Limit(1, MINUTE))
    assert CALLS[action]().status_code < 429

    answer = CALLS[action]()
    assert answer.status_code == 429
    assert answer.json()["en"] == "Too many requests. Please wait a little and try again."
    assert answer.json()["ar"] == "طلبات كثيرة جدًا. يُرجى الانتظار قليلًا ثم المحاولة من جديد."
    assert 55 <= int(answer.headers["Retry-After"]) <= 60


@pytest.mark.django_db
@pytest.mark.parametrize("of", ["client", "address"])
def test_guessing_the_current_password_is_limited_too(limit, of):
    make_user()
    token = token_of()
    limit("client" if of == "client" else "change", Limit(1, MINUTE))
    body: Any = {"current_password": "a guess", "password": "quiet river", "password_confirm": "quiet river"}

    assert [post("password/change/", token, **body).status_code for _ in range(2)] == [400, 429]


@pytest.mark.django_db
@pytest.mark.parametrize("action", ["register", "login"])
def test_the_limit_comes_before_the_hash(limit, action, monkeypatch):
    limit(action, Limit(1, MINUTE))
    make_user()
    CALLS[action]()

    for name in ("make_password", "check_password"):
        monkeypatch.setattr(f"auth_api.services.{name}", lambda *_: pytest.fail("hashed"))
    assert CALLS[action]().status_code == 429


@pytest.mark.django_db
def test_malformed_requests_count_for_their_client(limit):
    limit("client", Limit(2, MINUTE))

    assert [post("login/", nonsense=1).status_code for _ in range(3)] == [400, 400, 429]


@pytest.mark.django_db
def test_the_same_address_is_counted_however_it_is_typed(limit):
    limit("login", Limit(1, MINUTE))
    log_in("layla@example.com", "wrong")

    assert log_in(" LAYLA@Example.com", "wrong").status_code == 429


@pytest.mark.django_db
def test_behind_a_proxy_each_client_is_counted_alone(limit, settings, client):
    settings.TRUSTED_PROXIES = 1
    limit("client", Limit(1, MINUTE))

    def status(forwarded):
        headers = {"X-Forwarded-For": forwarded}
        return client.post("/api/auth/login/", {}, "application/json", headers=headers).status_code

    assert [status("203.0.113.1"), status("203.0.113.2"), status("6.6.6.6, 203.0.113.1")] == [400, 400, 429]


@pytest.mark.django_db(transaction=True)
def test_hits_that_arrive_together_are_counted_one_after_the_other(limit):
    limit("mail", Limit(3, MINUTE))

    allowed = at_once(10, lambda _: throttles.spend_mail(EMAIL))

    assert sorted(allowed) == [False] * 7 + [True] * 3


@pytest.mark.django_db(transaction=True)
def test_limits_of_different_addresses_do_not_wait_for_each_other():
    allowed = at_once(8, lambda number: throttles.spend_mail(f"{number}@example.com"))

    assert allowed == [True] * 8
    assert not Intent.objects.exists()
