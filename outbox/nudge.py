"""Asks a sender to look at once after a commit, from a thread of its own: the request never waits for the broker.

It asks by a send task without claims, so that a mail of an idle system waits for one hop through the broker, not for
the dispatcher's and then its own.
"""

import os
import threading
import time

from outbox.tasks import send

_EXPIRES_S = 10.0  # a tick has come since; and by less do the clocks of two hosts differ
_GATHER_S = 0.001  # the request that asked goes first, and others may have asked meanwhile
_REST_S = 5.0  # after a broker did not answer; beat's ticks do the work meanwhile


class _Nudger:
    """One thread per process, started at the first nudge; nudges that were not yet sent are merged into one."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def nudge(self) -> None:
        """Ask soon; returns at once."""
        self._wanted.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="outbox-nudge", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            time.sleep(_GATHER_S)
            self._wanted.clear()
            try:
                send.apply_async(expires=_EXPIRES_S, retry=False)
            except Exception:  # noqa: BLE001  (best effort: beat alone is enough)
                time.sleep(_REST_S)


_nudger = _Nudger()


def nudge() -> None:
    """Ask a sender to look for what is due; best effort."""
    _nudger.nudge()


def _after_fork() -> None:
    """Threads do not survive a fork: the child starts its own."""
    global _nudger  # noqa: PLW0603
    _nudger = _Nudger()


os.register_at_fork(after_in_child=_after_fork)
