"""Logging in and out."""

from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.utils import timezone
from knox.models import AuthToken

from auth_api import services
from auth_api.models import User
from tests.database.auth_steps import EMAIL, PASSWORD, count_hashes, log_in, make_user, post, send, statements, token_of

pytestmark = pytest.mark.django_db
REFUSED = "The email address or the password is wrong."


def test_logging_in_gives_a_token_that_works_until_its_expiry():
    user = make_user(language="ar")
    answer = log_in("LAYLA@Example.com")

    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "success"
    assert body["user"]["email"] == EMAIL
    assert send("get", "me/", token=body["token"]).json()["user"] == body["user"]
    assert body["expiry"] > (timezone.now() + timedelta(hours=23)).isoformat()
    user.refresh_from_db()
    assert user.last_login is not None


def test_only_the_hash_of_a_token_is_stored():
    make_user()
    token = token_of()

    stored = AuthToken.objects.get()
    assert token not in (stored.digest, stored.token_key)
    assert len(stored.token_key) == 15


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "wrong"),
        ("nobody@example.com", PASSWORD),
        ("off@example.com", PASSWORD),
        ("none@example.com", PASSWORD),
    ],
    ids=["wrong password", "unknown", "inactive", "without a password"],
)
def test_every_failure_is_answered_alike_after_one_hash(email, password, monkeypatch):
    make_user()
    make_user("off@example.com", is_active=False)
    make_user("none@example.com", password=None)
    hashed = count_hashes(monkeypatch)

    answer = log_in(email, password)

    assert answer.status_code == 401
    assert (answer.json()["en"], answer.json()["errors"]) == (REFUSED, {})
    assert answer.headers["WWW-Authenticate"] == "Token"
    assert len(hashed) == 1
    assert not AuthToken.objects.exists()


def test_a_failure_runs_the_same_statements_for_known_and_unknown_addresses():
    make_user()
    make_user("off@example.com", is_active=False)

    known = statements(lambda: log_in(EMAIL, "wrong"))

    assert known == statements(lambda: log_in("nobody@example.com", "wrong"))
    assert known == statements(lambda: log_in("off@example.com", PASSWORD))


def test_a_stale_token_in_the_header_does_not_keep_anybody_from_logging_in():
    make_user()

    assert log_in(token="f" * 64).status_code == 200


def test_a_login_whose_password_was_changed_meanwhile_opens_no_session(monkeypatch):
    user = make_user()

    def check_while_it_changes(*_):
        User.objects.filter(pk=user.pk).update(password=make_password("changed meanwhile"))
        return True

    monkeypatch.setattr(services, "check_password", check_while_it_changes)

    assert log_in().status_code == 401
    assert not AuthToken.objects.exists()


def test_a_hash_of_an_older_hasher_is_renewed_by_logging_in(settings):
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "django.contrib.auth.hashers.ScryptPasswordHasher",
    ]
    user = make_user()
    User.objects.update(password=make_password(PASSWORD, hasher="scrypt"))

    assert log_in().status_code == 200
    user.refresh_from_db()
    assert user.password.startswith("md5$")
    assert user.check_password(PASSWORD)


def test_logging_out_ends_this_session_only():
    make_user()
    here, there = token_of(), token_of()

    assert post("logout/", token=here).status_code == 200
    assert send("get", "me/", token=here).status_code == 401
    assert send("get", "me/", token=there).status_code == 200


def test_logging_out_everywhere_ends_all_sessions_of_this_account_only():
    make_user()
    make_user("other@example.com")
    here, there, other = token_of(), token_of(), token_of("other@example.com")

    assert post("logout/all/", token=here).status_code == 200
    assert [send("get", "me/", token=token).status_code for token in (here, there, other)] == [401, 401, 200]


@pytest.mark.parametrize("token", ["f" * 64, "short", "é" * 32, "a\0b", "a b", "'" * 64])
def test_what_is_no_token_of_ours_is_answered_with_401(client, token):
    answer = client.get("/api/auth/me/", headers={"Authorization": f"Token {token}"})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Token"
    assert answer.json()["en"] == "Your session is not valid or has ended. Please log in again."


def test_a_token_ends_with_its_expiry_and_with_its_account():
    user = make_user()
    expired, closed = token_of(), token_of()
    AuthToken.objects.filter(token_key=expired[:15]).update(expiry=timezone.now() - timedelta(seconds=1))
    assert send("get", "me/", token=expired).status_code == 401
    assert send("get", "me/", token=closed).status_code == 200

    User.objects.filter(pk=user.pk).update(is_active=False)
    assert send("get", "me/", token=closed).status_code == 401
