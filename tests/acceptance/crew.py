"""The project's processes beyond those of the demo, and a supervisor that restarts what ends."""

import time
from collections.abc import Mapping
from pathlib import Path

from ops.dev import programs
from ops.dev.services import Service
from ops.dev.stack import Redis

_RESTART_AFTER_S = 1.0  # as systemd's RestartSec and supervisor's startsecs


class Worker(programs.Worker):
    """A Celery worker with a name and queues of its own, so that several run beside each other."""

    def __init__(
        self, env: Mapping[str, str], logs: Path, broker: Redis, *, name: str = "worker", queues: str = "outbox,email"
    ) -> None:
        super().__init__(env, logs, broker)
        self.name, self._queues = name, queues

    def _argv(self) -> list[str]:
        size = ["-c", "2", "--loglevel", "INFO"]
        return ["celery", "-A", "core", "worker", "-n", f"{self.name}@%h", "-Q", self._queues, *size]

    def _is_ready(self) -> bool:
        return super()._is_ready() and self.child is not None and " ready." in self.child.output()


class Beat(programs.Beat):
    """One more beat; it is ready when it runs, since one of two waits for the other's lock."""

    name = "beat-2"

    def _is_ready(self) -> bool:
        return self.child is not None and "is starting" in self.child.output()


class Standby(programs.Program):
    """The sender's loop that needs PostgreSQL alone."""

    name = "standby"

    def _argv(self) -> list[str]:
        return ["manage", "outbox_standby"]

    def _is_ready(self) -> bool:
        return self.child is not None and "standby:" in self.child.output()


class Supervisor:
    """Restarts what ended, a second later and as often as it takes; nobody else does. Call `revive` often."""

    def __init__(self) -> None:
        self.programs: list[Service] = []
        self._down_since: dict[Service, float] = {}

    def revive(self) -> None:
        """Begin again what has been down for long enough, without waiting for it."""
        for program in self.programs:
            if program.child and not program.child.is_running:
                since = self._down_since.setdefault(program, time.monotonic())
                if time.monotonic() - since >= _RESTART_AFTER_S:
                    del self._down_since[program]
                    program.begin()

    def stop(self) -> None:
        """End all: ask every one, then wait for each."""
        for program in self.programs:
            if program.child:
                program.child.ask_to_stop()
        for program in reversed(self.programs):
            program.stop()
