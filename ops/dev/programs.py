"""The project's own processes, started as on a real machine, and restarted as by a supervisor."""

import sys
import time
import urllib.error
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import redis

from ops.dev.child import Child, Order
from ops.dev.place import HOST
from ops.dev.services import NotStartedError, Server, Service, last_lines
from ops.dev.site import Site
from ops.dev.stack import Redis

_RESTART_AFTER = 1.0  # seconds, like the supervisor's startsecs and systemd's RestartSec
_RESTARTS = 10


class Program(Service):
    """A process of the project; `argv` is what follows `python -m`."""

    def __init__(self, env: Mapping[str, str], logs: Path) -> None:
        super().__init__()
        self._env, self._logs = env, logs

    def _argv(self) -> list[str]:
        raise NotImplementedError

    def _make_child(self) -> Child:
        log = self._logs / f"{self.name}.log"
        return Child(Order(argv=[sys.executable, "-m", *self._argv()], env=self._env, log=log, patience=15))


class Web(Program, Server):
    """gunicorn; its control socket would lie in the home folder, and is switched off."""

    name = "web"

    @property
    def site(self) -> Site:
        """A client of it."""
        return Site(f"http://{HOST}:{self.port}")

    def _argv(self) -> list[str]:
        size = ["--workers", "2", "--threads", "4", "--graceful-timeout", "5", "--no-control-socket"]
        return ["gunicorn", "core.wsgi", "--bind", f"{HOST}:{self.port}", *size]

    def _is_ready(self) -> bool:
        return _answers(self.site, "/healthz")


class Worker(Program):
    """One Celery worker for both queues."""

    name = "worker"

    def __init__(self, env: Mapping[str, str], logs: Path, broker: Redis) -> None:
        super().__init__(env, logs)
        self._broker = broker

    def _argv(self) -> list[str]:
        return ["celery", "-A", "core", "worker", "-Q", "outbox,email", "-c", "2", "--loglevel", "INFO"]

    def _is_ready(self) -> bool:
        """Somebody waits for tasks; what workers log about it is a matter of taste."""
        try:
            return any(client["cmd"] == "brpop" for client in self._broker.clients())
        except redis.RedisError:
            return False


class Beat(Program):
    """Celery beat with RedBeat's schedule. It ends when it lost its lock, and wants to be restarted."""

    name = "beat"

    def __init__(self, env: Mapping[str, str], logs: Path, broker: Redis) -> None:
        super().__init__(env, logs)
        self._broker = broker

    def _argv(self) -> list[str]:
        return ["celery", "-A", "core", "beat", "--loglevel", "INFO"]

    def _is_ready(self) -> bool:
        """Its schedule is in Redis."""
        try:
            return self._broker.has_key("redbeat*")
        except redis.RedisError:
            return False


class Flower(Program, Server):
    """The page over Celery's workers and tasks."""

    name = "flower"

    @property
    def url(self) -> str:
        """Where to look."""
        return f"http://{HOST}:{self.port}/"

    def _argv(self) -> list[str]:
        return ["celery", "-A", "core", "flower", f"--address={HOST}", f"--port={self.port}"]

    def _is_ready(self) -> bool:
        return _answers(Site(self.url), "")


def _answers(site: Site, path: str) -> bool:
    try:
        return site.get(path).code < 500  # noqa: PLR2004 any answer but a server's failure
    except (OSError, urllib.error.URLError, ValueError):
        return False


class Keeper:
    """Starts programs side by side, restarts those that end, and stops all together."""

    def __init__(self) -> None:
        self._programs: list[Service] = []
        self._down_since: dict[Service, float] = {}
        self._restarts: Counter[Service] = Counter()

    def start(self, *programs: Service) -> None:
        """Return when all are ready.

        Raises:
            NotStartedError: one is not.
        """
        self._programs += programs
        for program in programs:
            program.begin()
        for program in programs:
            program.finish()

    def revive(self) -> None:
        """Restart what has ended for long enough. Call it often: nobody else looks.

        Raises:
            NotStartedError: a program ends again and again.
        """
        for program in self._programs:
            if program.child and not program.child.is_running:
                self._restart(program, program.child)

    def _restart(self, program: Service, child: Child) -> None:
        if self._restarts[program] >= _RESTARTS:
            raise NotStartedError(f"{program.name} ends again and again:\n{last_lines(child.output())}")
        down_since = self._down_since.setdefault(program, time.monotonic())
        if time.monotonic() - down_since >= _RESTART_AFTER:
            del self._down_since[program]
            self._restarts[program] += 1
            program.begin()

    def stop(self) -> None:
        """End all: first ask every one, then wait for each."""
        for program in self._programs:
            if program.child:
                program.child.ask_to_stop()
        for program in reversed(self._programs):
            program.stop()

    def last_words(self) -> str:
        """The ends of the logs, for somebody who wants to know why."""
        return "\n".join(
            f"  The log of {program.name} ends:\n{last_lines(program.child.output(), 12)}"
            for program in self._programs
            if program.child
        )
