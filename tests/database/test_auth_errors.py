"""One body for every failure under /api/."""

import json
from typing import Any

import pytest
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.test import Client

from auth_api import errors, services
from tests.database.auth_steps import make_user, token_of

pytestmark = pytest.mark.django_db
LOGIN = "/api/auth/login/"
JSON = "application/json"


def refused(answer: Any, status: int) -> dict[str, Any]:
    """The body, after checking that it is the one shape."""
    body: dict[str, Any] = json.loads(answer.content)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == JSON
    assert body.keys() == {"status", "message", "en", "ar", "errors"}
    assert body["status"] == "error"
    assert body["message"] in (body["en"], body["ar"])
    for problems in body["errors"].values():
        assert [problem.keys() for problem in problems] == [{"code", "en", "ar"}] * len(problems)
    return body


def send(body: bytes | str, content_type: str = JSON, **headers: str) -> Any:
    return Client().post(LOGIN, body, content_type, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[" * 60_000,
        '{"a":' * 12_000,
        "nul",
        b"\xff",
        b"NaN",
        '{"email": "a", "email": "b"}',
        "9" * 5000,
    ],
    ids=["empty", "cut", "lists", "objects", "word", "bytes", "NaN", "twice", "digits"],
)
def test_a_body_that_is_no_json_is_answered_with_400(body: bytes | str) -> None:
    refused(send(body), 400)


@pytest.mark.parametrize("body", ["[]", "null", "1", '"a"', "[{}]", "[" * 300 + "]" * 300])
def test_json_that_is_no_object_is_answered_with_400(body: str) -> None:
    assert "non_field_errors" in refused(send(body), 400)["errors"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("\0", "nul"),
        ("\ud800", "surrogate"),
        (7, "invalid"),
        (None, "null"),
        ("", "blank"),
        (["a"], "invalid"),
        ({"a": 1}, "invalid"),
        ("a" * 60_000, "bad_address"),
        (f"{'a' * 64}@{'b' * 120}", "bad_address"),
    ],
    ids=["NUL", "surrogate", "number", "null", "empty", "list", "object", "huge", "long label"],
)
def test_a_wrong_field_is_named(value: object, code: str) -> None:
    body = refused(send(json.dumps({"email": value, "password": "x"})), 400)

    assert [problem["code"] for problem in body["errors"]["email"]] == [code]


def test_a_value_nested_nearly_too_deep_is_answered_with_400() -> None:
    for depth in range(100, 1000, 50):
        refused(send('{"email": ' + "[" * depth + "]" * depth + ', "password": "x"}'), 400)


@pytest.mark.parametrize("name", ["is_staff", "\ud800", "a\0b", "n" * 5000, "", "errors"])
def test_an_unknown_field_is_named(name: str) -> None:
    body = refused(send(json.dumps({"email": "a@example.com", "password": "x", name: 1})), 400)

    assert [problem["code"] for (problem,) in body["errors"].values()] == ["unknown"]


def test_a_missing_field_is_named() -> None:
    assert set(refused(send("{}"), 400)["errors"]) == {"email", "password"}


@pytest.mark.parametrize("length", [64 * 1024 + 1, 10**6, 3 * 10**6])
def test_a_large_body_is_answered_with_413(length: int) -> None:
    refused(send(b"a" * length), 413)


def test_other_methods_media_types_and_answers_are_refused() -> None:
    refused(Client().get(LOGIN), 405)
    refused(Client().options(LOGIN), 405)
    refused(Client().generic("PROPFIND", LOGIN), 405)
    refused(send("email=a", "application/x-www-form-urlencoded"), 415)
    refused(send("x", "text/plain"), 415)
    refused(Client().generic("POST", LOGIN, b"{}", "application/json; charset=bz2"), 400)
    refused(send("{}", Accept="text/html"), 406)


def test_errors_follow_the_language_of_the_caller() -> None:
    assert refused(send("{}", **{"Accept-Language": "ar"}), 400)["message"] == "يُرجى تصحيح الأخطاء أدناه."
    body = json.dumps({"email": "x", "password": "x", "language": "ar"})
    assert refused(send(body), 400)["message"] == "يُرجى تصحيح الأخطاء أدناه."


def test_a_path_that_is_not_there_is_answered_with_404() -> None:
    refused(Client().get("/api/auth/nowhere/"), 404)
    refused(Client().post("/api/nowhere"), 404)
    assert Client().get("/nowhere/").headers["Content-Type"].startswith("text/html")


def test_a_bug_is_answered_with_500_and_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "log_in", lambda *_: 1 / 0)
    caller = Client(raise_request_exception=False)

    answer = caller.post(LOGIN, {"email": "a@example.com", "password": "x"}, JSON, headers={"Accept-Language": "ar"})

    assert refused(answer, 500)["message"] == "حدث خطأ من جانبنا. يُرجى المحاولة لاحقًا."
    assert b"Zero" not in answer.content


def test_a_database_that_does_not_answer_is_503_and_worth_another_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(*_: object) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(services, "log_in", lost)
    answer = send('{"email": "a@example.com", "password": "x"}')

    refused(answer, 503)
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    ("exception", "status"), [(SuspiciousOperation(), 400), (RequestDataTooBig(), 413)], ids=["bad", "large"]
)
def test_django_itself_answers_in_the_same_shape(rf: Any, exception: Exception, status: int) -> None:
    refused(errors.bad_request(rf.get("/api/x"), exception), status)
    refused(errors.forbidden(rf.get("/api/x"), exception), 403)
    assert not errors.bad_request(rf.get("/admin/"), exception).headers["Content-Type"].startswith(JSON)
    assert not errors.forbidden(rf.get("/admin/"), exception).headers["Content-Type"].startswith(JSON)
    assert not errors.server_error(rf.get("/admin/")).headers["Content-Type"].startswith(JSON)


@pytest.mark.parametrize("accept", ["", "*", "json", "a/b;;=", "*/*;q=x", "," * 9000])
def test_an_odd_accept_header_is_no_server_error(accept: str) -> None:
    assert send("{}", Accept=accept).status_code in (400, 406)


def test_answers_are_not_to_be_stored() -> None:
    make_user()
    answer = Client().get("/api/auth/me/", headers={"Authorization": f"Token {token_of()}"})

    assert "no-store" in answer.headers["Cache-Control"]
