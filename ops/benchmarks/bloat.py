"""How much larger than need be are tables and indexes after a million mails? `python -m ops.benchmarks bloat`."""

from ops.benchmarks.measure import spread
from ops.benchmarks.report import Must, Report
from ops.benchmarks.rig import Rig, running_rig

_MAILS = 1_000_000
_TABLES = ("outbox_intent", "outbox_attempt", "outbox_provider")


def run(_rounds: int) -> Report:
    """Once: a million mails enqueued, begun and closed with autovacuum at work, then everything is written afresh."""
    columns = ("table, MB", "indexes, MB", "table, rewritten = 1", "indexes, rewritten = 1")
    report = Report(question="bloat", columns=columns)
    with running_rig() as rig:
        rig.run(rig.environment(), "-m", "ops.benchmarks.churn", str(_MAILS))
        used = {table: _sizes(rig, table) for table in _TABLES}
        for table in _TABLES:
            rig.query(f"VACUUM FULL {table}")
            needed = _sizes(rig, table)
            shares = [one / max(other, 0.008) for one, other in zip(used[table], needed, strict=True)]
            report.rows[f"outbox: {table}"] = tuple(spread([value]) for value in (*used[table], *shares))
            if table == "outbox_intent":
                report.musts.append(Must(what="its table to one written afresh", value=shares[0], most=2))
    return report


def _sizes(rig: Rig, table: str) -> tuple[float, float]:
    [(heap, indexes)] = rig.query(f"SELECT pg_table_size('{table}') / 1e6, pg_indexes_size('{table}') / 1e6")
    return float(heap), float(indexes)
