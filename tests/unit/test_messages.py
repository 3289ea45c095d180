"""The finished message: what a strict parser reads back, and what stands on the wire."""

import email
import email.policy
import re
from email.message import EmailMessage as Parsed
from email.utils import parseaddr

import pytest
from django.core.mail import BadHeaderError, EmailMessage, EmailMultiAlternatives
from hypothesis import example, given
from hypothesis import strategies as st

from outbox import messages
from outbox.rendering import Rendered

TO = "layla@example.com"
MESSAGE_ID = "<0123456789abcdef0123456789abcdef@example.com>"
ARABIC = "رمز إعادة تعيين كلمة المرور الخاصة بك هو في هذه الرسالة، وهو صالح لمدة ساعة واحدة فقط"


@pytest.fixture(autouse=True)
def _sender(settings):
    settings.DEFAULT_FROM_EMAIL = "Accounts <noreply@example.com>"


def build(*, subject="Welcome", text="Hello\n", html="<p>Hello</p>\n", language="en"):
    rendered = Rendered(subject=subject, text=text, html=html, language=language)
    return messages.build(rendered, recipient=TO, message_id=MESSAGE_ID)


def parsed(data: bytes) -> Parsed:
    """Read as strictly as Python can: what is no proper message raises."""
    return email.message_from_bytes(data, policy=email.policy.strict)


def body_of(message: Parsed, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


def bodies(data):
    return [body_of(parsed(data), kind) for kind in ("plain", "html")]


def encodings(data):
    return [part["Content-Transfer-Encoding"] for part in parsed(data).iter_parts()]


def is_fit_for_the_wire(data: bytes) -> bool:
    """CRLF line ends only, no line over 998, the last line ended, nothing but ASCII (RFC 5321, 5322)."""
    lines = data.split(b"\r\n")
    return (
        lines[-1] == b""
        and all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in lines)
        and data.isascii()
    )


# The envelope and the headers


def test_the_envelope_holds_bare_addresses():
    mail = build()

    assert (mail.sender, mail.recipient, mail.message_id) == ("noreply@example.com", TO, MESSAGE_ID)


def test_the_headers_say_what_a_receiver_wants_to_know():
    message = parsed(build(language="ar").data)

    assert message["From"] == "Accounts <noreply@example.com>"
    assert message["To"] == TO
    assert message["Subject"] == "Welcome"
    assert message["Message-ID"] == MESSAGE_ID
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "ar"
    assert message["MIME-Version"] == "1.0"
    assert message["Date"].datetime is not None
    assert message.get_content_type() == "multipart/alternative"


def test_no_header_stands_twice():
    names = [name.lower() for name in parsed(build().data)]

    assert len(set(names)) == len(names)


def test_the_text_comes_before_the_html_for_the_last_is_what_is_shown():
    kinds = [part.get_content_type() for part in parsed(build().data).iter_parts()]

    assert kinds == ["text/plain", "text/html"]


def test_every_attempt_builds_the_same_message_but_for_its_date():
    first, second = (re.sub(rb"Date: [^\r]*", b"", build(subject=ARABIC).data) for _ in range(2))

    assert first == second


def test_a_sender_in_arabic_is_readable_again(settings):
    settings.DEFAULT_FROM_EMAIL = "حسابات <noreply@example.com>"

    mail = build()

    assert mail.sender == "noreply@example.com"
    assert parsed(mail.data)["From"].addresses[0].display_name == "حسابات"
    assert is_fit_for_the_wire(mail.data)


def test_a_sender_without_a_name_is_its_address(settings):
    settings.DEFAULT_FROM_EMAIL = "noreply@example.com"

    assert parsed(build().data)["From"] == "noreply@example.com"


@pytest.mark.parametrize(
    "subject",
    [
        "Welcome",
        ARABIC,
        "Willkommen, Jörg 🎉",
        "Welcome to a place with a rather long name, so long that this line must be folded at least once or twice",
        "x" * 2000,
        f"{'x' * 70} {'y' * 990} z",
        "=?utf-8?q?not_encoded?=",
        'quotes " and <angles>, semicolons; and a colon: here',
    ],
)
def test_a_subject_is_read_back_as_it_was(subject):
    data = build(subject=subject).data

    assert parsed(data)["Subject"] == subject
    assert is_fit_for_the_wire(data)


@given(st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" ")))
@example("a" * 990 + " b")
def test_any_subject_of_one_line_is_read_back_as_it_was(subject):
    line = " ".join(subject.split()) or "x"

    data = build(subject=line).data

    assert parsed(data)["Subject"] == line
    assert is_fit_for_the_wire(data)


