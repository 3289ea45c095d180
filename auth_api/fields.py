"""The fields of requests: strict about types, and with sentences in both languages."""

import re
import unicodedata
from typing import Any, ClassVar, NoReturn

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from auth_api import addresses, codes, texts
from auth_api.models import Language

# Explicit embeddings, overrides and isolates turn the text around a name; marks and joiners do not.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKING = frozenset({"Cc", "Zl", "Zp"})  # control characters, line and paragraph separators
_VISIBLE = "LNPS"  # letters, numbers, punctuation, signs; what is left is marks and spaces
_LINK = ("://", "www.")
_SIX_DIGITS = re.compile(rf"[0-9]{{{codes.DIGITS}}}")


def _messages(**said: texts.Text) -> dict[str, str]:
    return {code: text.packed() for code, text in said.items()}


class TextField(serializers.CharField):
    """A string; numbers are not taken for one."""

    default_error_messages: ClassVar[dict[str, Any]] = _messages(
        required=texts.REQUIRED,
        null=texts.NULL,
        blank=texts.BLANK,
        invalid=texts.NOT_TEXT,
        max_length=texts.TOO_LONG,
        nul=texts.NUL,
        surrogate=texts.SURROGATE,
    )

    def run_validation(self, data: Any = serializers.empty) -> Any:  # noqa: ANN401 - as REST framework has it
        """Refuse other types first: a list nested deep enough cannot even be shown as text."""
        if data is not serializers.empty and data is not None and not isinstance(data, str):
            self.fail("invalid")
        return super().run_validation(data)

    def to_internal_value(self, data: str) -> str:
        """The text, when PostgreSQL and a mail can hold it."""
        if "\0" in data:
            self.fail("nul")
        if any("\ud800" <= character <= "\udfff" for character in data):
            self.fail("surrogate")
        return super().to_internal_value(data)

    def refuse(self, text: texts.Text, code: str = "invalid") -> NoReturn:
        """Fail with this sentence."""
        raise ValidationError(text.packed(), code=code)


@extend_schema_field({"type": "string", "format": "email", "maxLength": addresses.MAX_LENGTH})
class AddressField(TextField):
    """An e-mail address; its value is the stored form."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": addresses.MAX_LENGTH, **options})

    def to_internal_value(self, data: str) -> str:
        """The address, normalised."""
        try:
            return addresses.normalise(super().to_internal_value(data))
        except addresses.AddressRefused as refused:
            self.refuse(refused.text, "bad_address")


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": 150})
class NameField(TextField):
    """A person's name in any script. It goes into mails and admin pages: one line, and no links."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 150, **options})

    def to_internal_value(self, data: str) -> str:
        """The name, without spaces around it."""
        name = super().to_internal_value(data)
        if any(unicodedata.category(sign) in _BREAKING or sign in _TURNING for sign in name):
            self.refuse(texts.CONTROL_CHARACTER, "control_character")
        folded = unicodedata.normalize("NFKC", name).casefold()  # full-width signs make a link for some readers
        if any(mark in folded for mark in _LINK):
            self.refuse(texts.LINK_IN_NAME, "link")
        if not any(unicodedata.category(sign)[0] in _VISIBLE for sign in name):
            self.fail("blank")
        return name


class PasswordField(TextField):
    """A password, spaces and all."""

    def __init__(self, **options: Any) -> None:
        fixed = {"max_length": 256, "trim_whitespace": False, "write_only": True}
        super().__init__(**{**fixed, "style": {"input_type": "password"}, **options})


@extend_schema_field({"type": "string", "pattern": f"^[0-9]{{{codes.DIGITS}}}$"})
class CodeField(TextField):
    """The six digits of a mail, in Latin or any other digits, perhaps with a space between."""

    def to_internal_value(self, data: str) -> str:
        """The code in ASCII digits."""
        typed = "".join(super().to_internal_value(data).split())
        code = "".join(str(unicodedata.decimal(sign, sign)) for sign in typed)
        if not _SIX_DIGITS.fullmatch(code):
            self.refuse(texts.BAD_CODE, "bad_code")
        return code


class LanguageField(serializers.ChoiceField):
    """One of our languages."""

    default_error_messages: ClassVar[dict[str, Any]] = _messages(
        required=texts.REQUIRED,
        null=texts.NULL,
        invalid_choice=texts.NOT_A_CHOICE.filled(choices=", ".join(Language.values)),
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"choices": Language.choices, "required": False, **options})

    def to_internal_value(self, data: object) -> str:
        """The language's code."""
        if not isinstance(data, str) or data not in Language.values:
            self.fail("invalid_choice")
        return data
