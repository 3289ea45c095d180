"""Does the rate hold as backlog and processes grow, and memory not? `python -m ops.benchmarks scale`."""

from ops.benchmarks import systems
from ops.benchmarks.drain import wait
from ops.benchmarks.measure import ratio, spread
from ops.benchmarks.report import Must, Report
from ops.benchmarks.rig import Rig, memory_mb, running_rig

_BACKLOGS = (1_000, 10_000, 50_000, 200_000)
_PROCESSES = (1, 2, 4)
_FOR_PROCESSES = 5_000
_EARLY = 0.1


def run(rounds: int) -> Report:
    """Backlogs with two processes, once each (the large ones take minutes), and processes with one backlog."""
    report = Report(question="scale", columns=("mails per second",))
    with running_rig() as rig:
        for processes in _PROCESSES:
            rates = [_rate(_drained(rig, _FOR_PROCESSES, processes)[0]) for _ in range(rounds)]
            report.rows[f"outbox: {processes} processes"] = (spread(rates),)
        for backlog in _BACKLOGS:
            times, (early_mb, late_mb) = _drained(rig, backlog, 2)
            report.rows[f"outbox: backlog of {backlog:,}"] = (spread([_rate(times)]),)
    tenth = len(times) // 10
    value = ratio([_rate(times[-tenth:])], [_rate(times[:tenth])]).median
    report.musts.append(Must(what="rate of the last tenth of 200,000 to the first's", value=value, least=0.9))
    report.musts.append(Must(what="memory of the worker at the end to early", value=late_mb / early_mb, most=1.1))
    return report


def _drained(rig: Rig, backlog: int, processes: int) -> tuple[list[float], tuple[float, float]]:
    """When each mail was taken, and the worker's memory early and late."""
    rig.clear()
    systems.OURS.fill(rig, backlog)
    children = systems.start_ours(rig, processes=processes)
    try:
        wait(rig, int(backlog * _EARLY), 60)
        early = memory_mb(children[0].pid)
        wait(rig, backlog, 30 + backlog / 50)
        late = memory_mb(children[0].pid)
    finally:
        for child in children:
            child.stop()
    return sorted(moment for moment, _ in rig.sink.ask("mails")), (early, late)


def _rate(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])
