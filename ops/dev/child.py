"""One process that we started: it dies with us, and is ended by its own pid, gently at first."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ops.dev import interrupts
from ops.dev.bootstrap import ROOT

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux; elsewhere a child may outlive a parent that is killed


@dataclass(frozen=True, slots=True)
class Account:
    """The user a child runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How to start a child, and how to end it: `patience` is how many seconds it gets after `stop_signal`."""

    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path | None = None  # None: what it prints goes where ours goes
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 10


class Child:
    """A process made from an order; it can be started again after it ended."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_begin = 0

    @property
    def pid(self) -> int:
        """The process id; 0 when it was never started or was stopped."""
        return self._popen.pid if self._popen else 0

    @property
    def is_running(self) -> bool:
        """Whether the process exists and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the process in a session of its own: a Ctrl-C in the terminal reaches us, not it.

        Call it from the main thread: the system ends a child with the thread that started it.
        """
        order, account, log = self._order, self._order.account, None
        if order.log:
            log = order.log.open("ab")
            self._log_begin = log.tell()
        with interrupts.held():
            self._popen = subprocess.Popen(
                order.argv,
                env=dict(order.env),
                cwd="/" if account else ROOT,  # the account may not be able to enter the project
                stdin=subprocess.DEVNULL if log else None,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_dying_with(os.getpid(), order.stop_signal),  # noqa: PLW1509 we have no threads
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        if log:
            log.close()

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end and return its exit code; None if it still runs after that many seconds."""
        if self._popen is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            return self._popen.wait(seconds)
        return None

    def ask_to_stop(self) -> None:
        """Send the gentle signal, and wake a process that was paused, or it would never see it."""
        self._signal(self._order.stop_signal)
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it: gently, then surely. Without effect on one that is not there."""
        if self._popen is None:
            return
        self.ask_to_stop()
        self.wait(self._order.patience)
        self.kill()

    def kill(self) -> None:
        """End it now, as a crash would, with whatever it started in its own process group."""
        if self._popen is None:
            return
        self._signal(signal.SIGKILL)
        self._popen.wait()
        # Its session began with it, so the group of that number holds nothing but its descendants.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen = None

    def pause(self) -> None:
        """Let it hang (SIGSTOP): connections are still accepted by the kernel, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def output(self) -> str:
        """What it wrote to its log since its last start."""
        if not self._order.log or not self._order.log.exists():
            return ""
        with self._order.log.open("rb") as log:
            log.seek(self._log_begin)
            return log.read().decode("utf-8", "replace")

    def _signal(self, signum: signal.Signals) -> None:
        if self._popen is not None:
            self._popen.send_signal(signum)  # does nothing once it has ended: the pid may be another's by then


def _dying_with(parent: int, signum: signal.Signals) -> Callable[[], None]:
    """What the child does between fork and exec, after it took the account (which would undo it)."""

    def ask() -> None:
        # A shell's background job ignores SIGINT, and so would all it starts: ours must hear what ends them.
        for heard in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(heard, signal.SIG_DFL)
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
            if os.getppid() != parent:  # it died before we could ask
                os._exit(1)

    return ask


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that `end_orphans` finds them (Linux)."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans(seconds: float = 5) -> int:
    """End what descends from us and is left, and return how many; call it when every child was stopped."""
    ended = 0
    give_up = time.monotonic() + seconds
    while (left := _children(os.getpid())) and time.monotonic() < give_up:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
                ended += 1
    return ended


def _children(parent: int) -> list[int]:
    """Who has that parent, zombies included, by /proc; nobody where there is none."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (name) state ppid …; the name may hold spaces and brackets of its own
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
    return found
