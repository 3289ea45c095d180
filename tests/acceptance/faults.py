"""How long faults last, and how people register meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.acceptance.load import Load
from tests.acceptance.rig import Rig

# Breaks something, keeps it broken for so many seconds, and makes it whole again.
Fault = Callable[[Rig, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many people register a second, and for how many seconds before, during and after the fault."""

    rate: float
    before_s: float
    fault_s: float
    after_s: float


SHORT = Scale(rate=8, before_s=1, fault_s=2.5, after_s=0.5)
LONG = Scale(rate=5, before_s=5, fault_s=20, after_s=5)


def under_load(system: Rig, scale: Scale, fault: Fault, load: Load | None = None) -> Load:
    """Let people register before, during and after the fault."""
    with load or Load(system.client, scale.rate) as running:
        system.watch(scale.before_s)
        fault(system, scale.fault_s)
        system.watch(scale.after_s)
    return running


def killed_again_and_again(system: Rig, seconds: float, *, every_s: float, name: str, times: int = 1) -> None:
    """Kill this program of the system now and every so often, at least so many times; it is restarted."""
    for _ in range(max(times, int(seconds / every_s))):
        system.end(getattr(system, name))
        system.watch(every_s)
