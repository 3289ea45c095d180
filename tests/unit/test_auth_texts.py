"""Sentences in two languages."""

import re
import string

import pytest

from auth_api import texts
from auth_api.texts import Text

SAID = {name: value for name, value in vars(texts).items() if isinstance(value, Text)}


def placeholders(sentence):
    return {field for _, field, _, _ in string.Formatter().parse(sentence) if field}


@pytest.mark.parametrize("text", SAID.values(), ids=SAID)
def test_a_text_says_the_same_in_english_and_in_arabic(text):
    assert re.search("[a-z]", text.en)
    assert re.search("[\u0600-\u06ff]", text.ar)
    assert placeholders(text.en) == placeholders(text.ar)


def test_a_text_travels_through_rest_framework_as_one_string():
    assert Text.unpacked(texts.REQUIRED.packed()) == texts.REQUIRED
    assert Text.unpacked("This field is required.") is None


def test_a_filled_text_keeps_what_was_filled_in_as_it_is():
    assert texts.CODE_SENT.filled(email="{x}@example.com").en == "A 6-digit code is being sent to {x}@example.com."


@pytest.mark.parametrize(
    ("language", "said"),
    [("ar", "تم تسجيل الخروج."), ("en", "You are logged out."), ("fr", "You are logged out.")],
)
def test_what_is_not_said_in_arabic_is_said_in_english(language, said):
    assert texts.LOGGED_OUT.said_in(language) == said
