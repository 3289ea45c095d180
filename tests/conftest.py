"""Fixtures used in more than one folder."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from outbox import kinds
from outbox.kinds import Kind
from tests.acceptance.options import pytest_addoption  # noqa: F401  (--faults; pytest asks only its first conftests)
from tests.smtp import SmtpServer

_WAITING = ("tests/acceptance/", "tests/services/")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process takes those that start servers, wait and kill, one after the other; the second takes all others."""
    for item in items:
        if item.nodeid.startswith(_WAITING):
            item.add_marker(pytest.mark.xdist_group("waiting"))


@pytest.fixture
def outbox_settings(settings: Settings) -> Callable[..., None]:
    """Change settings of the outbox for one test: `outbox_settings(LEASE=timedelta(seconds=2))`."""

    def change(**changes: Any) -> None:
        settings.OUTBOX = {**settings.OUTBOX, **changes}

    return change


@pytest.fixture
def smtp(settings: Settings) -> Iterator[SmtpServer]:
    """A provider of this test's own, which the settings name."""
    with SmtpServer() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.host, server.port
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        yield server


@pytest.fixture
def change_kind(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Kind]:
    """Declare a kind differently for one test: `change_kind("welcome", bind=…)`."""

    def change(name: str, **changes: Any) -> Kind:
        kind = replace(kinds.get(name), **changes)
        monkeypatch.setitem(kinds._registry, name, kind)
        return kind

    return change
