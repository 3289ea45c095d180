"""The sender's loop in the test's own process, one step after the other, until something has come true."""

import time
from collections.abc import Callable
from threading import Event

from outbox import conf, transport
from outbox.lanes import Lanes
from outbox.sender import Sender
from outbox.standby import Standby


class Pump:
    """A standby that does not wait until others are late."""

    def __init__(self) -> None:
        settings = conf.outbox()
        self.lanes = Lanes(transport.build, settings.lanes)
        self.stop = Event()
        self.standby = Standby(settings, Sender(settings, self.lanes, "pump"), transport.build().probe)

    def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Step until the condition holds; False when the time is over."""
        ends = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > ends:
                return False
            if self.standby.step(self.stop) == 0:
                time.sleep(0.01)
        return True

    def run(self, seconds: float) -> None:
        """Step for so long."""
        self.until(lambda: False, seconds)
