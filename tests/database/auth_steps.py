"""Steps that tests of the auth API share."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from auth_api import codes
from auth_api.models import PasswordReset, User

EMAIL, PASSWORD, NEW_PASSWORD = "layla@example.com", "a long and quiet river", "another river, as quiet"


def make_user(email: str = EMAIL, name: str = "Layla Haddad", password: str | None = PASSWORD, **fields: Any) -> User:
    return User.objects.create_user(email=email, name=name, password=password, **fields)


def post(path: str, token: str = "", client: Client | None = None, **body: Any) -> Any:
    return send("post", path, body, token, client)


def send(method: str, path: str, body: object = None, token: str = "", client: Client | None = None) -> Any:
    headers = {"Authorization": f"Token {token}"} if token else {}
    caller = getattr(client or Client(), method)
    return caller(f"/api/auth/{path}", body, content_type="application/json", headers=headers)


def register(email: str = EMAIL, password: str = PASSWORD, **fields: Any) -> Any:
    body = {"name": "Layla Haddad", "email": email, "password": password, "password_confirm": password}
    return post("register/", **{**body, **fields})


def log_in(email: str = EMAIL, password: str = PASSWORD, **fields: Any) -> Any:
    return post("login/", email=email, password=password, **fields)


def token_of(email: str = EMAIL, password: str = PASSWORD) -> str:
    return str(log_in(email, password).json()["token"])


def verify(code: str, email: str = EMAIL) -> Any:
    return post("password/reset/verify/", email=email, code=code)


def confirm(code: str, email: str = EMAIL, password: str = NEW_PASSWORD, **fields: Any) -> Any:
    body = {"email": email, "code": code, "password": password, "password_confirm": password}
    return post("password/reset/confirm/", **{**body, **fields})


def code_of(email: str = EMAIL) -> str:
    """The code of the newest request of this address: what its mail would hold."""
    request = PasswordReset.objects.filter(address=email).latest("pk")
    code = codes.derive(request.pk, bytes(request.nonce), request.key_fingerprint)
    assert code is not None
    return code


def wrong_code(email: str = EMAIL) -> str:
    return f"{(int(code_of(email)) + 1) % 10**6:06d}"


def requested(email: str = EMAIL) -> str:
    """Ask for a reset; the code."""
    assert post("password/reset/", email=email).status_code == 202
    return code_of(email)


def statements(call: Callable[[], object]) -> list[str]:
    """The SQL that the call ran, with every literal left out."""
    with CaptureQueriesContext(connection) as captured:
        call()
    return [_shape(query["sql"]) for query in captured]


def _shape(sql: str) -> str:
    literals_out = "'…'".join(sql.split("'")[::2]).replace("  E'…'", " '…'")  # E: it holds a backslash
    return re.sub(r'SAVEPOINT ".*?"', "SAVEPOINT", literals_out)


def age_limits(by: timedelta) -> None:
    """As if everything counted so far had happened that much earlier."""
    earlier: Any = [by]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE auth_api_allowance SET hits = ARRAY(SELECT hit - %s FROM unnest(hits) AS hit)", earlier)


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by each password that is hashed from now on."""
    hashed: list[str] = []
    encode = MD5PasswordHasher.encode

    def counted(hasher: MD5PasswordHasher, password: str, salt: str) -> str:
        hashed.append(password)
        return encode(hasher, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    return hashed


def at_once(callers: int, call: Callable[[int], Any]) -> list[Any]:
    """What the callers got when all began at the same moment, each on a connection of its own."""
    ready = Barrier(callers, timeout=20)

    def one(number: int) -> Any:
        try:
            connection.ensure_connection()
            ready.wait()
            return call(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(one, range(callers)))
