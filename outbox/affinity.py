"""Keeps the threads of a busy process on one CPU for a while.

One lock lets one of them run Python at a time. Spread over several CPUs they hand it to and fro between these, and a
quarter of all time went into waking one and waiting for the other (perf; 16 lanes, two processes, two CPUs: 40 % more
mails a second on one each). It is for a slice at most, and the CPU is the one where the system has put the process just
before: it goes on to choose, and spreads processes as the load asks for.
"""

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress


class OneCpu:
    """One per process; does nothing where the system cannot (macOS), may not, or has one CPU only."""

    def __init__(self) -> None:
        """What is allowed now is what `release` goes back to."""
        self._allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        self._is_held = False

    def hold(self, threads: Iterable[int]) -> None:
        """Keep this thread and those, by their native ids, where this one runs now."""
        if self._is_held or len(self._allowed) < 2:  # noqa: PLR2004  (nothing to choose from)
            return
        cpu = _current()
        if cpu in self._allowed:
            self._keep(threads, {cpu})
            self._is_held = True

    def release(self, threads: Iterable[int]) -> None:
        """Let all of them run anywhere again."""
        if self._is_held:
            self._keep(threads, self._allowed)
            self._is_held = False

    def _keep(self, threads: Iterable[int], cpus: set[int]) -> None:
        for thread in (0, *threads):
            with suppress(OSError):  # it has ended, or a sandbox forbids it: then it stays slower
                os.sched_setaffinity(thread, cpus)


def _current() -> int:
    """The CPU of this thread; -1 where the C library does not tell."""
    try:
        return int(ctypes.CDLL(None).sched_getcpu())
    except (AttributeError, OSError):
        return -1
