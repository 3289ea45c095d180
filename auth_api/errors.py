"""The one body of every failure under /api/, and what turns exceptions into it."""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, UnreadablePostError
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_framework_handler

from auth_api import answers, texts
from auth_api.parsers import TooLarge
from auth_api.texts import Text

logger = logging.getLogger(__name__)
_API = "/api/"
_FIRST_SERVER_ERROR = 500
_TEXTS = {  # by the code of REST framework's exceptions
    "invalid": texts.INVALID,
    "parse_error": texts.MALFORMED,
    "not_authenticated": texts.NOT_AUTHENTICATED,
    "authentication_failed": texts.AUTHENTICATION_FAILED,
    "permission_denied": texts.PERMISSION_DENIED,
    "not_found": texts.NOT_FOUND,
    "method_not_allowed": texts.METHOD_NOT_ALLOWED,
    "not_acceptable": texts.NOT_ACCEPTABLE,
    "unsupported_media_type": texts.UNSUPPORTED_MEDIA_TYPE,
    "too_large": texts.TOO_LARGE,
    "throttled": texts.THROTTLED,
    "unavailable": texts.UNAVAILABLE,
}
_FIELD_TEXTS = {  # by the code of an error whose message is REST framework's own
    "required": texts.REQUIRED,
    "null": texts.NULL,
    "blank": texts.BLANK,
}


class LoginRefused(exceptions.AuthenticationFailed):
    """What every failed login is answered with."""

    default_detail = texts.LOGIN_REFUSED.packed()
    default_code = "login_refused"


class CodeRefused(exceptions.ValidationError):
    """What every code is answered with that cannot be used, whatever the reason."""

    text = texts.CODE_REFUSED

    def __init__(self) -> None:
        super().__init__({"code": [self.text.packed()]}, code="refused")


class WrongPassword(exceptions.ValidationError):
    """The caller of a password change does not know the current one."""

    def __init__(self) -> None:
        super().__init__({"current_password": [texts.WRONG_PASSWORD.packed()]}, code="wrong")


class Unavailable(exceptions.APIException):
    """The database does not answer; the caller may try again."""

    status_code = 503
    default_code = "unavailable"
    wait = 5


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to an exception in a view; None for a bug, which Django answers through `server_error`."""
    known = _as_api_exception(exc)
    response = rest_framework_handler(known, context)  # for its headers and status
    if response is None or not isinstance(known, exceptions.APIException):
        return None
    language = getattr(context["view"], "language", None) or answers.language_of(context["request"])
    response.data = answers.body("error", _text_of(known), language, errors=_errors_of(known))
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler400."""
    if not request.path.startswith(_API):
        return defaults.bad_request(request, exception)
    if isinstance(exception, RequestDataTooBig):
        return _json(request, texts.TOO_LARGE, TooLarge.status_code)
    return _json(request, texts.BAD_REQUEST, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler403."""
    if not request.path.startswith(_API):
        return defaults.permission_denied(request, exception)
    return _json(request, texts.PERMISSION_DENIED, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler404."""
    if not request.path.startswith(_API):
        return defaults.page_not_found(request, exception)
    return _json(request, texts.NOT_FOUND, 404)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler500."""
    if not request.path.startswith(_API):
        return defaults.server_error(request)
    return _json(request, texts.SERVER_ERROR, 500)


def _json(request: HttpRequest, text: Text, status: int) -> HttpResponse:
    language = answers.language_of(request)
    return JsonResponse(answers.body("error", text, language, errors={}), status=status)


def _as_api_exception(exc: Exception) -> Exception:
    match exc:
        case RequestDataTooBig():
            return TooLarge()
        case SuspiciousOperation() | UnreadablePostError() | RecursionError():
            return exceptions.ParseError(texts.BAD_REQUEST.packed())
        case OperationalError() | InterfaceError():
            logger.error("database_unavailable", exc_info=exc)
            return Unavailable()
    return exc


def _text_of(exc: exceptions.APIException) -> Text:
    said = getattr(exc, "text", None) or Text.unpacked(str(exc.detail))
    otherwise = texts.SERVER_ERROR if exc.status_code >= _FIRST_SERVER_ERROR else texts.BAD_REQUEST
    return said or _TEXTS.get(exc.default_code, otherwise)


def _errors_of(exc: exceptions.APIException) -> dict[str, list[dict[str, str]]]:
    if not isinstance(exc, exceptions.ValidationError) or not isinstance(exc.detail, Mapping):
        return {}
    return {field: [_problem(detail) for detail in _flat(details)] for field, details in exc.detail.items()}


def _flat(details: object) -> list[exceptions.ErrorDetail]:
    if isinstance(details, exceptions.ErrorDetail):
        return [details]
    nested = details.values() if isinstance(details, Mapping) else details
    return [detail for part in nested for detail in _flat(part)]  # type: ignore[attr-defined]  # a list


def _problem(detail: exceptions.ErrorDetail) -> dict[str, str]:
    code = detail.code or "invalid"
    text = Text.unpacked(str(detail)) or _FIELD_TEXTS.get(code, texts.FIELD_INVALID)
    return {"code": code, "en": text.en, "ar": text.ar}
