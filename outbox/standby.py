"""The sender's loop without Celery, for when nobody else dispatches: it needs PostgreSQL alone."""

from collections.abc import Callable
from threading import Event

from django.db import connection

from outbox import breaker, events, rescuer
from outbox.conf import Conf
from outbox.outcomes import Outcome
from outbox.sender import Sender


class Standby:
    """Sends what has been due for OUTBOX_STANDBY_AFTER; safe beside workers and other standbys at any time."""

    def __init__(self, conf: Conf, sender: Sender, probe: Callable[[], Outcome | None]) -> None:
        """`probe` tries the provider when the breaker's probe is due; None is a connection that worked."""
        self.conf = conf
        self.sender = sender
        self.probe = probe

    def run(self, stop: Event) -> None:
        """Step until told to stop; the mail in flight is finished first."""
        while not stop.is_set():
            if self._guarded_step(stop) == 0:
                stop.wait(self.conf.tick.total_seconds())
        self.sender.lanes.close()

    def step(self, stop: Event) -> int:
        """Sweep, probe when it is due, then work one slice; how many attempts were begun."""
        rescuer.sweep()
        if breaker.take_probe():
            breaker.probed(self.probe())
        return self.sender.work(stopped=stop.is_set)

    def _guarded_step(self, stop: Event) -> int:
        try:
            return self.step(stop)
        except Exception as error:  # noqa: BLE001  (the outermost guard: the standby must outlive whatever happens)
            connection.close()
            events.broke.send_robust(sender=None, where="standby", error=type(error).__name__)
            return 0
