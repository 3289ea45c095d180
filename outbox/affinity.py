"""Keeps the threads of a busy process on one CPU for a while.

One lock lets one of them run Python at a time. Spread over several CPUs they hand it to and fro between these, and a
quarter of all time went into waking one and waiting for the other (perf; 16 lanes, two processes, two CPUs: 40 % more
mails a second on one each). It is for a slice at most, and rather the CPU where the system has put the process just
before. Each locks its CPU, for the system puts two busy processes on the same one now and then, and could not part them
(8 runs of each with 8 lanes: a fifth more mails with the lock than without).
"""

import ctypes
import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress

_CPU = "/sys/devices/system/cpu/cpu{}"  # a folder; any process may lock it (flock), and its end unlocks it


class OneCpu:
    """One per process; does nothing where the system cannot (macOS), may not, has one CPU or none that is free."""

    def __init__(self) -> None:
        """What is allowed now is what `release` goes back to."""
        self._allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        self._lock: int | None = None

    def hold(self, threads: Iterable[int]) -> None:
        """Keep this thread and those, by their native ids, on one CPU; rather where this one runs now."""
        if self._lock is not None or len(self._allowed) < 2:  # noqa: PLR2004  (nothing to choose from)
            return
        current = _current()
        for cpu in sorted(self._allowed, key=lambda cpu: (cpu != current, cpu)):
            self._lock = _locked(cpu)
            if self._lock is not None:
                _keep(threads, {cpu})
                return

    def release(self, threads: Iterable[int]) -> None:
        """Let all of them run anywhere again."""
        if self._lock is not None:
            _keep(threads, self._allowed)
            os.close(self._lock)
            self._lock = None


def _locked(cpu: int) -> int | None:
    """The open file that holds the lock; None when another process has it, or there is none to be had."""
    try:
        folder = os.open(_CPU.format(cpu), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(folder)
        return None
    return folder


def _keep(threads: Iterable[int], cpus: set[int]) -> None:
    for thread in (0, *threads):
        with suppress(OSError):  # it has ended, or a sandbox forbids it: then it stays slower
            os.sched_setaffinity(thread, cpus)


def _current() -> int:
    """The CPU of this thread; -1 where the C library does not tell."""
    try:
        return int(ctypes.CDLL(None).sched_getcpu())
    except (AttributeError, OSError):
        return -1
