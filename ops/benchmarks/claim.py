"""Does a claim cost the same whatever lies in the table? `python -m ops.benchmarks claim`."""

import json

from ops.benchmarks.measure import Spread, spread
from ops.benchmarks.report import Must, Report
from ops.benchmarks.rig import Rig, running_rig

_MILLION = 1_000_000
_ACTS = {"claim": "claim of 500", "turn": "turn of 8", "sweep": "sweep", "prune": "prune"}
_STALE = "statistics of an empty table"
_TABLES = (  # closed, waiting for later, due
    ("outbox: small", 0, 0, 20_000),
    ("outbox: 1 M closed", _MILLION, 0, 20_000),
    ("outbox: 2 M closed", 2 * _MILLION, 0, 20_000),
    ("outbox: 1 M waiting", 0, _MILLION, 20_000),
    ("outbox: 1 M due", 0, 0, _MILLION),
    ("outbox: all together", 2 * _MILLION, _MILLION, _MILLION),
    (f"outbox: 1 M due, {_STALE}", 0, 0, _MILLION),
)


def run(rounds: int) -> Report:
    """Each table in turn; `rounds` times ten of each."""
    report = Report(question="claim", columns=tuple(f"{what}, ms" for what in _ACTS.values()))
    medians: dict[str, tuple[Spread, ...]] = {}
    with running_rig() as rig:
        for name, closed, waiting, due in _TABLES:
            _fill(rig, closed, waiting, due, analyzed=_STALE not in name)
            said = json.loads(rig.run(rig.environment(), "-m", "ops.benchmarks.claims", str(rounds * 10)))
            medians[name] = tuple(spread(said[act]) for act in _ACTS)
            report.rows[name] = medians[name]
    small = medians[_TABLES[0][0]]
    for name, *_ in _TABLES[-2:]:
        for place, what in enumerate(_ACTS.values()):
            value = medians[name][place].median / small[place].median
            report.musts.append(Must(what=f"{what}, {name.removeprefix('outbox: ')} to small", value=value, most=1.2))
    return report


def _fill(rig: Rig, closed: int, waiting: int, due: int, *, analyzed: bool) -> None:
    rig.clear()
    rig.query("ALTER TABLE outbox_intent SET (autovacuum_enabled = off)")  # it would analyze in the middle of a run
    rig.query("ANALYZE outbox_intent")
    rows = [
        (closed, "'sent'", "now() - interval '1 hour'", "now()"),
        (waiting, "'pending'", "now() + interval '1 day'", "NULL"),
        (due, "'pending'", "now() - interval '1 hour' + n * interval '1 ms'", "NULL"),
    ]
    for count, state, due_at, closed_at in rows:
        rig.query(_ROWS.format(count=count, state=state, due_at=due_at, closed_at=closed_at))
    rig.query(
        "INSERT INTO outbox_provider (name, reason, window_delivered, losers, paused_by)"
        " VALUES ('default', '', 0, '[]', '') ON CONFLICT DO NOTHING"
    )
    if analyzed:
        rig.query("VACUUM ANALYZE outbox_intent")


_ROWS = """
INSERT INTO outbox_intent (task_id, kind, recipient, language, context, owner, message_id, priority, repeatable,
  is_sample, state, created_at, scheduled_at, due_at, expires_at, closed_at, reason, attempts, spent, data_begun,
  maybe_sent, alone, excused, actor)
SELECT gen_random_uuid(), 'welcome', 'person' || n || '@example.com', 'en', '{{"name": "Layla"}}', '',
  '<' || n || '@example.com>', 1, true, false, {state}, now(), {due_at}, {due_at}, now() + interval '3 days',
  {closed_at}, '', 0, 0, false, false, false, false, ''
FROM generate_series(1, {count}) AS n
"""
