"""Fixtures of the tests that speak SMTP."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import transaction
from pytest_django import Settings

from outbox import intents
from outbox.intents import Request
from outbox.models import Intent
from outbox.transport import SmtpTransport
from tests.services.raw_provider import Connected, Listener
from tests.services.transport_steps import SHORT
from tests.smtp import AUTH, EXTENSIONS, SmtpServer


@pytest.fixture
def enqueue() -> Callable[..., list[Intent]]:
    """Enqueue so many welcome mails: `enqueue(3, "late")` to late0@example.com and so on."""

    def write(count: int, prefix: str = "p") -> list[Intent]:
        wanted = [Request(to=f"{prefix}{n}@example.com", context={"name": "Layla"}) for n in range(count)]
        with transaction.atomic():
            return intents.enqueue_many("welcome", wanted)

    return write


@pytest.fixture
def smtp_transport(settings: Settings) -> Iterator[SmtpTransport]:
    """A transport that mails from noreply@example.com, closed after the test."""
    settings.DEFAULT_FROM_EMAIL = "Accounts <noreply@example.com>"
    settings.EMAIL_TIMEOUT = 5.0
    made = SmtpTransport()
    yield made
    made.close()


@pytest.fixture
def short_patience(smtp_transport: SmtpTransport, settings: Settings, outbox_settings: Callable[..., None]) -> None:
    """Commands and the answer to the final dot may take SHORT seconds each."""
    settings.EMAIL_TIMEOUT = SHORT
    outbox_settings(ANSWER_TIMEOUT=timedelta(seconds=SHORT), DEADLINE=timedelta(seconds=20))


@pytest.fixture
def log_in(settings: Settings) -> Iterator[SmtpServer]:
    """Set a login; give the server that checks it."""
    with SmtpServer(extensions=(*EXTENSIONS, AUTH), credentials=("user", "password")) as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.host, server.port
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "user", "password"
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        yield server


@pytest.fixture
def raw(settings: Settings, smtp_transport: SmtpTransport) -> Iterator[Callable[[Connected], None]]:
    """Let the settings name a listener that does this with each connection."""
    listeners: list[Listener] = []

    def listen(talk: Connected) -> None:
        listener = Listener(talk)
        listener.__enter__()
        listeners.append(listener)
        settings.EMAIL_HOST, settings.EMAIL_PORT = listener.host, listener.port
        settings.EMAIL_HOST_USER = ""
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False

    yield listen
    smtp_transport.close()
    for listener in listeners:
        listener.__exit__(None, None, None)
