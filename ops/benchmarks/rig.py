"""The servers that a benchmark measures on: PostgreSQL, Redis, and a provider that takes everything."""

import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import psycopg
import redis

from ops.dev.bootstrap import ROOT
from ops.dev.child import Child, Order
from ops.dev.place import HOST, clean_environment
from ops.dev.services import NotStartedError, last_lines
from ops.dev.stack import Stack, running_stack

RIVALS = "rivals"  # their database


class Helper:
    """A process of ours whose first line names its ports."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None  # noqa: S101  (told to mypy)
        self.ports: list[int] = json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Sink(Helper):
    """The provider; see sink.py."""

    def __init__(self, *, pipelining: bool = True) -> None:
        super().__init__("ops.benchmarks.sink", "0", *([] if pipelining else ["--no-pipelining"]))
        self._control = socket.create_connection((HOST, self.ports[1])).makefile("rw")

    @property
    def port(self) -> int:
        """Where it takes mail."""
        return self.ports[0]

    def ask(self, question: str) -> Any:  # noqa: ANN401  (JSON)
        """Say "count", "mails" or "reset"."""
        self._control.write(question + "\n")
        self._control.flush()
        return json.loads(self._control.readline())

    @property
    def count(self) -> int:
        """How many mails were taken since the reset."""
        return int(self.ask("count")["count"])


@dataclass
class Rig:
    """Running servers; `port` is where the provider seems to be (a proxy may stand before it)."""

    stack: Stack
    sink: Sink
    port: int = 0
    _secret: str = field(default_factory=lambda: secrets.token_urlsafe(40))

    def __post_init__(self) -> None:
        """The provider itself, unless somebody stands before it."""
        self.port = self.port or self.sink.port

    @property
    def rivals_url(self) -> str:
        """The database of the compared systems."""
        return self.stack.postgres.url.rpartition("/")[0] + f"/{RIVALS}"

    def environment(self, **more: str) -> dict[str, str]:
        """For our processes."""
        return clean_environment(
            SECRET_KEY=self._secret,
            ALLOWED_HOSTS="localhost,127.0.0.1",
            SECURE_SSL_REDIRECT="0",
            DATABASE_URL=self.stack.postgres.url,
            **self._shared(),
            **more,
        )

    def rivals_environment(self, app: str, **more: str) -> dict[str, str]:
        """For the processes of a compared system."""
        return clean_environment(
            DJANGO_SETTINGS_MODULE="ops.benchmarks.rivals.settings",
            BENCHMARK_APP=app,
            DATABASE_URL=self.rivals_url,
            **self._shared(),
            **more,
        )

    def _shared(self) -> dict[str, str]:
        return {
            "REDIS_URL": self.stack.redis.url,
            "EMAIL_HOST": HOST,
            "EMAIL_PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
        }

    def run(self, env: Mapping[str, str], *words: str) -> str:
        """Run `python …` to its end; what it printed.

        Raises:
            NotStartedError: it failed.
        """
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=dict(env), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotStartedError(f"{' '.join(words)} failed:\n{last_lines(done.stdout + done.stderr)}")
        return done.stdout

    def child(self, name: str, env: Mapping[str, str], *words: str) -> Child:
        """Start `python …` beside us."""
        log = self.stack.place.folder / f"{name}.log"
        child = Child(Order(argv=[sys.executable, *words], env=env, log=log, patience=20))
        child.start()
        return child

    def clear(self) -> None:
        """Forget every mail: tables, queues, and what the provider took."""
        for url in (self.stack.postgres.url, self.rivals_url):
            with psycopg.connect(url, autocommit=True) as connection:
                found = connection.execute(_MAIL_TABLES).fetchall()
                if found:
                    connection.execute(
                        b"TRUNCATE " + ", ".join(f'"{name}"' for (name,) in found).encode() + b" CASCADE"
                    )
                connection.execute(b"CHECKPOINT")
        redis.Redis.from_url(self.stack.redis.url).flushall()
        self.sink.ask("reset")

    def query(self, statement: str, *, url: str = "") -> list[tuple[Any, ...]]:
        """Ask our database, or the one named."""
        with psycopg.connect(url or self.stack.postgres.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


_MAIL_TABLES = b"""
SELECT tablename FROM pg_tables WHERE schemaname = 'public'
AND (tablename LIKE 'outbox%' OR tablename LIKE 'post_office_%' OR tablename LIKE 'mailer_%')
"""


@contextmanager
def running_rig(*, pipelining: bool = True) -> Iterator[Rig]:
    """The servers, with our tables made; all gone at the end."""
    with ExitStack() as ends:
        stack = ends.enter_context(running_stack(durable=True))
        sink = Sink(pipelining=pipelining)
        ends.callback(sink.stop)
        rig = Rig(stack, sink)
        rig.run(rig.environment(), "manage.py", "migrate", "-v", "0")
        rig.query(f'CREATE DATABASE "{RIVALS}"')
        yield rig


def cpu_seconds(roots: Sequence[int]) -> float:
    """What these processes and all below them have used so far, those that ended and were waited for included."""
    found = [process for pid in roots if psutil.pid_exists(pid) for process in _with_children(pid)]
    return sum(_used(process) for process in found)


def _with_children(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def memory_mb(pid: int) -> float:
    """What this process and all below it hold for themselves alone (USS)."""
    return float(sum(process.memory_full_info().uss for process in _with_children(pid)) / 2**20)
