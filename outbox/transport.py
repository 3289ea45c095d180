"""Hands one message to the provider and returns an outcome; with its client in smtp.py the only network code."""

import smtplib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from email.utils import parseaddr
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives, get_connection
from django.utils.module_loading import import_string

from outbox import conf
from outbox.classify import classify, clean, reply
from outbox.messages import Mail
from outbox.outcomes import Deferred, Delivered, GivenBack, Outcome, Phase, Refused, Reply, Unavailable
from outbox.smtp import Client, accepts, connect

# Ours records intents; what carries them out then is SMTP.
_SPOKEN_HERE = ("django.core.mail.backends.smtp.EmailBackend", "outbox.backends.EmailBackend")
_OK = 250
_START_MAIL = 354
_CLOSING = 421
_IDLE_LIMIT_S = 30.0  # providers close idle connections after a minute or more; ours go first
_CRLF = b"\r\n"

Permit = Callable[[], bool]  # asked right before DATA, and again after a slow answer to it: may this mail still go out?
NOT_OURS = Reply(text="not handed over: the lease could not be renewed in time")


class Transport(Protocol):
    """What delivers mail; one per lane, used by one thread at a time."""

    def deliver(self, mail: Mail, permit: Permit) -> Outcome:
        """Try once to hand the mail over; never raises for what the network or the provider does."""

    def probe(self) -> Outcome | None:
        """Connect and log in without sending a mail; None when that works."""

    def close(self) -> None:
        """End the kept connection."""

    @property
    def is_connected(self) -> bool:
        """Whether the provider has let us in; asked by another thread."""


def build() -> Transport:
    """The transport that the settings name."""
    return SmtpTransport() if settings.EMAIL_BACKEND in _SPOKEN_HERE else BackendTransport()


def verify() -> None:
    """Refuse settings with which no mail could leave; called at the start.

    Raises:
        ImproperlyConfigured: naming the setting and what is accepted.
    """
    try:
        import_string(settings.EMAIL_BACKEND)
    except ImportError as error:
        raise ImproperlyConfigured(f"EMAIL_BACKEND: {error}; use a class such as {_SPOKEN_HERE[0]}.") from error
    if settings.EMAIL_BACKEND in _SPOKEN_HERE and not settings.EMAIL_HOST:
        raise ImproperlyConfigured("EMAIL_HOST is empty; name the provider's host, such as smtp.example.com.")


@dataclass(slots=True)
class _Dialogue:
    """How far the present dialogue got, and when it must be over."""

    deadline: float
    phase: Phase = Phase.CONNECT
    kept: bool = False
    permitted_at: float = 0.0


def _new_dialogue() -> _Dialogue:
    return _Dialogue(deadline=time.monotonic() + conf.outbox().deadline.total_seconds())


