"""The test SMTP server as a process of its own, out of reach of the test's GIL.

with SmtpProcess(tmp_path / "smtp.jsonl") as smtp:
    smtp.script.add(Rule(Stage.RCPT, Reply(451, "4.3.0 later"), every=3))
    …
    smtp.record.wait_for(100)
    smtp.stop()   # connections are refused; the process and its record stay
    smtp.start()
"""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.smtp import EXTENSIONS, SmtpServer
from tests.smtp_control import rule_to_json
from tests.smtp_events import from_line
from tests.smtp_record import Record
from tests.smtp_script import Rule

_ROOT = Path(__file__).parent.parent


class RemoteScript:
    """The script of a SmtpProcess; a rule is in force when `add` returns. No `when` and no gates."""

    def __init__(self, order: Callable[..., Any]) -> None:
        self._order = order
        self._numbers: dict[Rule, int] = {}

    def add(self, rule: Rule) -> Rule:
        """Put the rule after the others; returned for `remove`.

        Raises:
            ValueError: the rule cannot leave this process.
        """
        self._numbers[rule] = self._order("add", rule=rule_to_json(rule))
        return rule

    def remove(self, rule: Rule) -> None:
        """Take the rule out."""
        self._order("remove", rule=self._numbers.pop(rule))

    def clear(self) -> None:
        """Back to a server that accepts everything."""
        self._order("clear")


class SmtpProcess:
    """The server in another process, with the interface of SmtpServer; it ends with the test's process.

    `record` follows the other process, so ask it by `wait_for` and `wait_until`; the file holds the same.
    """

    host = SmtpServer.host

    def __init__(self, record_file: Path, *, port: int = 0, extensions: Sequence[str] = EXTENSIONS) -> None:
        self.port = port
        self.record = Record()
        self.script = RemoteScript(self._order)
        self._record_file = record_file
        self._extensions = extensions
        self._process: subprocess.Popen[str] | None = None
        self._follower: threading.Thread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the process; later: listen again after `stop`."""
        if self._process:
            self._order("start")
            return
        command = [sys.executable, "-m", "tests.smtp", "--attached", f"--port={self.port}"]
        command += [f"--record={self._record_file}", *(f"--extension={line}" for line in self._extensions)]
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        ready = self._process.stdout.readline()
        if not ready:
            self.close()
            raise OSError("the SMTP server did not start; it has said why")
        self._connect(**json.loads(ready))

    def stop(self) -> None:
        """Close the listening socket and every connection; the process stays."""
        self._order("stop")

    def reset(self) -> None:
        """No rules and an empty record; open connections and the record's file stay."""
        self.script.clear()
        self.record.clear()

    def close(self) -> None:
        """End the process; nothing happens when that was done."""
        if not self._process:
            return
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process = None
        if self._follower:
            self._follower.join()
            self._control.close()
            self._events.close()

    def _connect(self, port: int, control: int) -> None:
        self.port = port
        self._control, self._events = _Line((self.host, control)), _Line((self.host, control))
        self._follower = threading.Thread(target=self._follow, name="smtp-follower", daemon=True)
        self._follower.start()

    def _order(self, do: str, **arguments: Any) -> Any:
        with self._lock:
            answer = json.loads(self._control.ask({"do": do, **arguments}))
        if "error" in answer:
            raise RuntimeError(f"the SMTP server could not {do}: {answer['error']}")
        return answer["done"]

    def _follow(self) -> None:
        line = self._events.ask({"do": "follow"})
        while line.endswith("\n"):
            self.record.add(from_line(line))
            line = self._events.read()


class _Line:
    """A connection to the control port."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address)
        self._file = self._socket.makefile("rw", encoding="ascii")

    def ask(self, order: dict[str, Any]) -> str:
        """Send the order; the line that comes back."""
        self._file.write(json.dumps(order) + "\n")
        self._file.flush()
        return self.read()

    def read(self) -> str:
        """The next line; empty when the process has ended."""
        try:
            return self._file.readline()
        except ConnectionError:
            return ""

    def close(self) -> None:
        """Close both the file and the socket under it."""
        self._file.close()
        self._socket.close()
