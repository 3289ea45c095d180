"""Django's other e-mail backends as transports."""

import smtplib
import socket

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from outbox import messages, transport
from outbox.outcomes import Deferred, Delivered, GivenBack, Refused, Unavailable, Unknown
from outbox.rendering import Rendered
from outbox.transport import BackendTransport, SmtpTransport
from tests.contracts import a_mail
from tests.services.transport_steps import (
    ANSWERED,
    CONNECT,
    DATA,
    TO,
    assert_ended,
    no,
    yes,
)


@pytest.fixture(autouse=True)
def _sender(settings):
    settings.DEFAULT_FROM_EMAIL = "Accounts <noreply@example.com>"


class Raising(BaseEmailBackend):
    """A backend that raises what the test put here."""

    error: Exception

    def send_messages(self, email_messages):
        raise self.error


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        ("django.core.mail.backends.smtp.EmailBackend", SmtpTransport),
        ("outbox.backends.EmailBackend", SmtpTransport),
        ("django.core.mail.backends.locmem.EmailBackend", BackendTransport),
        ("tests.services.test_transport_backends.Raising", BackendTransport),
    ],
)
def test_the_backend_that_the_settings_name_decides_the_transport(settings, backend, kind):
    settings.EMAIL_BACKEND = backend

    assert type(transport.build()) is kind


@pytest.mark.parametrize("backend", ["", "smtp", "core.no_such.EmailBackend", "django.core.mail.NoSuchBackend"])
def test_a_backend_that_cannot_be_imported_stops_the_start(settings, backend):
    settings.EMAIL_BACKEND = backend

    with pytest.raises(ImproperlyConfigured, match=r"^EMAIL_BACKEND: .*use a class such as"):
        transport.verify()


def test_smtp_needs_a_host(settings):
    settings.EMAIL_HOST = ""

    transport.verify()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with pytest.raises(ImproperlyConfigured, match=r"^EMAIL_HOST is empty"):
        transport.verify()


def test_a_backend_gets_the_parts_of_the_message(mailoutbox):
    rendered = Rendered(subject="رمزك", text="نص\n", html="<p>نص</p>\n", language="ar")
    mail = messages.build(rendered, recipient=TO, message_id="<abc@example.com>")

    ended = BackendTransport().deliver(mail, yes)

    assert_ended(ended, Delivered, ANSWERED)
    [message] = mailoutbox
    assert (message.subject, message.to, message.from_email) == ("رمزك", [TO], "Accounts <noreply@example.com>")
    assert message.body.strip() == "نص"
    assert [(part.content.strip(), part.mimetype) for part in message.alternatives] == [("<p>نص</p>", "text/html")]
    assert message.message()["Message-ID"] == "<abc@example.com>"
    assert message.message()["Auto-Submitted"] == "auto-generated"


def test_a_backend_gets_the_attachments_and_headers_of_another_apps_message(mailoutbox):
    made = EmailMessage("Report", "hi", "app@example.org", [TO], reply_to=["desk@example.org"], headers={"X-Tag": "a"})
    made.attach("data.bin", b"\x00\x01", "application/octet-stream")
    mail = messages.finished(messages.freeze(made)[1], recipient=TO, message_id="<abc@example.com>")

    BackendTransport().deliver(mail, yes)

    [message] = mailoutbox
    assert message.attachments == [("data.bin", b"\x00\x01", "application/octet-stream")]
    assert message.message()["Reply-To"] == "desk@example.org"
    assert message.message()["X-Tag"] == "a"
    assert message.message().get_all("Subject") == ["Report"]


def test_a_backend_gets_nothing_without_a_permit(mailoutbox):
    assert type(BackendTransport().deliver(a_mail(), no)) is GivenBack
    assert mailoutbox == []


@pytest.mark.parametrize(
    ("error", "outcome", "phase"),
    [
        (ConnectionRefusedError(111, "Connection refused"), Unavailable, CONNECT),
        (socket.gaierror(-2, "Name or service not known"), Unavailable, CONNECT),
        (smtplib.SMTPConnectError(421, b"closing"), Unavailable, CONNECT),
        (smtplib.SMTPAuthenticationError(535, b"5.7.8 wrong"), Unavailable, CONNECT),
        (smtplib.SMTPSenderRefused(550, b"5.7.1 not verified", "noreply@example.com"), Unavailable, DATA),
        (smtplib.SMTPRecipientsRefused({TO: (550, b"5.1.1 no")}), Refused, DATA),
        (smtplib.SMTPDataError(451, b"4.3.0 later"), Deferred, DATA),
        (TimeoutError("timed out"), Unknown, DATA),
        (ConnectionResetError(104, "Connection reset by peer"), Unknown, DATA),
        (RuntimeError("the API says no"), Refused, DATA),
    ],
)
def test_what_a_backend_raises_becomes_an_outcome(settings, monkeypatch, error, outcome, phase):
    settings.EMAIL_BACKEND = "tests.services.test_transport_backends.Raising"
    monkeypatch.setattr(Raising, "error", error, raising=False)

    ended = BackendTransport().deliver(a_mail(), yes)

    assert type(ended) is outcome
    assert ended.phase is phase


def test_a_backend_has_nothing_to_probe_and_nothing_to_close():
    backend = BackendTransport()

    assert backend.probe() is None
    backend.close()
