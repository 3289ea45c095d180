"""GET /api/outbox/<task_id>/ for who may know of a mail, and health for machines."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.db.migrations.executor import MigrationExecutor
from django.test import Client

from outbox.models import Intent
from outbox.states import State
from outbox.views import WORDS
from tests.database.auth_steps import EMAIL, make_user, register, requested, token_of
from tests.factories import make_intent

pytestmark = pytest.mark.django_db


def ask(task_id, token=""):
    headers = {"Authorization": f"Token {token}"} if token else {}
    return Client().get(f"/api/outbox/{task_id}/", headers=headers)


@pytest.fixture
def layla():
    return make_user()


@pytest.fixture
def token(layla):
    return token_of()


def test_strangers_must_log_in_first():
    intent = make_intent()

    for task_id in (intent.task_id, uuid4()):
        answer = ask(task_id)
        assert answer.status_code == 401
        assert answer.json()["status"] == "error"


def test_a_token_that_is_no_longer_good_is_no_login():
    assert ask(make_intent().task_id, "0" * 64).status_code == 401


def test_the_owner_sees_where_a_mail_stands_and_nothing_of_its_content(layla, token):
    intent = make_intent(State.SENT, owner=str(layla.pk), context={"name": "secret"}, recipient="other@example.com")
    answer = ask(intent.task_id, token)

    told = answer.json()
    assert answer.status_code == 200
    assert (told["status"], told["en"], told["ar"]) == ("success", "The mail was sent.", "أُرسلت الرسالة.")
    assert set(told["task"]) == {
        "task_id",
        "kind",
        "state",
        "attempts",
        "created_at",
        "due_at",
        "expires_at",
        "closed_at",
    }
    assert (told["task"]["task_id"], told["task"]["kind"]) == (str(intent.task_id), "welcome")
    assert (told["task"]["state"], told["task"]["attempts"]) == ("sent", 1)
    assert datetime.fromisoformat(told["task"]["closed_at"]).astimezone(UTC) == intent.closed_at
    assert b"secret" not in answer.content
    assert b"other@example.com" not in answer.content


@pytest.mark.parametrize("state", sorted(State))
def test_every_state_has_its_words(state, layla, token):
    intent = make_intent(state, owner=str(layla.pk))

    told = ask(intent.task_id, token).json()

    assert (told["task"]["state"], (told["en"], told["ar"])) == (state, WORDS[state])


def test_what_belongs_to_nobody_belongs_to_whoever_has_the_address(layla, token):
    assert ask(make_intent(recipient=EMAIL).task_id, token).status_code == 200


def test_the_mail_of_a_reset_belongs_to_whoever_has_the_address(layla, token):
    requested()

    assert ask(Intent.objects.get(kind="reset_code").task_id, token).json()["task"]["kind"] == "reset_code"


def test_the_task_of_a_registration_belongs_to_the_new_account():
    task_id = register().json()["task_id"]

    assert ask(task_id, token_of()).json()["task"]["kind"] == "welcome"


@pytest.mark.parametrize(
    "columns",
    [
        {"owner": "somebody else"},
        {"owner": "somebody else", "recipient": EMAIL},
        {"recipient": "omar@example.com"},
        {"owner": EMAIL},
    ],
    ids=str,
)
def test_somebody_elses_mail_is_answered_like_one_that_does_not_exist(columns, layla, token):
    other = ask(make_intent(**columns).task_id, token)
    nothing = ask(uuid4(), token)

    assert (other.status_code, nothing.status_code) == (404, 404)
    assert other.content == nothing.content
    assert set(other.headers.items()) == set(nothing.headers.items())
    assert other.json()["status"] == "error"


@pytest.mark.parametrize("task_id", ["7", "nonesuch", "0" * 31])
def test_what_is_no_task_id_is_not_found(task_id, layla, token):
    answer = ask(task_id, token)

    assert answer.status_code == 404
    assert answer.json()["status"] == "error"


def test_staff_sees_every_mail():
    make_user("staff@example.com", is_staff=True)

    assert ask(make_intent(owner="somebody").task_id, token_of("staff@example.com")).status_code == 200
    assert ask(uuid4(), token_of("staff@example.com")).status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_mail_can_only_be_looked_at(method, layla, token):
    intent = make_intent(owner=str(layla.pk))
    call = getattr(Client(), method)

    assert call(f"/api/outbox/{intent.task_id}/", headers={"Authorization": f"Token {token}"}).status_code == 405


# Health


def test_a_process_that_answers_is_healthy_and_asks_nobody(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = client.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_process_is_ready_when_the_database_has_every_migration(client):
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_process_is_not_ready_while_migrations_are_missing(client, monkeypatch):
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: ["outbox.0002"])
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["reason"]) == (503, "migrations missing")


def test_a_process_is_not_ready_without_its_database(client, monkeypatch):
    def refuse(*_):
        raise OperationalError("connection refused")

    monkeypatch.setattr("outbox.views.MigrationExecutor", refuse)
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["reason"]) == (503, "database unreachable")
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_over_plain_http_too(path, client, settings):
    settings.SECURE_SSL_REDIRECT = True

    assert client.get(path).status_code == 200
    assert client.get("/api/outbox/x/").status_code == 301
