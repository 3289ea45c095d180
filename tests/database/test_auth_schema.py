"""The OpenAPI schema tells the truth."""

from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its stubs are a package of their own

from tests.database.auth_steps import (
    EMAIL,
    PASSWORD,
    confirm,
    log_in,
    make_user,
    post,
    register,
    requested,
    send,
    token_of,
)

pytestmark = pytest.mark.django_db
PATHS = {
    "/api/auth/register/": {"post": 201},
    "/api/auth/login/": {"post": 200},
    "/api/auth/logout/": {"post": 200},
    "/api/auth/logout/all/": {"post": 200},
    "/api/auth/me/": {"get": 200, "patch": 200},
    "/api/auth/password/change/": {"post": 200},
    "/api/auth/password/reset/": {"post": 202},
    "/api/auth/password/reset/verify/": {"post": 200},
    "/api/auth/password/reset/confirm/": {"post": 200},
}
OPERATIONS = [(path, method, good) for path, methods in PATHS.items() for method, good in methods.items()]


@pytest.fixture(scope="module")
def schema() -> Any:
    generator: Any = SchemaGenerator()
    return generator.get_schema(request=None, public=True)


def resolved(schema: Any, part: Any) -> dict[str, Any]:
    return {**part, "components": schema["components"]}


def must_fit(schema: Any, answer: Any, path: str, method: str) -> None:
    """The answer is one that the schema tells of."""
    described = schema["paths"][f"/api/auth/{path}"][method]["responses"][str(answer.status_code)]
    shape = described["content"]["application/json"]["schema"]
    Draft202012Validator(resolved(schema, shape)).validate(answer.json())


def test_the_schema_is_valid_and_made_without_a_warning(tmp_path: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))


def test_every_endpoint_is_described(schema: Any) -> None:
    ours = {path: set(methods) for path, methods in schema["paths"].items() if path.startswith("/api/auth/")}

    assert ours == {path: set(methods) for path, methods in PATHS.items()}


@pytest.mark.parametrize(("path", "method", "good"), OPERATIONS)
def test_every_answer_is_described_with_an_example_that_fits(schema: Any, path: str, method: str, good: int) -> None:
    responses = schema["paths"][path][method]["responses"]

    assert str(good) in responses
    assert len(responses) >= 4
    for response in responses.values():
        content = response["content"]["application/json"]
        assert content["examples"]
        for example in content["examples"].values():
            Draft202012Validator(resolved(schema, content["schema"])).validate(example["value"])


@pytest.mark.parametrize(("path", "method"), [("register/", "post"), ("login/", "post"), ("me/", "patch")])
def test_the_example_of_a_request_fits(schema: Any, path: str, method: str) -> None:
    content = schema["paths"][f"/api/auth/{path}"][method]["requestBody"]["content"]["application/json"]

    for example in content["examples"].values():
        Draft202012Validator(resolved(schema, content["schema"])).validate(example["value"])


def test_the_answers_of_a_whole_visit_fit(schema: Any) -> None:
    must_fit(schema, register(), "register/", "post")
    must_fit(schema, register(email="nonsense"), "register/", "post")
    must_fit(schema, log_in(), "login/", "post")
    must_fit(schema, log_in(password="wrong"), "login/", "post")
    token = token_of()
    must_fit(schema, send("get", "me/", token=token), "me/", "get")
    must_fit(schema, send("get", "me/"), "me/", "get")
    must_fit(schema, send("patch", "me/", {"language": "ar"}, token), "me/", "patch")
    must_fit(schema, post("logout/", token=token), "logout/", "post")
    code = requested()
    must_fit(schema, post("password/reset/", email=EMAIL), "password/reset/", "post")
    must_fit(schema, confirm("000000" if code != "000000" else "000001"), "password/reset/confirm/", "post")
    must_fit(schema, confirm(code), "password/reset/confirm/", "post")


def test_private_endpoints_want_a_token_and_public_ones_do_not(schema: Any) -> None:
    public = {path for path, method, _ in OPERATIONS if "security" not in schema["paths"][path][method]}

    assert public == {path for path in PATHS if "reset" in path or "register" in path or "login" in path}
    assert schema["components"]["securitySchemes"]["knoxApiToken"]["in"] == "header"


def test_where_a_limit_is_the_schema_says_so(schema: Any) -> None:
    limited = {path for path, method, _ in OPERATIONS if "429" in schema["paths"][path][method]["responses"]}

    assert limited == {path for path in PATHS if "password" in path or "register" in path or "login" in path}


def test_the_schema_is_served_to_anybody() -> None:
    answer = Client().get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})

    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")


def test_an_account_holds_nothing_that_is_not_described(schema: Any) -> None:
    make_user()
    described = schema["components"]["schemas"]["Account"]["properties"]

    assert set(log_in(password=PASSWORD).json()["user"]) == set(described)
