"""A small client of the REST API: JSON in, JSON out, timed. Proxies of the environment do not count here."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `body` is empty when it was no JSON object."""

    code: int
    body: dict[str, Any]
    seconds: float


class Site:
    """The web server at a base address; `headers` go along with each request."""

    def __init__(self, url: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.url, self._headers = url, headers

    def get(self, path: str, token: str = "") -> Answer:
        """Ask for a page.

        Raises:
            OSError: nobody answers.
        """
        return self._ask("GET", path, token, None)

    def post(self, path: str, **body: str) -> Answer:
        """Send a JSON object.

        Raises:
            OSError: nobody answers.
        """
        return self._ask("POST", path, "", json.dumps(body).encode())

    def _ask(self, method: str, path: str, token: str, body: bytes | None) -> Answer:
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self._headers}
        if token:
            headers["Authorization"] = f"Token {token}"
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method=method)  # noqa: S310
        started = time.perf_counter()
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                code, content = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            code, content = refused.code, refused.read()
        return Answer(code, _object(content), time.perf_counter() - started)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