class SmtpTransport:
    """SMTP over a kept connection (RFC 5321), one message at a time."""

    def __init__(self) -> None:
        self._smtp: Client | None = None
        self._used_at = 0.0

    @property
    def is_connected(self) -> bool:
        """A connection is open; it may turn out to be dead."""
        return self._smtp is not None

    def deliver(self, mail: Mail, permit: Permit) -> Outcome:
        """Try once; a kept connection that turns out to be dead before DATA costs a second, fresh one."""
        outcome, was_kept = self._once(mail, permit)
        if was_kept and _is_stale(outcome):
            outcome, _ = self._once(mail, permit)
        return outcome

    def _once(self, mail: Mail, permit: Permit) -> tuple[Outcome, bool]:
        dialogue = _new_dialogue()
        try:
            outcome = self._talk(mail, permit, dialogue)
        except Exception as error:  # noqa: BLE001  (classify raises again what is not the network's)
            self.close()
            outcome = classify(error, phase=dialogue.phase)
        self._used_at = time.monotonic()
        return outcome, dialogue.kept

    def _talk(self, mail: Mail, permit: Permit, dialogue: _Dialogue) -> Outcome:
        smtp = self._connected(dialogue)
        dialogue.phase = Phase.ENVELOPE
        try:
            if smtp.has_extn("pipelining"):
                return self._talk_in_one_packet(smtp, mail, permit, dialogue)
            _envelope(smtp, mail)
        except (smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused) as error:
            self._reset(smtp)
            return classify(error, phase=dialogue.phase, default_sender=_is_default(mail.sender))
        if not permit():
            self._reset(smtp)
            return GivenBack(phase=Phase.ENVELOPE, reply=NOT_OURS)
        dialogue.permitted_at = time.monotonic()
        smtp.putcmd("data")
        return self._data(smtp, mail, smtp.getreply(), permit, dialogue)

    def _talk_in_one_packet(self, smtp: Client, mail: Mail, permit: Permit, dialogue: _Dialogue) -> Outcome:
        """Envelope and DATA take one round trip, so the permit comes before all three."""
        if not permit():
            return GivenBack(phase=Phase.ENVELOPE, reply=NOT_OURS)
        dialogue.permitted_at = time.monotonic()
        answer = smtp.begin_message(mail.sender, mail.recipient, len(mail.data))
        return self._data(smtp, mail, answer, permit, dialogue)

    def _data(
        self, smtp: Client, mail: Mail, answer: tuple[int, bytes], permit: Permit, dialogue: _Dialogue
    ) -> Outcome:
        code, text = answer
        if code != _START_MAIL:
            if accepts(code, text):
                raise smtplib.SMTPResponseException(code, text)  # it has not even got the mail: out of step
            return self._not_accepted(smtp, code, text, dialogue)
        if time.monotonic() - dialogue.permitted_at > conf.outbox().permit_lasts.total_seconds() and not permit():
            self.close()  # the only way out now; without its final dot nothing is accepted
            return GivenBack(phase=Phase.ENVELOPE, reply=NOT_OURS)
        return self._message(smtp, mail, dialogue)

    def _message(self, smtp: Client, mail: Mail, dialogue: _Dialogue) -> Outcome:
        dialogue.phase = Phase.DATA
        smtp.patience = conf.outbox().answer_timeout.total_seconds()
        smtp.send(_on_the_wire(mail.data))
        code, text = smtp.getreply()
        smtp.patience = settings.EMAIL_TIMEOUT
        accepted = accepts(code, text)
        dialogue.phase = Phase.ANSWERED
        if accepted:
            return Delivered(phase=dialogue.phase, reply=reply(code, text))
        return self._not_accepted(smtp, code, text, dialogue)

    def _not_accepted(self, smtp: Client, code: int, text: bytes, dialogue: _Dialogue) -> Outcome:
        self._reset(smtp)
        return classify(smtplib.SMTPDataError(code, text), phase=dialogue.phase)

    def _connected(self, dialogue: _Dialogue) -> Client:
        if self._smtp is not None and time.monotonic() - self._used_at > _IDLE_LIMIT_S:
            self.close()
        if self._smtp is not None:
            dialogue.kept = True
            self._smtp.deadline = dialogue.deadline
            return self._smtp
        self._smtp = connect(dialogue.deadline)
        dialogue.phase = Phase.AUTH
        if settings.EMAIL_HOST_USER:
            self._smtp.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
        return self._smtp

    def _reset(self, smtp: Client) -> None:
        """Keep the connection for the next mail if it is still good; what was said before stays the outcome."""
        try:
            code, _ = smtp.rset()
        except (smtplib.SMTPException, OSError):
            code = -1
        if code != _OK:
            self.close()

    def probe(self) -> Outcome | None:
        """Connect, EHLO, TLS, AUTH, NOOP on a connection of its own; None when all went well."""
        self.close()
        dialogue = _new_dialogue()
        try:
            code, text = self._connected(dialogue).noop()
            outcome: Outcome | None = (
                None if code == _OK else Unavailable(phase=dialogue.phase, reply=reply(code, text))
            )
        except Exception as error:  # noqa: BLE001  (classify raises again what is not the network's)
            outcome = classify(error, phase=dialogue.phase)
        finally:
            self.close()
        return outcome

    def close(self) -> None:
        """End the kept connection without waiting for the other side."""
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        try:
            if smtp.sock is not None:
                smtp.deadline = time.monotonic() + 1
                smtp.putcmd("quit")
        except (smtplib.SMTPException, OSError):
            pass
        finally:
            smtp.close()


