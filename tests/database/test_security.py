"""What every answer in production says to browsers, and what none of them gives away."""

import re
from importlib.metadata import distributions
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from pytest_django import Settings

from auth_api import services
from tests.database.auth_steps import EMAIL, PASSWORD

pytestmark = pytest.mark.django_db
NOTHING = "base-uri 'none'; default-src 'none'; form-action 'none'; frame-ancestors 'none'"
PAGES = (
    "/admin/login/",
    "/api/docs/",
    "/api/docs/?script=",
    "/api/schema/",
    "/api/auth/me/",
    "/healthz",
    "/nowhere",
    "/api/no",
)
TELLTALE = re.compile(r"Traceback|File \"|site-packages|Django/|gunicorn/|Python/", re.IGNORECASE)


def policy(answer: Any) -> dict[str, str]:
    """The answer's Content-Security-Policy by directive."""
    parts = (part.strip().partition(" ") for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("the-inner-secret")


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_forbids_framing_sniffing_and_telling_others_where_one_was(path: str) -> None:
    answer = Client().get(path)

    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert policy(answer)["frame-ancestors"] == "'none'"
    assert policy(answer)["default-src"] == "'none'"
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/api/auth/me/", "/api/schema/", "/healthz", "/nowhere"])
def test_what_is_no_page_may_load_nothing(path: str) -> None:
    directives = Client().get(path).headers["Content-Security-Policy"].split("; ")

    assert "; ".join(sorted(directives)) == NOTHING


def test_the_docs_page_runs_our_scripts_only() -> None:
    answer = Client().get("/api/docs/")

    assert policy(answer)["script-src"] == "'self'"
    assert not re.search(rb"<script(?![^>]*src=)", answer.content)
    assert b"//" not in b"".join(re.findall(rb'(?:src|href)="([^"]*)"', answer.content))


def test_the_admin_may_compile_scripts_but_runs_none_that_stands_in_the_page() -> None:
    assert policy(Client().get("/admin/login/"))["script-src"] == "'self' 'unsafe-eval'"


def test_another_origin_is_not_let_in() -> None:
    answer = Client().options(
        "/api/auth/login/", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )

    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/api/auth/login/", "/admin/login/"])
def test_a_bug_in_production_tells_nothing_of_itself(path: str, monkeypatch: pytest.MonkeyPatch, settings: Settings):
    settings.DEBUG = False
    monkeypatch.setattr(services, "log_in", broken)
    monkeypatch.setattr(get_user_model().objects.__class__, "get_by_natural_key", broken)
    visitor = Client(raise_request_exception=False)
    if path.startswith("/admin/"):
        answer = visitor.post(path, {"username": EMAIL, "password": PASSWORD})
    else:
        answer = visitor.post(path, {"email": EMAIL, "password": PASSWORD}, content_type="application/json")

    assert answer.status_code == 500
    assert b"inner-secret" not in answer.content
    assert not TELLTALE.search(answer.content.decode() + str(answer.headers))


@pytest.mark.parametrize("path", PAGES)
def test_no_answer_names_a_version_of_what_we_run(path: str) -> None:
    answer = Client().get(path)
    said = f"{answer.headers}{answer.content.decode()}"
    versions = {dist.name: dist.version for dist in distributions() if dist.version.count(".") >= 2}

    for name in ("Django", "djangorestframework", "gunicorn", "celery", "django-unfold", "psycopg", "django-csp"):
        assert name not in versions or versions[name] not in said, name
    assert not TELLTALE.search(said)
