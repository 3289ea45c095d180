"""What does a page of the admin cost on 2,000,000 mails? `python -m ops.benchmarks.admin [ROWS]`.

Prints the queries and the time of each page and of outbox_status, and the plan of the slowest query. What takes ten
queries or more fails, and what goes on reading a big table past the cap of 10,000.
"""

import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ops.dev.stack import running_stack

_ROWS = 2_000_000
_MOST_QUERIES = 9
_STOPS_AT = 10_001
_SEED = """
INSERT INTO outbox_intent (task_id, kind, recipient, language, context, owner, message_id, priority, repeatable,
  is_sample, state, created_at, scheduled_at, due_at, expires_at, closed_at, reason, attempts, spent, data_begun,
  maybe_sent, alone, excused, actor)
SELECT gen_random_uuid(), CASE WHEN n %% 3 = 0 THEN 'reset_code' ELSE 'welcome' END,
  'u' || n %% 400000 || '@example.com',
  'en', '{}', '', '<' || n || '@example.com>', n %% 3, true, false, state, born, born, born + interval '1 minute',
  born + interval '3 days', CASE WHEN state <> 'pending' THEN born + interval '2 seconds' END,
  CASE WHEN state = 'dead' THEN '5.1.1 no such user' ELSE '' END, CASE WHEN state = 'pending' THEN 0 ELSE 1 END,
  CASE WHEN state = 'pending' THEN 0 ELSE 1 END, false, false, false, false, ''
FROM (SELECT n, now() - (%(rows)s - n) * interval '1 second' AS born,
        CASE WHEN n %% 40 = 0 THEN 'dead' WHEN n %% 997 = 0 THEN 'cancelled' WHEN n > %(rows)s - 100000 THEN 'pending'
        ELSE 'sent' END AS state FROM generate_series(1, %(rows)s) AS n) AS made;
"""
_ATTEMPTS = """
INSERT INTO outbox_attempt (intent_id, number, started_at, ended_at, phase, outcome, enhanced, text, worker)
SELECT id, 1, created_at, closed_at, 'envelope', CASE WHEN state = 'dead' THEN 'refused' ELSE 'delivered' END,
  '', '', 'host:1' FROM outbox_intent WHERE attempts = 1;
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one page cost."""

    name: str
    queries: int
    milliseconds: float
    scans: tuple[str, ...]
    plan: str


def main(rows: int) -> int:
    """Fill the tables, ask for each page, print; 1 when a page costs too much."""
    with running_stack() as stack:
        os.environ |= {"DATABASE_URL": stack.postgres.url, "REDIS_URL": stack.redis.url, "DEBUG": "1"}
        os.environ |= {"DJANGO_SETTINGS_MODULE": "core.settings", "SECRET_KEY": secrets.token_urlsafe(50)}
        import django  # noqa: PLC0415  (it reads the environment)

        django.setup()
        _fill(rows)
        found = list(_ask_all())
    for asked in found:
        print(f"\n{asked.name}: {asked.queries} queries, {asked.milliseconds:.0f} ms\n{asked.plan}")
    bad = [asked for asked in found if asked.queries > _MOST_QUERIES or asked.scans]
    for asked in bad:
        print(f"\ntoo dear: {asked.name}: {asked.queries} queries, scans: {', '.join(asked.scans) or 'none'}")
    return 1 if bad else 0


def _fill(rows: int) -> None:
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415

    from outbox import rollup  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    started = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(_SEED, {"rows": rows})
        cursor.execute(_ATTEMPTS)
        cursor.execute("VACUUM ANALYZE outbox_intent, outbox_attempt")
    print(f"{rows:,} mails and their attempts written in {time.monotonic() - started:.0f} s")
    started = time.monotonic()
    rollup.catch_up()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE outbox_minute")
    print(f"all of their minutes counted in {time.monotonic() - started:.0f} s")


def _ask_all() -> Iterator[Asked]:
    from django.test import Client  # noqa: PLC0415

    from auth_api.models import User  # noqa: PLC0415
    from outbox import queries as reads  # noqa: PLC0415
    from outbox.models import Intent  # noqa: PLC0415

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create_superuser(email="olga@example.com", name="Olga", password="x"))  # noqa: S106
    some = Intent.objects.order_by("pk")[1000]
    list_ = "/admin/outbox/intent/"
    queries = (
        *("", "?p=100", "?state__exact=dead", "?state__exact=sent", "?state__exact=expired", "?state__exact=pending"),
        *("?state__exact=cancelled&kind=reset_code", "?kind=reset_code", "?kind=password_changed"),
        *(
            "?state__exact=dead&kind=welcome",
            "?closed_at__gte=2026-01-01+00%3A00%3A00%2B00%3A00",
            f"?q={some.recipient}",
        ),
        *(f"?q={some.task_id}", "?q=nobody@example.com"),
    )
    yield _measure("outbox_status", lambda: (reads.status(), list(reads.latest(10))))
    yield _ask(client, "dashboard", "/admin/")
    yield _ask(client, "metrics", "/metrics")
    yield _ask(client, "page of a mail", f"{list_}{some.pk}/change/")
    for query in queries:
        yield _ask(client, f"list {query}", f"{list_}{query}")


def _ask(client: "Client", name: str, address: str) -> Asked:  # type: ignore[name-defined]  # noqa: F821
    def look() -> None:
        answer = client.get(address)
        if answer.status_code != 200:  # noqa: PLR2004
            raise OSError(f"{address}: {answer.status_code}")

    return _measure(name, look)


def _measure(name: str, look: Callable[[], object]) -> Asked:
    """The second look: the first one fills caches that a process has for all its time."""
    from django.db import connection  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    look()
    with CaptureQueriesContext(connection) as seen:
        started = time.perf_counter()
        look()
        took = (time.perf_counter() - started) * 1000
    asked = [query["sql"] for query in seen.captured_queries if query["sql"].lstrip().startswith(("SELECT", "WITH"))]
    slowest = max(seen.captured_queries, key=lambda query: float(query["time"]))["sql"]
    plans = {sql: _plan(sql) for sql in asked}
    scans = tuple(line.strip() for plan in plans.values() for line in plan.splitlines() if _reads_all(line))
    return Asked(name, len(seen), took, scans, plans.get(slowest, ""))


def _plan(sql: str) -> str:
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, SUMMARY OFF) {sql}".replace("%", "%%"))
        return "\n".join(f"    {line}" for (line,) in cursor.fetchall())


def _reads_all(line: str) -> bool:
    """Whether a scan of a big table went on; one that stops at a page or at the cap of a count is meant."""
    scan = re.search(r"Seq Scan on outbox_(?:intent|attempt|minute).*rows=(\d+)", line)
    return scan is not None and int(scan[1]) > _STOPS_AT


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else _ROWS))
