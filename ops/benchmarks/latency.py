"""How long from commit to the provider's acceptance at 5 mails a second? `python -m ops.benchmarks latency`."""

import json
from collections.abc import Callable

from ops.benchmarks import systems
from ops.benchmarks.measure import percentile, ratio, spread
from ops.benchmarks.report import Must, Report
from ops.benchmarks.rig import Rig, running_rig
from ops.dev.child import Child
from ops.dev.services import NotStartedError, wait_until

_MAILS = 125
_WAYS = ("outbox", "outbox, tick only", "Celery task per mail")
Start = Callable[[Rig], list[Child]]


def run(rounds: int) -> Report:
    """Ours with and without the nudge, and the naive task, in turn."""
    runs: dict[str, list[list[float]]] = {way: [] for way in _WAYS}
    with running_rig() as rig:
        for _ in range(rounds):
            for way in _WAYS:
                runs[way].append(_trickle(rig, way))
    report = Report(question="latency", columns=("p50, ms", "p99, ms"))
    shares = {way: [[percentile(one, share) for one in done] for share in (0.5, 0.99)] for way, done in runs.items()}
    for way, (halves, nearly_all) in shares.items():
        report.rows[way] = (spread(halves), spread(nearly_all))
    for name, place in (("p50", 0), ("p99", 1)):
        value = ratio(shares[_WAYS[0]][place], shares[_WAYS[2]][place]).median
        report.musts.append(Must(what=f"{name} to the naive task's", value=value, most=2))
    report.musts.append(Must(what="p99 by the tick alone, ms", value=spread(shares[_WAYS[1]][1]).median, most=1300))
    return report


def _trickle(rig: Rig, way: str) -> list[float]:
    """Milliseconds of each mail; the first few, which start the processes up, do not count."""
    rig.clear()
    naive = way == _WAYS[2]
    children = systems.NAIVE.start(rig, 0) if naive else systems.start_ours(rig)
    try:
        env = rig.rivals_environment("task") if naive else rig.environment()
        words = ["naive"] if naive else ["ours", *(["tick"] if "tick" in way else [])]
        said = rig.run(env, "-m", "ops.benchmarks.trickle", str(_MAILS), *words)
        committed: dict[str, float] = json.loads(said)
        if not wait_until(lambda: rig.sink.count >= len(committed), 20):
            raise NotStartedError(f"{rig.sink.count} of {len(committed)} mails arrived")
        taken = {to: moment for moment, to in rig.sink.ask("mails")}
    finally:
        for child in children:
            child.stop()
    waited = [(taken[to] - moment) * 1000 for to, moment in committed.items()]
    return waited[len(waited) // 5 :]
