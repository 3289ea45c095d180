"""Finished messages, read by parsers that are not ours: addresses, subjects and bodies come out as they went in."""

import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header

import fast_mail_parser
import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import example, given
from hypothesis import strategies as st

from auth_api import mails  # noqa: F401  (declares the kinds)
from outbox import brand, headers, kinds, messages, rendering

KINDS = ("account_exists", "password_changed", "reset_code", "welcome")
ID = "<0123456789abcdef0123456789abcdef@example.com>"
NAMES = [
    "Souk",
    "سوق دبي للإلكترونيات والهدايا والعطور الشرقية الفاخرة",
    "Souk 🛍️ دبي",
    "👩\u200d💻🎉" * 20,
    'The "Best" Souk',
    "Souk, Sons & Daughters; Dubai: @home",
    "Back\\slash \\",
    "=?utf-8?q?not_encoded?=",
    "Ünïcode, and “quotes”",
    "word " * 40 + "end",
]
every_name = pytest.mark.parametrize("name", NAMES)
every_mail = pytest.mark.parametrize("kind", KINDS)
every_language = pytest.mark.parametrize("language", ["en", "ar"])


def quoted(name, address):
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{address}>'


def built(kind="welcome", language="en", **context):
    rendered = rendering.render(kind, language, {**kinds.get(kind).sample, **context})
    return rendered, messages.build(rendered, recipient="layla@example.com", message_id=ID)


def strictly(data):
    """Parsed by Python's own parser, which raises at every defect, of the headers too."""
    parsed = message_from_bytes(data, policy=policy.strict)
    assert [header.defects for header in parsed.values() if header.defects] == []
    return parsed


def addresses(parsed, header):
    return [(squeezed(address.display_name), address.addr_spec) for address in parsed[header].addresses]


def decoded(parsed):
    """The octets of each leaf, but for the line ends at its edges, which belong to the boundary."""
    leaves = [part for part in parsed.walk() if not part.is_multipart()]
    return [part.get_payload(decode=True).strip(b"\r\n") for part in leaves]


def squeezed(text):
    """Without spaces: before 3.13.2, Python's parser adds one between two encoded words (its issue gh-128110)."""
    return text.replace(" ", "")


# --- Names and subjects ---------------------------------------------------------------------------------------
@every_name
def test_the_sender_s_name_comes_out_of_each_parser_as_it_was_set(name, settings):
    settings.DEFAULT_FROM_EMAIL = quoted(name, "noreply@souk.example")
    settings.EMAIL_REPLY_TO = quoted(name, "help@souk.example")

    mail = built()[1]

    strict, rust = strictly(mail.data), fast_mail_parser.parse_email(mail.data)
    assert mail.sender == "noreply@souk.example"
    assert addresses(strict, "From") == [(squeezed(name), "noreply@souk.example")]
    assert addresses(strict, "Reply-To") == [(squeezed(name), "help@souk.example")]
    assert rust.from_ is not None
    assert (rust.from_.display_name, rust.from_.address) == (name, "noreply@souk.example")
    assert [(each.display_name, each.address) for each in rust.reply_to] == [(name, "help@souk.example")]


@every_name
@every_language
def test_a_name_in_the_subject_comes_out_of_each_parser_as_it_was_rendered(name, language, settings):
    settings.EMAIL_BRAND = {**settings.EMAIL_BRAND, "name": name}

    rendered, mail = built(language=language)

    legacy = message_from_bytes(mail.data)
    assert name in rendered.subject
    assert strictly(mail.data)["Subject"] == rendered.subject
    assert fast_mail_parser.parse_email(mail.data).subject == rendered.subject
    assert str(make_header(decode_header(re.sub(r"\r?\n", "", legacy["Subject"])))) == rendered.subject


@pytest.mark.parametrize(
    "between", ["\r\n", "\n", "\r", "\x00", "\x0b", "\x85", "\u2028", "\r\nBcc: x@example.com\r\n"]
)
def test_a_line_break_in_a_name_begins_no_header(between, settings):
    settings.EMAIL_BRAND = {**settings.EMAIL_BRAND, "name": f"Souk{between}Dubai"}
    settings.DEFAULT_FROM_EMAIL = quoted(f"Souk{between}Dubai", "noreply@souk.example")

    mail = built(name=f"Layla{between}Haddad")[1]

    parsed = strictly(mail.data)
    assert parsed["Bcc"] is None
    assert re.search(r"Souk.*Dubai", parsed["Subject"])
    assert addresses(parsed, "From")[0][1] == "noreply@souk.example"


