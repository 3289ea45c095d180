"""Values of requests, field by field."""

from typing import Any

import pytest
from rest_framework.exceptions import ValidationError

from auth_api.fields import AddressField, CodeField, LanguageField, NameField, PasswordField, TextField
from auth_api.serializers import LoginRequest


def problem_of(field, value):
    with pytest.raises(ValidationError) as refused:
        field.run_validation(value)
    codes: Any = refused.value.get_codes()
    return codes[0]


def nested(depth):
    value: object = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("field", [TextField(), AddressField(), NameField(), PasswordField(), CodeField()])
@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, ["a"], nested(900)], ids=lambda value: type(value).__name__)
def test_what_is_not_a_string_is_refused(field, value):
    assert problem_of(field, value) == "invalid"


@pytest.mark.parametrize("value", [1, True, [], {}, "", "fr", "EN", nested(900), "\ud800"], ids=lambda v: repr(v)[:9])
def test_a_language_is_one_of_ours(value):
    assert problem_of(LanguageField(), value) == "invalid_choice"


@pytest.mark.parametrize("field", [AddressField(), NameField(), PasswordField(), CodeField()])
@pytest.mark.parametrize(("value", "code"), [("a\0b", "nul"), ("a\ud800b", "surrogate"), (None, "null"), ("", "blank")])
def test_what_no_table_can_hold_is_refused(field, value, code):
    assert problem_of(field, value) == code


@pytest.mark.parametrize(
    "name",
    [
        "ليلى حدّاد",
        "Ng",
        "李",
        "O'Neil-Smith, Jr.",
        "👩‍👩‍👧‍👦 Family",
        "<b>Bob</b>",
        "می‌خواهم",
        "שָׁלוֹם",
        "\u200fعمر",
    ],
)
def test_a_name_may_be_in_any_script(name):
    assert NameField().run_validation(f"  {name} ") == name


@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\t", "\x1f", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\u2069"]
)
def test_a_name_stays_on_its_line_and_in_its_direction(sign):
    assert problem_of(NameField(), f"a{sign}b") == "control_character"


@pytest.mark.parametrize(
    "name", ["Win at https://evil.example", "WWW.evil.example", "ｗｗｗ．evil.example", "http：／／evil.example"]
)
def test_a_name_holds_no_link(name):
    assert problem_of(NameField(), name) == "link"


@pytest.mark.parametrize("name", ["J. R. Ewing", "Dr. Who", "Layla (she/her)", "a//b", "www", "Co.Ltd: Ann"])
def test_what_is_no_link_is_a_name(name):
    assert NameField().run_validation(name) == name


@pytest.mark.parametrize("name", ["   ", "\u200b", "\u200d\u200d", "\u0301"])
def test_a_name_can_be_seen(name):
    assert problem_of(NameField(), name) == "blank"


def test_a_name_has_150_letters_at_most():
    assert NameField().run_validation("a" * 150) == "a" * 150
    assert problem_of(NameField(), "a" * 151) == "max_length"


def test_a_password_keeps_its_spaces():
    assert PasswordField().run_validation("  a b  ") == "  a b  "


@pytest.mark.parametrize("typed", ["042137", " 042137 ", "042 137", "٠٤٢١٣٧", "۰۴۲۱۳۷", "０４２１３７"])
def test_a_code_may_be_typed_in_any_digits(typed):
    assert CodeField().run_validation(typed) == "042137"


@pytest.mark.parametrize("typed", ["42137", "0421370", "04213x", "²42137", "-42137", "4213.7"])
def test_a_code_has_six_digits(typed):
    assert problem_of(CodeField(), typed) == "bad_code"


def test_unknown_fields_are_named_in_a_form_that_an_answer_can_hold():
    body = {"email": "a@example.com", "password": "x", "\ud800": 1, "n" * 70: 2}
    refused = LoginRequest(data=body)

    assert not refused.is_valid()
    assert {field: problems[0].code for field, problems in refused.errors.items()} == {
        "\\ud800": "unknown",
        "n" * 50: "unknown",
    }


def test_only_so_many_unknown_fields_are_named():
    refused = LoginRequest(data={f"field {number}": 1 for number in range(1000)})

    assert not refused.is_valid()
    assert len(refused.errors) == 22  # twenty, and the two that are missing


@pytest.mark.parametrize("body", [[], "a", 1, True, None, [{"email": "a@example.com"}]])
def test_a_body_is_an_object(body):
    refused = LoginRequest(data=body)

    assert not refused.is_valid()
    assert list(refused.errors) == ["non_field_errors"]
