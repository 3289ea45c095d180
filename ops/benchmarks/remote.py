"""How fast is a backlog delivered to a provider 20 ms away? `python -m ops.benchmarks remote`."""

from dataclasses import replace

from ops.benchmarks import systems
from ops.benchmarks.drain import Drained, drain
from ops.benchmarks.measure import ratio, spread
from ops.benchmarks.report import Must, Report
from ops.benchmarks.rig import Helper, running_rig

_ROUND_TRIP_MS = 20
_PAIR = (replace(systems.OURS, backlog=2000), replace(systems.BARE, backlog=200))


def run(rounds: int) -> Report:
    """Ours with default settings, and the bare loop."""
    report = Report(question="remote", columns=("mails per second", "rate, bare loop = 1"))
    for pipelining in (True, False):
        runs = _measured(rounds, pipelining=pipelining)
        rates = [[one.rate for one in done] for done in runs]
        label = "" if pipelining else ", provider without PIPELINING"
        for system, own in zip(_PAIR, rates, strict=True):
            report.rows[system.name + label] = (spread(own), ratio(own, rates[1]))
        if pipelining:
            value = ratio(rates[0], rates[1]).median
            report.musts.append(Must(what="rate to the bare loop's at 20 ms", value=value, least=10))
    return report


def _measured(rounds: int, *, pipelining: bool) -> list[list[Drained]]:
    runs: list[list[Drained]] = [[], []]
    with running_rig(pipelining=pipelining) as rig:
        proxy = Helper("ops.benchmarks.proxy", str(rig.sink.port), str(_ROUND_TRIP_MS))
        rig.port = proxy.ports[0]
        try:
            for _ in range(rounds):
                for system, done in zip(_PAIR, runs, strict=True):
                    done.append(drain(rig, system, system.backlog))
        finally:
            proxy.stop()
    return runs
