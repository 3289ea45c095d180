"""The shipped configuration under a real supervisord: it starts everything, mail is sent, and its end loses none."""

import re
import shlex
import subprocess
import sys
import urllib.error
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from ops.dev.bootstrap import ROOT
from ops.dev.child import Child, Order
from ops.dev.place import HOST, free_port
from ops.dev.services import wait_until
from ops.dev.stack import Stack, running_stack
from tests.acceptance.client import Client
from tests.acceptance.rig import PATIENT, environment
from tests.smtp import AUTH, EXTENSIONS, Gate, Rule, SmtpServer, Stage

_SHIPPED = ROOT / "ops" / "supervisor" / "outbox.conf"
_AROUND = """
[supervisord]
nodaemon=true
user={user}
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
[unix_http_server]
file={folder}/s
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/s
[include]
files={folder}/outbox.conf
"""


@dataclass(frozen=True, slots=True)
class Site:
    """What supervisord runs, and what it needs."""

    folder: Path
    env: dict[str, str]
    stack: Stack
    smtp: SmtpServer
    child: Child
    web: int
    flower: int

    def rows(self, statement: bytes) -> list[tuple[str, int]]:
        with psycopg.connect(self.stack.postgres.url, autocommit=True) as connection:
            return [(str(name), int(number)) for name, number in connection.execute(statement)]

    def states(self) -> dict[str, int]:
        return dict(self.rows(b"SELECT state, count(*) FROM outbox_intent GROUP BY state"))

    def accepted(self) -> Counter[str]:
        """How often the provider took a mail, by recipient."""
        return Counter(mail.recipients[0] for mail in self.smtp.record.messages)

    @contextmanager
    def next_one(self) -> Iterator[None]:
        """A process that goes on where the others ended."""
        child = Child(Order(argv=[sys.executable, "manage.py", "outbox_standby"], env=self.env, log=self.folder / "1"))
        child.start()
        try:
            yield
        finally:
            child.stop()

    def running(self) -> list[str]:
        """The names of the programs that run, as supervisorctl tells."""
        ctl = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisorctl", "-c", str(self.folder / "main.conf")]
        told = subprocess.run([*ctl, "status"], capture_output=True, text=True, timeout=30, check=False).stdout
        return sorted(re.findall(r"^outbox:(\w+) +RUNNING", told, re.MULTILINE))

    def logged(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))


def shipped(changes: dict[str, str]) -> str:
    """The configuration with what is another place here; everything else stays as it is."""
    text = _SHIPPED.read_text()
    for theirs, ours in changes.items():
        assert theirs in text, f"{theirs!r} is no longer in {_SHIPPED}"
        text = text.replace(theirs, ours)
    return text


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """All processes of the shipped configuration, started by supervisord on servers of their own."""
    folder = tmp_path_factory.mktemp("s")
    with running_stack() as stack, SmtpServer(extensions=(*EXTENSIONS, AUTH)) as smtp:
        env = {**environment(stack, smtp), **PATIENT, "FLOWER_BASIC_AUTH": "olga:a-word"}
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=env, check=True)
        (folder / "env").write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in env.items()))
        web, flower = free_port(), free_port()
        changes = {
            "directory=/srv/outbox": f"directory={ROOT}",
            "exec .venv/bin/python": f"exec {sys.executable}",
            "/etc/outbox/env": f"{folder}/env",
            "/var/log/outbox/": f"{folder}/",
            "user=outbox\n": "",
            "127.0.0.1:8000": f"{HOST}:{web}",
            "--port=5555": f"--port={flower}",
        }
        (folder / "outbox.conf").write_text(shipped(changes))
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        (folder / "main.conf").write_text(_AROUND.format(folder=folder, user=user))
        words = [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder / "main.conf")]
        child = Child(Order(argv=words, env=env, log=folder / "out.log", patience=60))
        child.start()
        try:
            yield Site(folder, env, stack, smtp, child, web, flower)
        finally:
            child.stop()


def opened(address: str) -> int:
    """The status of the answer; 0 when nobody answers."""
    try:
        with urlopen(address, timeout=5) as answer:  # noqa: S310  (ours)
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code
    except OSError:
        return 0


def test_supervisord_starts_everything_sends_mail_and_its_end_loses_none(site: Site):
    client, gate = Client(HOST, site.web), Gate()
    assert wait_until(lambda: opened(f"http://{HOST}:{site.web}/readyz") == 200, 30), site.logged()
    assert client.register("first@example.com").code == 201
    assert wait_until(lambda: site.states() == {"sent": 1}, 30), site.logged()
    assert wait_until(lambda: opened(f"http://{HOST}:{site.flower}/api/workers") == 401, 30), site.logged()
    assert wait_until(lambda: site.running() == ["beat", "flower", "standby", "web", "worker"], 20, 0.3), site.logged()

    site.smtp.script.add(Rule(Stage.ANSWER, gate=gate, recipient="held@example.com"))
    for name in ("held", *(f"many{number}" for number in range(20))):
        assert client.register(f"{name}@example.com").code == 201
    gate.wait_arrived()
    site.child.ask_to_stop()
    assert wait_until(lambda: client.get("/healthz").code == 0, 20), "web has not ended"
    gate.release()
    assert site.child.wait(60) == 0, site.logged()
    assert "SIGKILL" not in (site.folder / "supervisord.log").read_text()
    # What was in flight is recorded; what waited in the broker is taken back by whoever comes next.
    assert set(site.states()) <= {"sent", "pending", "claimed"}
    assert site.accepted()["held@example.com"] == 1
    with site.next_one():
        assert wait_until(lambda: site.states() == {"sent": 22}, 30), site.logged()
    assert sorted(site.accepted().values()) == [1] * 22