@given(value=st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")) | st.just(" "), max_size=200))
@example("=?utf-8?b?2YU=?=")
@example("a" * 300)
@example("م" * 300)
def test_any_line_of_text_survives_as_a_header(value):
    line = " ".join(value.split())
    data = f"Subject: {headers.unstructured('Subject', value)}\r\n\r\n".encode("ascii")

    assert fast_mail_parser.parse_email(data).subject == line
    assert str(make_header(decode_header(re.sub(r"\r\n", "", message_from_bytes(data)["Subject"])))) == line


# --- The rest of the head -------------------------------------------------------------------------------------
def test_the_head_says_what_a_transactional_mail_must_say(settings):
    settings.DEFAULT_FROM_EMAIL = "Souk <noreply@souk.example>"
    settings.EMAIL_REPLY_TO = "help@souk.example"

    parsed = strictly(built("reset_code", "ar")[1].data)

    told = {name: str(parsed[name]) for name in set(parsed.keys()) - {"Date", "Subject"}}
    assert told == {
        "From": "Souk <noreply@souk.example>",
        "Reply-To": "help@souk.example",
        "To": "layla@example.com",
        "Message-ID": ID,
        "Auto-Submitted": "auto-generated",
        "Content-Language": "ar",
        "MIME-Version": "1.0",
        "Content-Type": 'multipart/alternative; boundary="=_0123456789abcdef0123456789abcdef"',
    }
    assert parsed["Date"].datetime is not None
    assert len(parsed.keys()) == len(set(parsed.keys()))


def test_answers_go_to_whom_people_are_told_to_write_to(settings):
    assert str(strictly(built()[1].data)["Reply-To"]) == settings.EMAIL_BRAND["support"]


def test_without_a_reply_address_there_is_no_such_header(settings):
    settings.EMAIL_REPLY_TO = ""

    assert strictly(built()[1].data)["Reply-To"] is None


@pytest.mark.parametrize("name", ["DEFAULT_FROM_EMAIL", "EMAIL_REPLY_TO"])
@pytest.mark.parametrize(
    "value",
    ["Souk", "Souk, Dubai <a@souk.example>", "Souk <>", "a b@souk.example", "a@بريد.example", "X: y@z <a@b.example>"],
)
def test_an_address_that_parsers_read_differently_stops_the_start(name, value, settings):
    setattr(settings, name, value)

    with pytest.raises(ImproperlyConfigured, match=f"{name} is "):
        brand.verify()


def test_there_must_be_a_sender(settings):
    settings.DEFAULT_FROM_EMAIL = ""

    with pytest.raises(ImproperlyConfigured, match="DEFAULT_FROM_EMAIL is ''"):
        brand.verify()


@pytest.mark.parametrize(
    "value", ["a@localhost", "Souk <a@souk.example>", '"Souk, Dubai" <a@souk.example>', "دبي <a@b.example>"]
)
def test_an_address_that_everybody_reads_alike_is_taken(value, settings):
    settings.DEFAULT_FROM_EMAIL = settings.EMAIL_REPLY_TO = value

    brand.verify()


# --- The body -------------------------------------------------------------------------------------------------
@every_mail
@every_language
@every_name
def test_each_parser_finds_text_and_page_octet_by_octet(kind, language, name):
    rendered, mail = built(kind, language, name=name)

    strict, legacy = strictly(mail.data), message_from_bytes(mail.data)
    rust = fast_mail_parser.parse_email(mail.data)
    wanted = [part.strip("\n").replace("\n", "\r\n").encode() for part in (rendered.text, rendered.html)]
    assert decoded(strict) == decoded(legacy) == wanted
    assert [part.strip("\r\n").encode() for part in (rust.text_plain[0], rust.text_html[0])] == wanted
    assert not rust.warnings
    assert [part.get_content_type() for part in strict.iter_parts()] == ["text/plain", "text/html"]


@every_mail
@every_language
def test_no_line_is_longer_than_a_strict_server_takes_and_every_line_ends_the_same_way(kind, language):
    data = built(kind, language, name="ليلى 🎉 " * 8)[1].data

    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 998
    head = data.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78


@every_mail
@every_language
def test_a_finished_mail_is_smaller_than_what_gmail_clips(kind, language):
    assert len(built(kind, language)[1].data) < 30_000


def test_the_same_attempt_builds_the_same_octets_but_for_the_date():
    first, second = (re.sub(rb"Date: .*\r\n", b"", built()[1].data) for _ in range(2))

    assert first == second
