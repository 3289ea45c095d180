"""Turns SIGINT, SIGTERM and SIGHUP into one exception, raised once, never between a start and its record."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedBySignal(BaseException):
    """Somebody asked us to end. Not an Exception: no handler of failures may swallow it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class _Gate:
    """Whether a signal may be raised now, and which one came."""

    def __init__(self) -> None:
        self.holds = 0
        self.arrived: int | None = None
        self.is_raised = False

    def arrive(self, signum: int, _: FrameType | None) -> None:
        self.arrived = signum
        self.pass_on()

    def pass_on(self) -> None:
        # Once only: then we end, every stop has a time limit, and a second Ctrl-C may not cut it short.
        if self.arrived is not None and not self.holds and not self.is_raised:
            self.is_raised = True
            raise InterruptedBySignal(self.arrived)


_gate = _Gate()


def listen() -> None:
    """From now on raise InterruptedBySignal in the main thread; a signal ignored so far (nohup) stays so."""
    for signum in _SIGNALS:
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, _gate.arrive)


@contextmanager
def held() -> Iterator[None]:
    """Put off an interruption to the end of the block: a child must not be started without being recorded."""
    _gate.holds += 1
    try:
        yield
    finally:
        _gate.holds -= 1
        _gate.pass_on()
