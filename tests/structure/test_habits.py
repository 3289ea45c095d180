"""SQL and state have one home each, and nothing is too long (style.md §2, §3, §7, §8)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.structure import habits
from tests.structure.code import Module, read

ROOT = Path(__file__).parents[2]

Check = Callable[[Sequence[Module]], Iterator[str]]
CHECKS: list[Check] = [
    habits.cursors_elsewhere,
    habits.sql_elsewhere,
    habits.states_written_elsewhere,
    habits.long_functions,
    habits.long_modules,
    habits.many_parameters,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_code_keeps_its_habits(check: Check) -> None:
    assert "\n".join(check(read(ROOT))) == ""


@pytest.mark.parametrize(
    ("check", "source", "complaint"),
    [
        (habits.cursors_elsewhere, "with connection.cursor() as it:\n    pass", "admin.py:1: cursor() is raw"),
        (habits.cursors_elsewhere, "Intent.objects.raw(QUERY)", "raw() is raw SQL"),
        (habits.cursors_elsewhere, "it.execute(QUERY)", "execute() is raw SQL: use the ORM"),
        (habits.cursors_elsewhere, "it.annotate(a=RawSQL(QUERY, ()))", "RawSQL() is raw SQL"),
        (habits.sql_elsewhere, "Q = 'SELECT 1'", "admin.py:1: a statement belongs into outbox/sql.py"),
        (habits.sql_elsewhere, "Q = f'''\n  UPDATE {table} SET x = 1'''", "belongs into outbox/sql.py"),
        (habits.sql_elsewhere, "Q = 'DELETE FROM outbox_intent'", "belongs into outbox/sql.py"),
        (habits.sql_elsewhere, "Q = 'WITH due AS MATERIALIZED (…'", "belongs into outbox/sql.py"),
        (habits.states_written_elsewhere, "rows.filter(pk=1).update(state='sent')", "admin.py:1: only outbox"),
        (habits.states_written_elsewhere, "Intent.objects.create(state='sent')", "call one of its moves"),
        (habits.states_written_elsewhere, "rows.bulk_create([Intent(state='sent')])", "only outbox/trans"),
        (habits.states_written_elsewhere, "rows.update_or_create(pk=1, defaults={'state': 1})", "only outbox"),
        (habits.states_written_elsewhere, "rows.update(**{'state': 1})", "only outbox"),
        (habits.states_written_elsewhere, "intent.state = 'sent'", "only outbox/transitions.py writes"),
        (habits.long_functions, "def f():\n" + "    pass\n" * 40, "admin.py:1: f has 41 lines, 40 is the most"),
        (habits.long_modules, "pass\n" * 301, "admin.py:301: outbox.admin has 301 lines, 300 is the most"),
        (habits.many_parameters, "def f(a, b, /, c, d, e, f): ...", "f takes 6 positional parameters, 5 is"),
        (habits.many_parameters, "class A:\n    def f(self, a, b, c, d, e, f): ...", "f takes 6 positional"),
    ],
)
def test_what_breaks_a_habit_is_found(tmp_path: Path, check: Check, source: str, complaint: str) -> None:
    found = list(check(read_one(tmp_path, "admin", source)))

    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sql", "Q = 'SELECT 1'\nconnection.cursor().execute(Q)"),
        ("transitions", "rows.filter(pk=1).update(state='sent')"),
        ("admin", "http_method_names = ['DELETE', 'UPDATE']\nname = 'With love'\nhelp = 'Select a row'"),
        ("admin", "rows.filter(state='sent').update(reason='x')\npipeline.execute()"),
        ("lanes", "class Lane:\n    def stop(self):\n        self.state = 'over'"),
        ("admin", "class A:\n    def f(self, a, b, c, d, e, *, f, g): ..."),
        ("admin", "def f():\n" + "    pass\n" * 39 + "pass\n" * 260),
    ],
)
def test_what_keeps_the_habits_is_not_complained_of(tmp_path: Path, name: str, source: str) -> None:
    modules = read_one(tmp_path, name, source)

    assert [each for check in CHECKS for each in check(modules)] == []


def read_one(root: Path, name: str, source: str) -> list[Module]:
    (root / "outbox").mkdir()
    (root / "outbox" / f"{name}.py").write_text(source, encoding="utf-8")
    return read(root)
