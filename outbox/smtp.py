"""smtplib's client with a clock: no answer takes longer than it may, however slowly the other side says it."""

import io
import re
import smtplib
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.mail.utils import DNS_NAME

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_YES, _NOT_NOW, _NEVER = 2, 4, 5  # the first digit of a code
_START_MAIL = 354
_LONGEST_REPLY = 64 * 1024  # octets over all its lines; smtplib itself bounds one line only
_BARE = re.compile(
    r"[^\s<>]+"
)  # an address as it stands between the brackets; smtplib's parser takes as long as a send
_LEAST_S = 0.001  # zero would mean: do not wait at all


def connect(deadline: float) -> "Client":
    """A connection to the provider that the settings name: greeted, and under TLS where they want it.

    Raises:
        smtplib.SMTPException, OSError: there is none, or the provider does not want us now.
        ValueError: the settings hold what no connection can be made to.
    """
    client = _client(deadline)
    try:
        _say_hello(client)
        if settings.EMAIL_USE_TLS:
            client.starttls(context=ssl.create_default_context())
            _say_hello(client)
    except Exception:
        client.close()
        raise
    return client


def _client(deadline: float) -> "Client":
    options = {"host": settings.EMAIL_HOST, "port": settings.EMAIL_PORT, "local_hostname": DNS_NAME.get_fqdn()}
    if not settings.EMAIL_USE_SSL:
        return Client(patience=settings.EMAIL_TIMEOUT, deadline=deadline, **options)
    context = ssl.create_default_context()
    return ClientOverTLS(patience=settings.EMAIL_TIMEOUT, deadline=deadline, context=context, **options)


def _say_hello(client: "Client") -> None:
    code, text = client.ehlo()
    if code // 100 == _NEVER:  # an old server; smtplib would ask one that said 421 once more
        code, text = client.helo()
    if code // 100 != _YES:
        raise smtplib.SMTPHeloError(code, text)


def accepts(code: int, text: bytes) -> bool:
    """Yes or no: the first digit decides (RFC 5321 section 4.2.1).

    Raises:
        smtplib.SMTPResponseException: neither of the two, so the sides are out of step.
    """
    if code // 100 not in {_YES, _NOT_NOW, _NEVER}:
        raise smtplib.SMTPResponseException(code, text)
    return code // 100 == _YES


class Client(smtplib.SMTP):
    """One connection. `patience` is what each answer may take in all, `deadline` (monotonic) when all must be over.

    smtplib's own timeout begins anew with each packet, so a server that drips octets would hold it for ever.
    """

    def __init__(self, *, patience: float, deadline: float, **options: Any) -> None:
        """Connect, and hear the greeting; `options` are smtplib's."""
        self.patience = patience
        self.deadline = deadline
        super().__init__(timeout=self._allowance(), **options)

    def send(self, s: "ReadableBuffer | str") -> None:
        """As smtplib does, within the time."""
        if self.sock is not None:
            self.sock.settimeout(self._allowance())
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """As smtplib does, within the time."""
        if self.file is None:
            self.file = io.BufferedReader(_Reader(self._receive))
        self._ends, self._octets = time.monotonic() + self._allowance(), 0
        reply = super().getreply()
        if self.sock is not None:  # a TLS handshake, if that is what follows, has its own time
            self.sock.settimeout(max(_LEAST_S, min(self.patience, self.deadline - time.monotonic())))
        return reply

    def begin_message(self, sender: str, recipient: str, size: int) -> tuple[int, bytes]:
        """Say MAIL, RCPT and DATA in one packet (RFC 2920); the answer to DATA.

        Raises:
            smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused: no message is open then.
            smtplib.SMTPException, OSError: as `getreply`.
        """
        if not (_BARE.fullmatch(sender) and _BARE.fullmatch(recipient)):
            raise ValueError("an address has a space, a line break or a bracket")
        option = f" size={size}" if self.has_extn("size") else ""
        self.send(f"MAIL FROM:<{sender}>{option}\r\nRCPT TO:<{recipient}>\r\nDATA\r\n")
        said = self._three_replies()
        if not accepts(*said[0]):
            refusal: smtplib.SMTPException = smtplib.SMTPSenderRefused(*said[0], sender)
        elif not accepts(*said[1]):
            refusal = smtplib.SMTPRecipientsRefused({recipient: said[1]})
        else:
            return said[2]
        if said[2:] and said[2][0] == _START_MAIL:
            self._close_empty_message()
        raise refusal

    def _three_replies(self) -> list[tuple[int, bytes]]:
        """Fewer when the connection went away after a refusal: then that is what counts."""
        said: list[tuple[int, bytes]] = []
        try:
            while len(said) < 3:  # noqa: PLR2004  (to MAIL, RCPT and DATA)
                said.append(self.getreply())
        except (smtplib.SMTPException, OSError):
            if all(accepts(*one) for one in said):
                raise
            self.close()
        return said

    def _close_empty_message(self) -> None:
        """Some servers open a message though nobody is to get it: a single dot ends it (RFC 2920 section 3.1)."""
        try:
            self.send(b".\r\n")
            self.getreply()
        except (smtplib.SMTPException, OSError):
            self.close()

    def _allowance(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the dialogue took longer than it may")
        return min(self.patience, left)

    def _receive(self, buffer: "WriteableBuffer") -> int:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        assert self.sock is not None  # noqa: S101  (told to mypy; smtplib reads from an open connection only)
        self.sock.settimeout(left)
        read = self.sock.recv_into(buffer)
        self._octets += read
        if self._octets > _LONGEST_REPLY:
            raise OSError("the answer has no end")
        return read


class ClientOverTLS(Client, smtplib.SMTP_SSL):
    """The same over TLS from the first octet on."""


class _Reader(io.RawIOBase):
    """What smtplib reads its lines from; smtplib makes one of its own only where none is set."""

    def __init__(self, receive: "Callable[[WriteableBuffer], int]") -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        return self._receive(buffer)
