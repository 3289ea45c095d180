"""What the OpenAPI schema says of each endpoint: its answers, its errors and an example of each."""

from collections.abc import Callable, Mapping
from typing import Any

from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.serializers import Serializer

from auth_api import answers, serializers, texts
from auth_api.serializers import Answer, ErrorAnswer
from auth_api.texts import Text

_EMAIL, _PASSWORD, _CODE = "layla@example.com", "a long and quiet river", "042137"
_TASK_ID = "8f14e45f-ceea-467f-9b36-2f3b3c1d7a10"
_ACCOUNT = {
    "id": "1b4e28ba-2fa1-41d2-883f-0016d3cca427",
    "email": _EMAIL,
    "name": "ليلى حداد",
    "language": "ar",
    "created_at": "2026-11-24T09:05:00.000000Z",
}
_TOKEN = "2b1e8c7d" * 8
_SESSION = {"token": _TOKEN, "expiry": "2026-11-25T09:05:00.000000Z", "user": _ACCOUNT}
_NEW_PASSWORD = {"password": _PASSWORD, "password_confirm": _PASSWORD}

_ERRORS: Mapping[int, tuple[str, Text]] = {
    400: ("The body cannot be read, or a field is wrong.", texts.INVALID),
    401: ("No token, or one that is not valid.", texts.NOT_AUTHENTICATED),
    404: ("There is none, or not for this caller.", texts.NOT_FOUND),
    406: ("Only JSON is answered.", texts.NOT_ACCEPTABLE),
    413: ("The body is larger than 64 KiB.", texts.TOO_LARGE),
    415: ("Only JSON is read.", texts.UNSUPPORTED_MEDIA_TYPE),
    429: ("Too many requests; `Retry-After` says how many seconds to wait.", texts.THROTTLED),
    503: ("The database does not answer; `Retry-After` says how many seconds to wait.", texts.UNAVAILABLE),
}
_READING, _ALWAYS = (400, 413, 415), (406, 503)
_PROBLEM = {"code": "required", **texts.REQUIRED._asdict()}


class TokenScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]  # it registers its subclasses
    """Tells the schema how our tokens are sent."""

    target_class = "auth_api.tokens.TokenAuthentication"


def endpoint(  # noqa: PLR0913 - one place that says all of an endpoint, by name
    summary: str,
    *,
    says: Text,
    answer: type[Serializer[Any]] = Answer,
    status: int = 200,
    reads: type[Serializer[Any]] | None = None,
    body: Mapping[str, object] | None = None,
    facts: Mapping[str, object] | None = None,
    private: bool = False,
    limited: bool = True,
    refusal: Text | None = None,
) -> Callable[..., Any]:
    """Describe one method of a view: what it reads and answers, what can go wrong, and an example of each.

    `refusal` is what it says when the body is well formed and still not good enough.
    """
    codes = {*_ALWAYS, *(_READING if reads else ()), *((401,) if private else ()), *((429,) if limited else ())}
    responses: dict[int, OpenApiResponse] = {code: _error(code) for code in sorted(codes)}
    if refusal is not None:
        code = 401 if refusal is texts.LOGIN_REFUSED else 400
        responses[code] = _error(code, refusal)
    good = answers.body("success", says, "en", **(facts or {}))
    responses[status] = OpenApiResponse(answer, summary, [OpenApiExample(summary, good)])
    return extend_schema(
        summary=summary,
        request=reads,
        responses=responses,
        examples=[OpenApiExample("request", dict(body), request_only=True)] if body else [],
        auth=None if private else [],
        tags=["auth"],
    )


def describe_errors(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """Add to each endpoint what all under /api/ may answer (a hook of drf-spectacular)."""
    for path, operations in result["paths"].items():
        for operation in operations.values():
            codes = {*_ALWAYS, *((401,) if "security" in operation else ()), *((404,) if "{" in path else ())}
            for code in sorted(codes):
                operation["responses"].setdefault(str(code), _plain_error(code))
    return result


def _plain_error(status: int) -> dict[str, Any]:
    description, text = _ERRORS[status]
    examples = {str(status): {"value": answers.body("error", text, "en", errors={})}}
    content = {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}, "examples": examples}
    return {"description": description, "content": {"application/json": content}}


def _error(status: int, text: Text | None = None) -> OpenApiResponse:
    description, usual = _ERRORS[status]
    problems = {"email": [_PROBLEM]} if status == 400 and text is None else {}  # noqa: PLR2004 - HTTP's number
    value = answers.body("error", text or usual, "en", errors=problems)
    return OpenApiResponse(ErrorAnswer, description, [OpenApiExample(str(status), value)])


REGISTER = endpoint(
    "Register",
    reads=serializers.RegisterRequest,
    body={"name": "ليلى حداد", "email": _EMAIL, **_NEW_PASSWORD, "language": "ar"},
    status=201,
    says=texts.REGISTERED.filled(email=_EMAIL),
    answer=serializers.TaskAnswer,
    facts={"task_id": _TASK_ID},
)
LOG_IN = endpoint(
    "Log in",
    reads=serializers.LoginRequest,
    body={"email": _EMAIL, "password": _PASSWORD},
    says=texts.LOGGED_IN,
    answer=serializers.SessionAnswer,
    facts=_SESSION,
    refusal=texts.LOGIN_REFUSED,
)
LOG_OUT = endpoint("Log out", says=texts.LOGGED_OUT, private=True, limited=False)
LOG_OUT_EVERYWHERE = endpoint("Log out everywhere", says=texts.LOGGED_OUT_EVERYWHERE, private=True, limited=False)
SHOW_ACCOUNT = endpoint(
    "Show my account",
    says=texts.YOUR_ACCOUNT,
    answer=serializers.AccountAnswer,
    facts={"user": _ACCOUNT},
    private=True,
    limited=False,
)
CHANGE_ACCOUNT = endpoint(
    "Change my account",
    reads=serializers.ProfileRequest,
    body={"name": "ليلى حداد", "language": "ar"},
    says=texts.ACCOUNT_CHANGED,
    answer=serializers.AccountAnswer,
    facts={"user": _ACCOUNT},
    private=True,
    limited=False,
)
CHANGE_PASSWORD = endpoint(
    "Change my password",
    reads=serializers.ChangeRequest,
    body={"current_password": "the old one", **_NEW_PASSWORD},
    says=texts.PASSWORD_CHANGED,
    answer=serializers.TaskAnswer,
    facts={"task_id": _TASK_ID},
    private=True,
)
REQUEST_CODE = endpoint(
    "Ask for a reset code",
    reads=serializers.ResetRequest,
    body={"email": _EMAIL},
    status=202,
    says=texts.CODE_SENT.filled(email=_EMAIL),
    answer=serializers.TaskAnswer,
    facts={"task_id": _TASK_ID},
)
VERIFY_CODE = endpoint(
    "Check a reset code",
    reads=serializers.VerifyRequest,
    body={"email": _EMAIL, "code": _CODE},
    says=texts.CODE_RIGHT,
    refusal=texts.CODE_REFUSED,
)
RESET_PASSWORD = endpoint(
    "Set a password with a reset code",
    reads=serializers.ConfirmRequest,
    body={"email": _EMAIL, "code": _CODE, **_NEW_PASSWORD},
    says=texts.PASSWORD_RESET,
    refusal=texts.CODE_REFUSED,
)
