"""Mails to look at: by their sample, or of one intent, and never with anything secret."""

import re
from html.parser import HTMLParser
from uuid import UUID

import fast_mail_parser
import pytest
from django.core.management import call_command

from auth_api import mails  # noqa: F401  (declares the kinds)
from outbox import kinds, previews
from outbox.errors import BadContext, NotAllowed, UnknownKind
from outbox.kinds import RAW
from outbox.models import Intent

KINDS = ("account_exists", "password_changed", "reset_code", "welcome")
FILES = {f"{kind}.{language}.{part}" for kind in KINDS for language in ("en", "ar") for part in ("html", "txt", "eml")}
TASK = UUID("0123456789abcdef0123456789abcdef")


def intent(kind="welcome", **columns):
    """A row that no table holds."""
    plain = {"recipient": "omar@example.com", "language": "en", "message_id": "<1@example.com>", "task_id": TASK}
    return Intent(kind=kind, **{**plain, **columns})


@pytest.fixture
def unbindable(change_kind):
    """Fails the test when the binder of a reset code, which derives it, is asked."""

    def bind(_):
        pytest.fail("a preview derived a real code")

    change_kind("reset_code", bind=bind)


# --- The folder -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("previews") / "new" / "folder"
    call_command("test_email_tasks", preview=made, verbosity=0)
    return made


def test_each_kind_is_written_in_each_language_as_page_text_and_source(folder):
    assert {file.name for file in folder.iterdir()} == FILES | {"index.html"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["en", "ar"])
def test_page_and_text_are_what_the_source_holds(folder, kind, language):
    page, text, source = ((folder / f"{kind}.{language}.{part}").read_bytes() for part in ("html", "txt", "eml"))

    parsed = fast_mail_parser.parse_email(source)
    assert parsed.text_html[0].replace("\r\n", "\n").strip() == page.decode().strip()
    assert parsed.text_plain[0].replace("\r\n", "\n").strip() == text.decode().strip()


def test_the_index_shows_every_mail_in_a_frame_where_no_script_runs_and_links_to_all_its_files(folder):
    index = Page((folder / "index.html").read_text("utf-8"))

    frames = [attributes for tag, attributes in index.elements if tag == "iframe"]
    links = {attributes["href"] for tag, attributes in index.elements if tag == "a"}
    assert {frame["src"] for frame in frames} == {name for name in FILES if name.endswith(".html")}
    assert len(frames) == 8
    assert {frame["sandbox"] for frame in frames} == {None}  # the attribute without a value allows nothing
    assert links == FILES
    assert "script" not in {tag for tag, _ in index.elements}


def test_the_index_shows_subjects_and_texts_in_their_own_direction(folder):
    index = (folder / "index.html").read_text("utf-8")

    assert '<bdi dir="rtl" lang="ar">أهلًا بك في ' in index
    assert '<bdi dir="ltr" lang="en">Welcome to Accounts</bdi>' in index
    assert '<pre dir="rtl" lang="ar">' in index
    assert not re.search(r"\{[{%#]", index)


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


# --- One intent -----------------------------------------------------------------------------------------------
def test_the_mail_of_an_intent_holds_what_is_stored_with_it():
    shown = previews.build_for(intent(context={"name": "Omar"}))

    assert "\nHello Omar,\n" in shown.rendered.text
    assert shown.mail.recipient == "omar@example.com"
    assert b"\r\nMessage-ID: <1@example.com>\r\n" in shown.mail.data


def test_a_code_in_a_preview_is_the_sample_s_and_is_not_even_derived(unbindable):
    shown = previews.build_for(intent("reset_code", context={"request": 7}, language="ar"))

    assert "042137" in shown.rendered.text
    assert shown.language == "ar"


def test_a_late_variable_that_somehow_got_stored_is_not_shown():
    with pytest.raises(BadContext):
        previews.build_for(intent("reset_code", context={"request": 7, "code": "999999"}))


def test_a_sample_mail_is_shown_as_it_was_sent():
    assert "Layla Haddad" in previews.build_for(intent(is_sample=True, context={})).rendered.text


def test_a_message_that_another_app_handed_over_stays_sealed():
    with pytest.raises(NotAllowed, match="sealed"):
        previews.build_for(intent(RAW.name, payload=b"gAAAA"))


def test_an_intent_of_a_kind_that_is_gone_is_told_so():
    with pytest.raises(UnknownKind, match="'gone'"):
        previews.build_for(intent("gone"))


@pytest.mark.parametrize("part", ["../etc/passwd", "", "HTML"])
def test_there_are_three_parts_and_no_other(part):
    shown = previews.build(kinds.names()[0], "en")

    assert shown.part(part) is None
    assert all(shown.part(known) for known in previews.PARTS)
