"""What does asking for a mail cost, Redis up, stopped or hanging? `python -m ops.benchmarks enqueue`."""

import json

from ops.benchmarks.measure import percentile, ratio, spread
from ops.benchmarks.report import Must, Report
from ops.benchmarks.rig import Rig, running_rig

_TIMES = 400
_REDIS = ("up", "stopped", "hanging")


def run(rounds: int) -> Report:
    """A transaction with a bare INSERT of such a row, and one with `enqueue`, in turn, in each state of Redis."""
    found: dict[str, dict[str, list[list[float]]]] = {state: {"bare": [], "ours": []} for state in _REDIS}
    with running_rig() as rig:
        for _ in range(rounds):
            for state in _REDIS:
                said = _measured(rig, state)
                for way in ("bare", "ours"):
                    found[state][way].append(said[way])
    report = Report(question="enqueue", columns=("p50, ms", "p99, ms"))
    for state, ways in found.items():
        for way, name in (("bare", "a bare INSERT"), ("ours", "outbox")):
            cells = [spread([percentile(one, share) for one in ways[way]]) for share in (0.5, 0.99)]
            report.rows[f"{name}, Redis {state}"] = cells
        halves = [[percentile(one, 0.5) for one in ways[way]] for way in ("ours", "bare")]
        value = ratio(halves[0], halves[1]).median
        report.musts.append(Must(what=f"p50 to that of a bare INSERT, Redis {state}", value=value, most=1.5))
    return report


def _measured(rig: Rig, state: str) -> dict[str, list[float]]:
    rig.clear()
    redis = rig.stack.redis
    if state == "stopped":
        redis.stop()
    if state == "hanging":
        redis.pause()
    try:
        said: dict[str, list[float]] = json.loads(
            rig.run(rig.environment(), "-m", "ops.benchmarks.enqueues", str(_TIMES))
        )
    finally:
        if state == "stopped":
            redis.start()
        if state == "hanging":
            redis.resume()
    return said