# The bodies


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hello\n", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "base64"),
        (f"short\n{'x' * 999}\nshort", "base64"),
        ("café", "base64"),
        (ARABIC, "base64"),
        ("🎉", "base64"),
        ("nul \x00 here", "base64"),
    ],
)
def test_a_body_is_seven_bit_where_that_does_and_base64_where_it_must(text, encoding):
    mail = build(text=text, html="<p>Hello</p>")

    assert encodings(mail.data) == [encoding, "7bit"]
    assert is_fit_for_the_wire(mail.data)


@pytest.mark.parametrize(
    "text",
    [
        "one\ntwo\n",
        "one\r\ntwo",
        "one\rtwo",  # a line end of its own, not a stray letter
        "no line end",
        "\n\nblank lines\n\n\n around",
        ".\n.dots\n..\n",
        "From here to there",
        "--=_0123456789abcdef0123456789abcdef",
        f"{ARABIC}\n{ARABIC}",
        "é" * 1000,
        "",
    ],
)
def test_both_bodies_are_read_back_line_by_line(text):
    data = build(text=text, html=text).data

    assert [body.splitlines() for body in bodies(data)] == [text.splitlines()] * 2
    assert is_fit_for_the_wire(data)


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_any_bodies_are_read_back_line_by_line(text, html):
    data = build(text=text, html=html).data

    assert is_fit_for_the_wire(data)
    for body, original in zip(bodies(data), (text, html), strict=True):
        assert body == "".join(f"{line}\n" for line in original.splitlines())


def test_base64_lines_have_76_letters_at_most():
    lines = build(text=ARABIC * 20).data.split(b"\r\n")

    assert max(len(line) for line in lines if re.fullmatch(rb"[A-Za-z0-9+/=]+", line)) == 76


# Messages that other apps hand over finished


def django_message(**changes):
    return EmailMessage(**{"subject": "Report", "body": "hi", "from_email": "app@example.org", "to": [TO], **changes})


def finished(message):
    own_id, data = messages.freeze(message)
    return messages.finished(data, recipient=TO, message_id=own_id or MESSAGE_ID)


def test_a_frozen_message_has_no_message_id_of_its_own_until_it_is_finished():
    own_id, data = messages.freeze(django_message())

    assert own_id == ""
    assert b"Message-ID" not in data


def test_a_finished_message_has_the_message_id_of_its_intent_once():
    message = parsed(finished(django_message()).data)

    assert message.get_all("Message-ID") == [MESSAGE_ID]
    assert message["Subject"] == "Report"
    assert message.get_content() == "hi"


def test_a_message_id_that_the_other_app_set_is_kept():
    own = "<own@example.org>"

    mail = finished(django_message(headers={"message-id": own}))

    assert mail.message_id == own
    assert parsed(mail.data).get_all("Message-ID") == [own]


@pytest.mark.parametrize(
    ("from_email", "sender"),
    [
        ("app@example.org", "app@example.org"),
        ("The App <app@example.org>", "app@example.org"),
        ('"App, Inc." <app@example.org>', "app@example.org"),
        ("حسابات الشركة للخدمات البريدية الموحدة في الشرق الأوسط <app@example.org>", "app@example.org"),
        (None, "noreply@example.com"),  # the default
    ],
)
def test_the_envelope_has_the_sender_that_the_message_names(from_email, sender):
    assert finished(django_message(from_email=from_email)).sender == sender


def test_blind_copies_are_told_to_nobody():
    _, data = messages.freeze(django_message(bcc=["secret@example.org"], headers={"Bcc": "secret@example.org"}))

    assert b"secret" not in data


def test_a_header_with_a_line_break_is_refused():
    with pytest.raises(BadHeaderError):
        messages.freeze(django_message(subject="one\ntwo"))


def test_parts_and_attachments_survive():
    message = EmailMultiAlternatives("Report", f"{ARABIC}\n.dot\n", "app@example.org", [TO])
    message.attach_alternative(f"<p>{ARABIC}</p>", "text/html")
    message.attach("data.bin", bytes(range(256)), "application/octet-stream")

    read = parsed(finished(message).data)

    assert body_of(read, "plain") == f"{ARABIC}\n.dot\n"
    assert ARABIC in body_of(read, "html")
    [attachment] = read.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("data.bin", bytes(range(256)))


@pytest.mark.parametrize("body", ["hi", "one\ntwo\r\nthree\rfour", "x" * 5000, "é" * 5000, ARABIC])
def test_a_finished_message_has_proper_line_ends_and_no_long_line(body):
    data = finished(django_message(body=body)).data
    lines = data.split(b"\r\n")

    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in lines)
    assert parseaddr(parsed(data)["From"])[1] == "app@example.org"
