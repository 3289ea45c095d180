"""Measures one system as it works off a backlog."""

import time
from dataclasses import dataclass

from ops.benchmarks.rig import Rig, cpu_seconds
from ops.benchmarks.systems import System
from ops.dev.services import NotStartedError, wait_until

_PATIENCE_S = 60
_WARM = 0.1  # the first tenth is not measured: connections are opened and templates compiled then


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Mails a second, and seconds of CPU for 1,000 mails (all of the system's processes and servers)."""

    rate: float
    cpu: float


def drain(rig: Rig, system: System, count: int) -> Drained:
    """Fill, start, wait until the provider has all, stop.

    Raises:
        NotStartedError: it did not get done.
    """
    rig.clear()
    system.fill(rig, count)
    children = system.start(rig, count)
    try:
        roots = [child.pid for child in children] + _servers(rig, system)
        wait(rig, int(count * _WARM))
        began, used = rig.sink.count, cpu_seconds(roots)
        wait(rig, count * 95 // 100)  # the loops end a moment after their last mail, and with them their times
        ended, used_then = rig.sink.count, cpu_seconds(roots)
        wait(rig, count)
    finally:
        for child in children:
            child.stop()
    times = sorted(moment for moment, _ in rig.sink.ask("mails"))
    first = int(count * _WARM)
    return Drained(
        rate=(len(times) - 1 - first) / (times[-1] - times[first]),
        cpu=(used_then - used) / (ended - began) * 1000,
    )


def wait(rig: Rig, wanted: int, patience_s: float = _PATIENCE_S) -> None:
    """Return when the provider has so many mails.

    Raises:
        NotStartedError: it took too long.
    """
    started = time.monotonic()
    if not wait_until(lambda: rig.sink.count >= wanted, patience_s, every=0.05):
        raise NotStartedError(f"{rig.sink.count} of {wanted} mails after {time.monotonic() - started:.0f} s")


def _servers(rig: Rig, system: System) -> list[int]:
    used = [(system.uses_postgres, rig.stack.postgres), (system.uses_redis, rig.stack.redis)]
    return [server.child.pid for is_used, server in used if is_used and server.child]