def _envelope(smtp: Client, mail: Mail) -> None:
    options = [f"size={len(mail.data)}"] if smtp.has_extn("size") else []
    code, text = smtp.mail(mail.sender, options)
    if not accepts(code, text):
        raise smtplib.SMTPSenderRefused(code, text, mail.sender)
    code, text = smtp.rcpt(mail.recipient)
    if not accepts(code, text):
        raise smtplib.SMTPRecipientsRefused({mail.recipient: (code, text)})


def _on_the_wire(data: bytes) -> bytes:
    """The message dot-stuffed (RFC 5321 section 4.5.2), its last line ended, and the final dot."""
    ended = data if data.endswith(_CRLF) else data + _CRLF
    dot = b"." if ended.startswith(b".") else b""
    return dot + ended.replace(b"\n.", b"\n..") + b"." + _CRLF


def _is_default(sender: str) -> bool:
    return sender == parseaddr(settings.DEFAULT_FROM_EMAIL)[1]


def _is_stale(outcome: Outcome) -> bool:
    """The kept connection was closed under us before DATA: by silence or by 421."""
    gone = isinstance(outcome, Deferred) and outcome.phase is Phase.ENVELOPE
    return gone and outcome.reply.code in {None, _CLOSING}


# What a backend raises before it handed anything over.
_AWAY = (
    smtplib.SMTPConnectError,
    smtplib.SMTPHeloError,
    smtplib.SMTPAuthenticationError,
    ConnectionRefusedError,
    socket.gaierror,
)


class BackendTransport:
    """Any other Django e-mail backend (console, file, an HTTP API): it tells less, so less is known."""

    is_connected = False  # nobody knows

    def deliver(self, mail: Mail, permit: Permit) -> Outcome:
        """Hand the mail to the backend; an error that is not the network's is this mail's own."""
        if not permit():
            return GivenBack(phase=Phase.ENVELOPE, reply=NOT_OURS)
        try:
            get_connection(fail_silently=False).send_messages([_as_django(mail)])
        except _AWAY as error:
            return classify(error, phase=Phase.CONNECT)
        except (smtplib.SMTPException, OSError) as error:
            return classify(error, phase=Phase.DATA, default_sender=_is_default(mail.sender))
        except Exception as error:  # noqa: BLE001  (a backend's own exceptions have no common base)
            return Refused(phase=Phase.DATA, reply=Reply(text=clean(f"{type(error).__name__}: {error}")))
        return Delivered(phase=Phase.ANSWERED, reply=Reply(text="accepted by the backend"))

    def probe(self) -> Outcome | None:
        """A backend has no connection to try."""
        return None

    def close(self) -> None:
        """Nothing is kept."""


_MADE_BY_DJANGO = {"subject", "from", "to", "mime-version", "content-type", "content-transfer-encoding"}


def _as_django(mail: Mail) -> EmailMultiAlternatives:
    """The message in the form that Django's backends take apart."""
    parsed = message_from_bytes(mail.data, policy=default)
    text, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    message = EmailMultiAlternatives(
        str(parsed["Subject"] or ""), text.get_content() if text else "", str(parsed["From"]), [mail.recipient]
    )
    message.extra_headers |= {name: str(text) for name, text in parsed.items() if name.lower() not in _MADE_BY_DJANGO}
    if html:
        message.attach_alternative(html.get_content(), "text/html")
    for part in parsed.iter_attachments():
        message.attach(part.get_filename(), part.get_payload(decode=True), part.get_content_type())
    return message
