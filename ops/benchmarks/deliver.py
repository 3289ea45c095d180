"""How fast is a backlog delivered, and what does it cost? `python -m ops.benchmarks deliver`."""

from ops.benchmarks import systems
from ops.benchmarks.drain import Drained, drain
from ops.benchmarks.measure import ratio, spread
from ops.benchmarks.report import Must, Report
from ops.benchmarks.rig import running_rig
from ops.benchmarks.systems import System

COLUMNS = ("mails per second", "CPU seconds per 1,000 mails", "rate, bare loop = 1")


def run(rounds: int) -> Report:
    """All systems in turn, so many times."""
    runs: dict[System, list[Drained]] = {system: [] for system in systems.ALL}
    with running_rig() as rig:
        for number in range(rounds):
            for system in systems.ALL:
                runs[system].append(drain(rig, system, system.backlog))
                print(f"round {number + 1}, {system.name}: {runs[system][-1].rate:.0f}/s", flush=True)
    return _report(runs)


def _report(runs: dict[System, list[Drained]]) -> Report:
    report = Report(question="deliver", columns=COLUMNS)
    rates = {system: [one.rate for one in done] for system, done in runs.items()}
    for system, done in runs.items():
        to_bare = ratio(rates[system], rates[systems.BARE])
        report.rows[system.name] = (spread(rates[system]), spread([one.cpu for one in done]), to_bare)
    needed = [(systems.BARE, 2.0), (systems.POST_OFFICE, 2.5), (systems.NAIVE, 5.0), (systems.CELERY_EMAIL, 1.0)]
    for ours in (systems.OURS, systems.OURS_16):
        for system, least in needed:
            value = ratio(rates[ours], rates[system]).median
            report.musts.append(Must(what=f"rate of {ours.name} to that of {system.name}", value=value, least=least))
    cpu = ratio([one.cpu for one in runs[systems.OURS]], [one.cpu for one in runs[systems.BARE]]).median
    report.musts.append(Must(what="CPU to the bare loop's", value=cpu, most=0.8))
    return report
