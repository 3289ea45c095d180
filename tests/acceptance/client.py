"""A caller of the REST API who is somebody else each time: throttles count by the caller's address."""

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

PASSWORD = "a-fine-day-in-Dubai-27"
_NEIGHBOURS = count()  # all of 127.0.0.0/8 is this machine
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and after how long; the code is 0 when nobody answered."""

    code: int
    body: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Client:
    """Calls one web server."""

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)  # sent with every request

    def get(self, path: str, token: str = "") -> Answer:
        """Ask for a page."""
        return self._ask("GET", path, {}, token)

    def post(self, path: str, **body: str) -> Answer:
        """Send a JSON object."""
        return self._ask("POST", path, body, "")

    def register(self, email: str, name: str = "Omar Nasser", language: str = "en") -> Answer:
        """Create an account."""
        body = {"name": name, "email": email, "password": PASSWORD, "password_confirm": PASSWORD}
        return self.post("/api/auth/register/", **body, language=language)

    def log_in(self, email: str, password: str = PASSWORD) -> str:
        """The token of a new session.

        Raises:
            AssertionError: it is refused.
        """
        answer = self.post("/api/auth/login/", email=email, password=password)
        assert answer.code == 200, answer
        return str(answer.body["token"])

    def _ask(self, method: str, path: str, body: dict[str, str], token: str) -> Answer:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        headers |= self.headers
        if token:
            headers["Authorization"] = f"Token {token}"
        started = time.perf_counter()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_TIMEOUT_S, source_address=_somebody())
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            reply = connection.getresponse()
            code, content = reply.status, reply.read()
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {"error": repr(error)}, time.perf_counter() - started)
        finally:
            connection.close()
        return Answer(code, _object(content), time.perf_counter() - started)


def _somebody() -> tuple[str, int]:
    number = next(_NEIGHBOURS)
    return f"127.1.{number // 250 % 250}.{number % 250 + 1}", 0


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {"content": content.decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {"content": found}
