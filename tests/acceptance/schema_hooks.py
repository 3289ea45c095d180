"""What schemathesis adds to the schema: who calls, as which account, and what a schema cannot say of good values."""

import json
import urllib.request
from functools import cache
from itertools import count
from typing import Any

import schemathesis

from tests.acceptance.client import PASSWORD

_NUMBERS = count()


@schemathesis.hook
def before_call(_: Any, case: Any, **__: Any) -> None:
    """Call as somebody new; every second time with passwords that agree, and for a mail that exists."""
    number = next(_NUMBERS)
    case.headers = {**(case.headers or {}), "X-Forwarded-For": _client(number)}
    if number % 2:
        return
    if isinstance(case.body, dict) and {"password", "password_confirm"} <= case.body.keys():
        case.body = {**case.body, "password_confirm": case.body["password"]}
    if "task_id" in (case.path_parameters or {}):
        case.path_parameters = {"task_id": _account(_server(case))[1]}


@schemathesis.auth(refresh_interval=None)
class Session:
    """Logged in: as one account for all, and as a fresh one where the session ends."""

    def get(self, case: Any, _: Any) -> str:
        """A token."""
        account = _new_account if "logout" in case.operation.path else _account
        return account(_server(case))[0]

    def set(self, case: Any, data: str, _: Any) -> None:
        """Send the token along."""
        case.headers = {**(case.headers or {}), "Authorization": f"Token {data}"}


def _new_account(server: str) -> tuple[str, str]:
    """The token of a fresh account, and the id of its welcome mail."""
    email = f"case-{next(_NUMBERS)}@example.com"
    new = {"name": "Omar", "email": email, "password": PASSWORD, "password_confirm": PASSWORD}
    task_id = _post(f"{server}/api/auth/register/", new)["task_id"]
    return _post(f"{server}/api/auth/login/", {"email": email, "password": PASSWORD})["token"], task_id


_account = cache(_new_account)


def _post(url: str, body: dict[str, str]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "X-Forwarded-For": _client(next(_NUMBERS))}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def _server(case: Any) -> str:
    return str(case.operation.base_url).rstrip("/")


def _client(number: int) -> str:
    """An address that nobody has used: limits count by it, and the server trusts us as its one proxy."""
    return f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}"  # RFC 2544's range for such tests
