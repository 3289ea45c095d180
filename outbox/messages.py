"""An intent in; the finished message, with a Message-ID that is the same on each attempt, out."""

from binascii import b2a_base64
from dataclasses import dataclass
from email import message_from_bytes
from email.parser import BytesHeaderParser
from email.policy import SMTP
from email.utils import formatdate, parseaddr

from django.conf import settings
from django.core.mail import EmailMessage

from outbox import headers, sandbox
from outbox.brand import reply_to
from outbox.rendering import Rendered

_LONGEST_LINE = 998  # RFC 5322 section 2.1.1, without its CRLF
_BASE64_LINE = 76  # letters, the most RFC 2045 section 6.8 allows
_BOUNDARY = "=_"  # begins every boundary, so no part in 7 bits may hold it
_CRLF = b"\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A finished message and its envelope; `data` has CRLF line ends and is not dot-stuffed."""

    sender: str
    recipient: str
    message_id: str
    data: bytes


def build(rendered: Rendered, *, recipient: str, message_id: str, meant_for: str = "") -> Mail:
    """Put the message together: multipart/alternative with the text first (RFC 2046 section 5.1.4).

    `meant_for` is whom the sandbox took it away from; the mail then says so.
    """
    text, html = rendered.text, rendered.html
    if meant_for:
        text, html = sandbox.marked_text(text, meant_for), sandbox.marked_html(html, meant_for)
    # Its own id: unique, and the same on each attempt.
    boundary = f"{_BOUNDARY}{message_id.strip('<>').partition('@')[0]}"
    fields = [
        ("From", headers.mailbox("From", settings.DEFAULT_FROM_EMAIL)),
        ("Reply-To", reply_to()),
        ("To", recipient),
        ("Subject", headers.unstructured("Subject", rendered.subject)),
        ("Date", formatdate()),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-generated"),  # RFC 3834: nobody's holiday notice answers it
        ("Content-Language", rendered.language),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative;\r\n boundary="{boundary}"'),
    ]
    head = "".join(f"{key}: {value}\r\n" for key, value in fields if value).encode("ascii")
    edge = f"--{boundary}".encode()
    parts = (_part("plain", text), _part("html", html))
    data = head + _CRLF + b"".join(edge + _CRLF + part for part in parts) + edge + b"--" + _CRLF
    sender = headers.split(settings.DEFAULT_FROM_EMAIL)[1]
    return Mail(sender=sender, recipient=recipient, message_id=message_id, data=data)


def freeze(message: EmailMessage) -> tuple[str, bytes]:
    """Another app's message as octets without its Message-ID, and that Message-ID ("" when it set none).

    Raises:
        django.core.mail.BadHeaderError: a header holds a line break.
    """
    own = next((value for name, value in message.extra_headers.items() if name.lower() == "message-id"), "")
    made = message.message()
    del made["Message-ID"]
    del made["Bcc"]
    return str(own), made.as_bytes(linesep="\r\n")  # type: ignore[call-arg]  # SafeMIME takes it; the stubs do not


def finished(data: bytes, *, recipient: str, message_id: str, meant_for: str = "") -> Mail:
    """A frozen message with the Message-ID of its intent; its own From header names the envelope's sender.

    `meant_for` is whom the sandbox took it away from; the mail then says so.
    """
    if meant_for:
        data = _marked(data, meant_for)
    header = BytesHeaderParser().parsebytes(data).get("From", "")
    sender = parseaddr(str(header))[1] or parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
    whole = f"Message-ID: {message_id}\r\n".encode() + data
    return Mail(sender=sender, recipient=recipient, message_id=message_id, data=whole)


def _marked(data: bytes, meant_for: str) -> bytes:
    """The message with the sandbox's banner in its text and its page, as far as it has them."""
    message = message_from_bytes(data, policy=SMTP)
    for subtype, marked in (("plain", sandbox.marked_text), ("html", sandbox.marked_html)):
        part = message.get_body((subtype,))
        if part is not None:
            part.set_content(marked(part.get_content(), meant_for), subtype=subtype)
    return message.as_bytes()


def _part(subtype: str, text: str) -> bytes:
    lines = text.splitlines()
    plain = text.isascii() and "\0" not in text and f"--{_BOUNDARY}" not in text
    encoding = "7bit" if plain and max(map(len, lines), default=0) <= _LONGEST_LINE else "base64"
    body = "\r\n".join([*lines, ""])
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + (body.encode() if encoding == "7bit" else _base64(body)) + _CRLF


def _base64(body: str) -> bytes:
    letters = b2a_base64(body.encode(), newline=False)
    return _CRLF.join([letters[start : start + _BASE64_LINE] for start in range(0, len(letters), _BASE64_LINE)])
