"""Asks for an early tick after a commit, from a thread of its own: the request never waits for the broker."""

import os
import threading
import time

from celery import current_app

from outbox.tasks import TICK_EXPIRES_S

_REST_S = 5.0  # after a broker did not answer; beat's ticks do the work meanwhile


class _Nudger:
    """One thread per process, started at the first nudge; nudges that were not yet sent are merged into one."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def nudge(self) -> None:
        """Ask for a tick soon; returns at once."""
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
            self._wanted.clear()
            try:
                current_app.send_task("outbox.dispatch", queue="outbox", expires=TICK_EXPIRES_S, retry=False)
            except Exception:  # noqa: BLE001  (best effort: beat alone is enough)
                time.sleep(_REST_S)


_nudger = _Nudger()


def nudge() -> None:
    """Ask for an early tick; best effort."""
    _nudger.nudge()


def _after_fork() -> None:
    """Threads do not survive a fork: the child starts its own."""
    global _nudger  # noqa: PLW0603
    _nudger = _Nudger()


os.register_at_fork(after_in_child=_after_fork)
