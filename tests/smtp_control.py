"""The test SMTP server as a program: its record as a file, its script by a control port.

`python -m tests.smtp --port 2525 --record FILE --control 2526`; then lines of JSON on the control port:
`{"do": "start"}`, `{"do": "stop"}`, `{"do": "add", "rule": {"stage": "mail", "effect": {"is": "Reply",
"code": 421}}}` (answers with its number), `{"do": "remove", "rule": 1}`, `{"do": "clear"}`.
`{"do": "follow"}` turns the line into a stream of all events, which are the lines of the record.
"""

import argparse
import json
import signal
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.smtp import EXTENSIONS, SmtpServer
from tests.smtp_events import Event, to_line
from tests.smtp_record import Record
from tests.smtp_script import AcceptThenDrop, Drop, Hang, Reply, Rule, Stage

_EFFECTS: dict[str, Callable[..., Reply | Drop | AcceptThenDrop | Hang]] = {
    effect.__name__: effect for effect in (Reply, Drop, AcceptThenDrop, Hang)
}
_LOCAL = ("when", "gate")  # what cannot leave the process


def rule_to_json(rule: Rule) -> dict[str, Any]:
    """The rule as `rule_from_json` reads it.

    Raises:
        ValueError: it has a `when` or a gate, which work within one process only.
    """
    plain = {each.name: getattr(rule, each.name) for each in fields(rule) if each.init}
    if any(plain.pop(name) for name in _LOCAL) or getattr(rule.effect, "gate", None):
        raise ValueError("`when` and gates work with SmtpServer only: they cannot be told to another process")
    if effect := plain.pop("effect"):
        values = {each.name: getattr(effect, each.name) for each in fields(effect) if each.name != "gate"}
        plain["effect"] = {"is": type(effect).__name__, **values}
    return plain


def rule_from_json(plain: dict[str, Any]) -> Rule:
    """A rule out of its JSON; only the stage is required."""
    effect = plain.pop("effect", None)
    made = _EFFECTS[effect.pop("is")](**effect) if effect else None
    return Rule(Stage(plain.pop("stage")), made, **plain)


class _Journal:
    """Writes each event to the file before anybody is answered, and tells those who follow."""

    def __init__(self, path: Path, record: Record) -> None:
        self._path = path
        self._file = path.open("w", encoding="ascii", buffering=1)  # line by line: a kill loses nothing
        self._record = record
        self._followers: list[SimpleQueue[str]] = []
        record.listen(self._write)

    def follow(self) -> Iterator[str]:
        """Everything so far and everything to come, without end."""
        lines: SimpleQueue[str] = SimpleQueue()
        with self._record.lock():
            past = self._path.read_text(encoding="ascii")
            self._followers.append(lines)
        yield past
        while True:
            waiting = [lines.get()]
            while not lines.empty():
                waiting.append(lines.get())
            yield "".join(waiting)

    def _write(self, event: Event) -> None:
        line = to_line(event)
        self._file.write(line)
        for follower in self._followers:
            follower.put(line)


class _Control(socketserver.ThreadingTCPServer):
    """The control port: who sends a line gets one back."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, smtp: SmtpServer, journal: _Journal) -> None:
        self.journal = journal
        self._smtp = smtp
        self._rules: dict[int, Rule] = {}
        super().__init__((smtp.host, port), _ControlLine)

    def obey(self, order: dict[str, Any]) -> object:
        """Do what the line says; the answer is told."""
        match order:
            case {"do": "start"}:
                self._smtp.start()
            case {"do": "stop"}:
                self._smtp.stop()
            case {"do": "add", "rule": rule}:
                number = len(self._rules) + 1
                self._rules[number] = self._smtp.script.add(rule_from_json(rule))
                return number
            case {"do": "remove", "rule": number}:
                self._smtp.script.remove(self._rules[number])
            case {"do": "clear"}:
                self._smtp.script.clear()
            case _:
                raise ValueError("unknown order")
        return None


class _ControlLine(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Control)
        with suppress(ConnectionError):  # whoever followed has left
            for line in self.rfile:
                for answer in self._answers(self.server, line):
                    self.wfile.write(answer.encode())

    def _answers(self, control: _Control, line: bytes) -> Iterator[str]:
        try:
            order = json.loads(line)
            if order == {"do": "follow"}:
                yield from control.journal.follow()
            yield json.dumps({"done": control.obey(order)}) + "\n"
        except Exception as error:  # noqa: BLE001 — told to whoever gave the order
            yield json.dumps({"error": repr(error)}) + "\n"


def main() -> None:
    """Serve until SIGTERM, or with --attached until standard input ends; tell the ports in a line of JSON."""
    arguments = _arguments()
    smtp = SmtpServer(
        port=arguments.port,
        extensions=arguments.extension or EXTENSIONS,
        credentials=(arguments.user, arguments.password) if arguments.user else None,
    )
    journal = _Journal(arguments.record, smtp.record)
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: sys.exit(0))
    try:
        with _Control(arguments.control, smtp, journal) as control, smtp:
            _serve(control, smtp.port, attached=arguments.attached)
    except OSError as error:
        sys.exit(f"cannot listen on port {arguments.port} and control port {arguments.control}: {error}")


def _serve(control: _Control, port: int, *, attached: bool) -> None:
    threading.Thread(target=control.serve_forever, daemon=True).start()
    try:
        sys.stdout.write(json.dumps({"port": port, "control": control.server_address[1]}) + "\n")
        sys.stdout.flush()
        if attached:
            sys.stdin.read()
        else:
            signal.pause()
    finally:
        control.shutdown()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.smtp", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="where to listen; a free port without")
    parser.add_argument("--record", type=Path, required=True, help="file for the record, written anew")
    parser.add_argument("--control", type=int, default=0, help="the control port; a free one without")
    parser.add_argument("--extension", action="append", help="a line of EHLO instead of the usual ones")
    parser.add_argument("--user", help="the only user who may log in and mail")
    parser.add_argument("--password", default="")
    parser.add_argument("--attached", action="store_true", help="end when standard input does")
    return parser.parse_args()
