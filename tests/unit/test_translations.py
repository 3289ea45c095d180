"""The catalogue of the mails, and how a translation is filled in."""

import re
from pathlib import Path

import pytest
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from auth_api import mails  # noqa: F401  (declares the kinds)
from outbox import rendering

EXPRESSION = re.compile(r"\{\{.*?\}\}|%\(\w+\)s")


@pytest.fixture
def catalogue(settings):
    """The Arabic catalogue as people edit it."""
    with (Path(settings.LOCALE_PATHS[0]) / "ar/LC_MESSAGES/django.po").open("rb") as file:
        return read_po(file, locale="ar")


def test_constants_of_a_translation_are_escaped_in_html_and_not_in_text(write_mail):
    source = '{% trans %}Salt & "pepper" {{ x }}{% endtrans %}'
    name = write_mail(body_txt=source, body_html=source)

    mail = rendering.render(name, "ar", {"x": "<b>"})

    assert mail.text == 'Salt & "pepper" <b>\n'
    assert mail.html == "Salt &amp; &#34;pepper&#34; &lt;b&gt;"


def test_a_long_translation_is_filled_under_the_column_where_it_begins(write_mail):
    words = "word " * 20
    name = write_mail(body_txt="* {% trans %}" + words + "{{ x | upper }}{% endtrans %}\nend")

    lines = rendering.render(name, "en", {"x": "last"}).text.splitlines()

    assert lines == ["* " + ("word " * 14).strip(), "  " + "word " * 6 + "LAST", "end"]


def test_the_compiled_catalogue_holds_what_the_edited_one_holds(settings, catalogue):
    with (Path(settings.LOCALE_PATHS[0]) / "ar/LC_MESSAGES/django.mo").open("rb") as file:
        compiled = read_mo(file)

    assert _contents(compiled) == _contents(catalogue), (
        "stale: run python -m babel.messages.frontend compile -D django -d templates/locale"
    )
    assert compiled.plural_expr == catalogue.plural_expr


def test_the_catalogue_holds_every_text_of_the_mails_and_no_other(emails, catalogue):
    sources = [file.read_text(encoding="utf-8") for file in emails.rglob("*.*")]
    used = {text for source in sources for forms in rendering.texts(source) for text in forms if text}
    known = {text for message in catalogue for text in _forms(message.id) if text}

    assert sorted(used - known) == [], "add these to templates/locale/ar/LC_MESSAGES/django.po"
    assert sorted(known - used) == [], "no mail uses these any more"


def test_every_text_is_translated_and_none_is_a_guess(catalogue):
    assert [message.id for message in catalogue if message.id and not all(_forms(message.string))] == []
    assert [message.id for message in catalogue if message.id and message.fuzzy] == []


def test_a_translation_fills_in_what_its_original_fills_in(catalogue):
    for message in catalogue:
        wanted = [set(EXPRESSION.findall(text)) for text in _forms(message.id)]
        for text in _forms(message.string) if message.id else ():
            one_or_two_said_in_words = isinstance(message.id, tuple) and not EXPRESSION.findall(text)
            assert set(EXPRESSION.findall(text)) in wanted or one_or_two_said_in_words, message.id


def test_arabic_has_its_six_forms_of_plural(catalogue):
    assert [len(message.string) for message in catalogue if isinstance(message.id, tuple)] == [6]


def _contents(catalogue):
    return sorted((_forms(message.id), _forms(message.string)) for message in catalogue if message.id)


def _forms(text):
    return [text] if isinstance(text, str) else list(text)
