"""The whole system under test: real servers and real processes, started, broken, repaired, and made calm again."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis

from ops.dev.bootstrap import ROOT
from ops.dev.place import HOST, clean_environment
from ops.dev.programs import Beat, Web
from ops.dev.services import NotStartedError, Service, wait_until
from ops.dev.stack import Stack, running_stack
from tests.acceptance.client import Client
from tests.acceptance.crew import Standby, Supervisor, Worker
from tests.smtp import AUTH, EXTENSIONS, Gate, Rule, SmtpServer, Stage

# What an outage takes is a matter of these; the rest are the defaults of production.
LEASE_S = 3
EMAIL_TIMEOUT_S = 2
ANSWER_TIMEOUT_S = 4
TIMES = {
    "OUTBOX_LEASE": f"{LEASE_S}s",
    "OUTBOX_BACKOFF": "1s",
    "OUTBOX_BACKOFF_FACTOR": "1.5",
    "OUTBOX_RETRIES": "9",  # random faults may hit one mail many times
    "OUTBOX_ANSWER_TIMEOUT": f"{ANSWER_TIMEOUT_S}s",
    "OUTBOX_DEADLINE": "10s",
    "EMAIL_TIMEOUT": f"{EMAIL_TIMEOUT_S}s",
}
# For a worker that waits for an answer as long as a test holds it back.
PATIENT = {"OUTBOX_ANSWER_TIMEOUT": "60s", "OUTBOX_DEADLINE": "120s"}
PROMPT_S = LEASE_S + EMAIL_TIMEOUT_S + 5  # how soon everything is out once nothing stands in the way
_START_S = 60
_OUR_TABLES = """
SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^(outbox|auth_api|knox)_'
"""


@dataclass(slots=True, kw_only=True)
class Rig:
    """Everything that runs. All methods are for the main thread: the system ends a child with its starter."""

    stack: Stack
    smtp: SmtpServer
    env: dict[str, str]
    web: Web
    worker: Worker
    beat: Beat
    supervisor: Supervisor = field(default_factory=Supervisor)
    gates: list[Gate] = field(default_factory=list)
    _read: dict[Path, int] = field(default_factory=dict)

    @property
    def client(self) -> Client:
        """A caller of the REST API."""
        return Client(HOST, self.web.port)

    @property
    def logs(self) -> Path:
        """The folder where every process writes its log."""
        return self.stack.place.folder

    # What tests ask

    def rows(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """The answer of the database, over a connection of its own."""
        with psycopg.connect(self.stack.postgres.url, autocommit=True, connect_timeout=3) as connection:
            cursor = connection.execute(statement.encode(), params or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *params: object) -> Any:
        """The first value of the answer.

        Raises:
            IndexError: there is none.
        """
        return self.rows(statement, *params)[0][0]

    def redis(self) -> "redis.Redis":
        """A client of the broker."""
        return redis.Redis(host=HOST, port=self.stack.redis.port, socket_timeout=3)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 20) -> None:
        """Wait for the condition; meanwhile the supervisor restarts what ended.

        Raises:
            AssertionError: it does not hold when the time is over.
        """

        def holds() -> object:
            self.supervisor.revive()
            return condition()

        if not wait_until(holds, seconds, every=0.05):
            raise AssertionError(f"not within {seconds:g} s: {what}; the SMTP server has {self.smtp.record.summary()}")

    def watch(self, seconds: float) -> None:
        """Let time pass while the supervisor works."""
        wait_until(self.supervisor.revive, seconds, every=0.05)

    def pause(self, seconds: float) -> None:
        """Let time pass in which nobody restarts anything."""
        wait_until(lambda: False, seconds)

    def state(self, task_id: str) -> str:
        """Where the mail stands."""
        return str(self.one("SELECT state FROM outbox_intent WHERE task_id = %s", task_id))

    def wait_sent(self, task_id: str, seconds: float = 20) -> None:
        """Wait until the row says `sent`."""
        self.wait(lambda: self.state(task_id) == "sent", "the row says sent", seconds)

    def logged(self) -> str:
        """What the project's processes wrote since the test began."""
        return "".join(
            path.read_bytes()[self._read.get(path, 0) :].decode("utf-8", "replace") for path in self.logs.glob("*.log")
        )

    def gate(self, recipient: str | None = None) -> Gate:
        """Hold the answers to the final dot (for this recipient) until it is released."""
        gate = Gate()
        self.gates.append(gate)
        self.smtp.script.add(Rule(Stage.ANSWER, gate=gate, recipient=recipient))
        return gate

    def manage(self, *words: str, seconds: float = 60, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run `manage.py` to its end."""
        return self.python("manage.py", *words, seconds=seconds, **env)

    def python(self, *words: str, seconds: float = 60, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run Python with these words to its end, in the project's folder and with the system's environment."""
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=ROOT, env={**self.env, **env}, capture_output=True, text=True, timeout=seconds, check=False
        )

    # What tests break

    def end(self, program: Service) -> None:
        """Kill the program with all that it started, as a machine does that loses power; it is restarted."""
        if program.child and program.child.is_running:
            with suppress(ProcessLookupError):
                os.killpg(program.child.pid, signal.SIGKILL)  # its session, and so its group, began with it
            program.child.wait(10)

    def add(self, *programs: Service) -> None:
        """Start more programs, which last until the test ends."""
        for program in programs:
            program.begin()
            self.supervisor.programs.append(program)
        for program in programs:
            program.finish()

    def retire(self, *programs: Service) -> None:
        """Stop programs until the test ends; nobody restarts them."""
        for program in programs:
            self.supervisor.programs.remove(program)
            program.stop()

    def extra_worker(self, name: str, queues: str = "outbox,email", **env: str) -> Worker:
        """One more worker, not started."""
        return Worker({**self.env, **env}, self.logs, self.stack.redis, name=name, queues=queues)

    def standby(self) -> Standby:
        """The standby, not started."""
        return Standby(self.env, self.logs)

    def start_postgres(self) -> None:
        """Start PostgreSQL again; after a crash the orphaned backends of the old one leave first."""
        for _ in range(20):
            try:
                self.stack.postgres.start()
            except NotStartedError:
                time.sleep(0.3)
            else:
                return
        raise AssertionError("PostgreSQL does not start again")

    # What makes it calm again

    def calm(self) -> None:
        """All up, all idle, all empty: as if the last test had not been."""
        self.smtp.script.clear()
        for gate in self.gates:
            gate.release()
        self.gates.clear()
        if "lanes_lowered" in self.logged():  # it would go on with fewer lanes for half a minute
            self.worker.stop()
        self._restore_servers()
        self.smtp.stop()  # ends kept connections
        self.smtp.start()
        self._restore_programs()
        self._empty()
        self.smtp.record.clear()
        self._read = {path: path.stat().st_size for path in self.logs.glob("*.log")}

    def _restore_servers(self) -> None:
        for server in (self.stack.postgres, self.stack.redis):
            server.resume()
        if not (self.stack.postgres.child and self.stack.postgres.child.is_running):
            self.start_postgres()
        if not (self.stack.redis.child and self.stack.redis.child.is_running):
            self.stack.redis.start()

    def _restore_programs(self) -> None:
        own = (self.web, self.worker, self.beat)
        for program in self.supervisor.programs:
            if program not in own:
                program.stop()
        self.supervisor.programs[:] = own
        for program in own:
            program.resume()
            if not (program.child and program.child.is_running):
                program.begin()
        self.wait(lambda: all(program._is_ready() for program in own), "all are ready", _START_S)

    def _empty(self) -> None:
        """Empty tables and queues; nothing may be under way then, for a sender never forgets what it sent."""

        def nothing_held() -> bool:
            self.rows(
                "DELETE FROM outbox_intent WHERE state = 'pending' AND NOT EXISTS (SELECT FROM outbox_attempt"
                " WHERE intent_id = outbox_intent.id)"
            )
            self.rows(
                "DELETE FROM outbox_attempt WHERE intent_id IN (SELECT id FROM outbox_intent WHERE state = 'pending')"
            )
            return not self.one("SELECT count(*) FROM outbox_intent WHERE state IN ('pending','claimed','sending')")

        self.wait(nothing_held, "nothing is under way", _START_S)
        self.redis().delete("outbox", "email")
        tables = [row[0] for row in self.rows(_OUR_TABLES)]
        self.wait(lambda: self._truncated(tables), "the tables are empty", _START_S)

    def _truncated(self, tables: list[str]) -> bool:
        """False when a process that read just then and we waited for each other: the next try finds it gone."""
        try:
            self.rows(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")
        except psycopg.errors.DeadlockDetected:
            return False
        return True


@contextmanager
def running_rig() -> Iterator[Rig]:
    """The system, up inside the block; at its end all of it is gone."""
    with ExitStack() as ends:
        stack = ends.enter_context(running_stack())
        # The stack may forget what was committed just before a crash; a test of crashes may not.
        with psycopg.connect(stack.postgres.url, autocommit=True) as connection:
            connection.execute("ALTER DATABASE outbox SET synchronous_commit TO on")
        smtp = ends.enter_context(SmtpServer(extensions=(*EXTENSIONS, AUTH)))
        rig = _assembled(stack, smtp)
        ends.callback(rig.supervisor.stop)
        migrated = rig.manage("migrate", "--verbosity", "0")
        assert migrated.returncode == 0, migrated.stderr
        rig.add(rig.web, rig.worker, rig.beat)
        yield rig


def _assembled(stack: Stack, smtp: SmtpServer) -> Rig:
    env = environment(stack, smtp)
    folder = stack.place.folder
    return Rig(
        stack=stack,
        smtp=smtp,
        env=env,
        web=Web(env, folder),
        worker=Worker(env, folder, stack.redis),
        beat=Beat(env, folder, stack.redis),
    )


def environment(stack: Stack, smtp: SmtpServer) -> dict[str, str]:
    """What the project's processes are told."""
    return clean_environment(
        DJANGO_SETTINGS_MODULE="tests.settings",  # the project's, with a cheap password hasher
        SECRET_KEY=secrets.token_urlsafe(50),
        DEBUG="0",
        ALLOWED_HOSTS=HOST,
        SECURE_SSL_REDIRECT="0",
        DATABASE_URL=stack.postgres.url,
        REDIS_URL=stack.redis.url,
        EMAIL_HOST=smtp.host,
        EMAIL_PORT=str(smtp.port),
        EMAIL_HOST_USER="mailer",
        EMAIL_HOST_PASSWORD="any-password-passes",
        DEFAULT_FROM_EMAIL="Accounts <noreply@example.com>",
        PYTHONUNBUFFERED="1",
        **TIMES,
    )
