"""Shapes of requests and answers."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from auth_api import texts
from auth_api.fields import AddressField, CodeField, LanguageField, NameField, PasswordField
from auth_api.models import User

_SHOWN_UNKNOWN = 20  # that many unknown fields are named, and that much of each name
_SHOWN_LETTERS = 50
_WEAKNESSES = {
    "password_too_short": texts.PASSWORD_TOO_SHORT,
    "password_too_common": texts.PASSWORD_TOO_COMMON,
    "password_entirely_numeric": texts.PASSWORD_ENTIRELY_NUMERIC,
    "password_too_similar": texts.PASSWORD_TOO_SIMILAR,
}


class StrictSerializer(serializers.Serializer[Any]):
    """A request's body: an object with these fields and no others."""

    default_error_messages = {"invalid": texts.NOT_AN_OBJECT.packed()}

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401 - as REST framework has it
        """The values of the known fields, when there are no others."""
        strange = self._strange(data) if isinstance(data, Mapping) else {}
        try:
            values = super().to_internal_value(data)
        except ValidationError as error:
            raise ValidationError({**strange, **error.detail}) from error  # type: ignore[dict-item]
        if strange:
            raise ValidationError(strange)
        return values

    def _strange(self, data: Mapping[str, object]) -> dict[str, list[ErrorDetail]]:
        """An error for each unknown field, named in a form that every answer can hold."""
        names = [name for name in data if name not in self.fields][:_SHOWN_UNKNOWN]
        shown = [name[:_SHOWN_LETTERS].encode(errors="backslashreplace").decode() for name in names]
        return {name: [ErrorDetail(texts.UNKNOWN_FIELD.packed(), "unknown")] for name in shown}


class SpokenRequest(StrictSerializer):
    """A request that may name the language of its answer and mails."""

    language = LanguageField()


class NewPasswordRequest(SpokenRequest):
    """A request that sets a password."""

    password = PasswordField()
    password_confirm = PasswordField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two different passwords, and a weak one."""
        if attrs["password"] != attrs["password_confirm"]:
            raise ValidationError({"password_confirm": [texts.PASSWORDS_DIFFER.packed()]}, code="differ")
        try:
            validate_password(attrs["password"], self.holder(attrs))
        except DjangoValidationError as error:
            raise weak_password(error) from error
        return attrs

    def holder(self, attrs: Mapping[str, Any]) -> User:
        """Whom the password must not resemble, as far as the request tells."""
        return User(email=attrs.get("email", ""), name=attrs.get("name", ""))


class RegisterRequest(NewPasswordRequest):
    """A new account."""

    name = NameField()
    email = AddressField()


class LoginRequest(SpokenRequest):
    """Address and password."""

    email = AddressField()
    password = PasswordField()


class ResetRequest(SpokenRequest):
    """The address to send a code to."""

    email = AddressField()


class VerifyRequest(SpokenRequest):
    """The code that was sent to the address."""

    email = AddressField()
    code = CodeField()


class ConfirmRequest(NewPasswordRequest):
    """The code that was sent to the address, and the new password."""

    email = AddressField()
    code = CodeField()


class ChangeRequest(NewPasswordRequest):
    """The current password and the new one; `context["user"]` is whose."""

    current_password = PasswordField()

    def holder(self, attrs: Mapping[str, Any]) -> User:
        """The caller."""
        user: User = self.context["user"]
        return user


class ProfileRequest(StrictSerializer):
    """What a person may change of their account."""

    name = NameField(required=False)
    language = LanguageField()


def weak_password(error: DjangoValidationError) -> ValidationError:
    """What Django's validators found, in both languages."""
    problems = [
        ErrorDetail(
            _WEAKNESSES.get(weakness.code or "", texts.PASSWORD_REFUSED).filled(**(weakness.params or {})).packed(),
            weakness.code or "invalid",
        )
        for weakness in error.error_list
    ]
    return ValidationError({"password": problems})


class Account(serializers.ModelSerializer[User]):
    """An account as its holder sees it."""

    created_at = serializers.DateTimeField(default_timezone=UTC, read_only=True)

    class Meta:
        """What is shown."""

        model = User
        fields = ("id", "email", "name", "language", "created_at")
        read_only_fields = fields


@extend_schema_field({"type": "string", "const": "success"})
class Success(serializers.CharField):
    """The status of what went well."""


@extend_schema_field({"type": "string", "const": "error"})
class Failure(serializers.CharField):
    """The status of what did not."""


class _Said(serializers.Serializer[Any]):
    """What all answers say: `message` in the caller's language, and both languages."""

    message = serializers.CharField()
    en = serializers.CharField()
    ar = serializers.CharField()


class Answer(_Said):
    """What went well."""

    status = Success()


class TaskAnswer(Answer):
    """`task_id` is the mail to ask /api/outbox/ about."""

    task_id = serializers.UUIDField()


class SessionAnswer(Answer):
    """A token is shown once; send it as `Authorization: Token …` until its expiry."""

    token = serializers.CharField()
    expiry = serializers.DateTimeField()
    user = Account()


class AccountAnswer(Answer):
    """The caller's account."""

    user = Account()


class Problem(serializers.Serializer[Any]):
    """One thing that is wrong with a field: a code for programs, and a sentence in both languages."""

    code = serializers.CharField()
    en = serializers.CharField()
    ar = serializers.CharField()


class ErrorAnswer(_Said):
    """What went wrong; `errors` holds the problems of each field, and is empty when no field is at fault."""

    status = Failure()
    errors = serializers.DictField(child=Problem(many=True))  # type: ignore[assignment]  # a field, as declared
