"""People who register at a steady rate, whatever the system does meanwhile."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from types import TracebackType
from typing import Self

from tests.acceptance.client import Client

_HANDS = 16  # so many requests may hang before the rate falls


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One registration: what was answered (0: nothing), after how long, and when it began (monotonic)."""

    email: str
    code: int
    error: str
    seconds: float
    at: float


def _address(number: int) -> str:
    return f"person-{number}@example.com"


class Load:
    """Registers inside the block; `requests` is complete behind it."""

    def __init__(self, client: Client, rate: float, address: Callable[[int], str] = _address) -> None:
        self.requests: list[Request] = []
        self._client, self._rate, self._address = client, rate, address
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._next = 0
        self._started = 0.0
        self._hands = [threading.Thread(target=self._work, name=f"load-{n}", daemon=True) for n in range(_HANDS)]

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        for hand in self._hands:
            hand.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        for hand in self._hands:
            hand.join()

    @property
    def registered(self) -> set[str]:
        """The addresses that were told 201."""
        return {request.email for request in self.requests if request.code == 201}

    @property
    def failed(self) -> list[Request]:
        """The requests with any other answer, or none."""
        return [request for request in self.requests if request.code != 201]

    def summary(self) -> str:
        """The load in numbers."""
        times = [request.seconds * 1000 for request in self.requests] or [0]
        return (
            f"{len(self.requests)} requests, {len(self.failed)} failed, "
            f"median {median(times):.0f} ms, longest {max(times):.0f} ms"
        )

    def _work(self) -> None:
        while True:
            with self._turn:
                number, self._next = self._next, self._next + 1
            if self._over.wait(max(0.0, self._started + number / self._rate - time.monotonic())):
                return
            at = time.monotonic()
            email = self._address(number)
            answer = self._client.register(email)
            error = str(answer.body.get("error", "")) or str(answer.body.get("en", ""))
            request = Request(email=email, code=answer.code, error=error, seconds=answer.seconds, at=at)
            self.requests.append(request)
