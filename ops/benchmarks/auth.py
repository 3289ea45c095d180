"""Does the time of an answer tell whether an address has an account?

`python -m ops.benchmarks.auth`: exit code 0 if the medians of login and of reset differ by less than 10 % between
addresses with and without an account. Everything is the project's own: gunicorn with the real password hasher,
PostgreSQL and Redis. Each address is asked about once, in turns with one of the other sort, so that whatever else the
machine does meets both alike; each question comes from a client of its own, as limits want it.
"""

import argparse
import json
import secrets
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import track

from ops.dev.bootstrap import ROOT
from ops.dev.place import HOST, clean_environment
from ops.dev.programs import Web
from ops.dev.site import Answer, Site
from ops.dev.stack import Stack, running_stack

_MOST = 0.10
_PASSWORD, _WRONG = secrets.token_urlsafe(20), secrets.token_urlsafe(20)
_CLIENTS = count()

Ask = Callable[[Site, str], Answer]


def main() -> int:
    """Measure, print JSON, and say whether the promise holds."""
    parser = argparse.ArgumentParser(description="Compare login and reset for known and unknown addresses.")
    parser.add_argument("--addresses", type=int, default=200, help="of each sort (200)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result there too")
    chosen = parser.parse_args()
    with _running_web() as web:
        _register(web, chosen.addresses)
        found = {name: _compare(web, name, ask, chosen.addresses) for name, ask in _QUESTIONS.items()}
    result = json.dumps(found, indent=2)
    print(result)
    if chosen.json:
        chosen.json.write_text(f"{result}\n", encoding="utf-8")
    holds = all(abs(figures["ratio"] - 1) < _MOST for figures in found.values())
    print(f"Less than {_MOST:.0%} apart: {'yes' if holds else 'no'}.")
    return 0 if holds else 1


def _log_in(site: Site, address: str) -> Answer:
    return site.post("/api/auth/login/", email=address, password=_WRONG)


def _reset(site: Site, address: str) -> Answer:
    return site.post("/api/auth/password/reset/", email=address)


_QUESTIONS: dict[str, tuple[Ask, int]] = {"login": (_log_in, 401), "reset": (_reset, 202)}


def _compare(web: Web, name: str, question: tuple[Ask, int], addresses: int) -> dict[str, float]:
    """The median milliseconds of both sorts, and their ratio."""
    taken: dict[str, list[float]] = {"known": [], "unknown": []}
    for number in _shown(addresses, name):
        for sort in sorted(taken, reverse=number % 2 == 0):  # each goes first as often as the other
            taken[sort].append(_seconds(web, question, f"{sort}-{number}@example.com"))
    known, unknown = (statistics.median(taken[sort]) * 1000 for sort in ("known", "unknown"))
    figures = {"addresses": addresses, "known_ms": known, "unknown_ms": unknown, "ratio": known / unknown}
    return {figure: round(value, 3) for figure, value in figures.items()}


def _seconds(web: Web, question: tuple[Ask, int], address: str) -> float:
    ask, expected = question
    answer = ask(_somebody(web), address)
    if answer.code != expected:
        raise SystemExit(f"{address}: {answer.code} instead of {expected}: {answer.body}")
    return answer.seconds


def _register(web: Web, addresses: int) -> None:
    for number in _shown(addresses, "register"):
        body = {"email": f"known-{number}@example.com", "password": _PASSWORD, "password_confirm": _PASSWORD}
        answer = _somebody(web).post("/api/auth/register/", name="Omar", **body)
        if answer.code != 201:  # noqa: PLR2004 - HTTP's number
            raise SystemExit(f"register: {answer.code}: {answer.body}")


def _shown(addresses: int, what: str) -> Iterator[int]:
    yield from track(range(addresses), what, console=Console(stderr=True))


def _somebody(web: Web) -> Site:
    number = next(_CLIENTS)
    client = f"198.18.{number // 256}.{number % 256}"  # RFC 2544's range for such tests
    return Site(f"http://{HOST}:{web.port}", {"X-Forwarded-For": client})


@contextmanager
def _running_web() -> Iterator[Web]:
    with running_stack() as stack:
        env = _environment(stack)
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True)
        web = Web(env, stack.place.folder)
        try:
            web.start()
            yield web
        finally:
            web.stop()


def _environment(stack: Stack) -> dict[str, str]:
    return clean_environment(
        SECRET_KEY=secrets.token_urlsafe(50),
        ALLOWED_HOSTS=HOST,
        SECURE_SSL_REDIRECT="0",
        TRUSTED_PROXIES="1",
        DATABASE_URL=stack.postgres.url,
        REDIS_URL=stack.redis.url,
    )


if __name__ == "__main__":
    sys.exit(main())
