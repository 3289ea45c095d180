"""Checks that migrations only add (design.md §6): the last release still runs while a new one migrates."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

from tests.structure.code import Module, called

# A removal comes a release after the last code that used what goes: path of the migration, and which release that was.
RETIRED: Mapping[str, str] = {}

_TAKES_AWAY = {"RemoveField", "DeleteModel", "RenameField", "RenameModel", "AlterModelTable"}
_NEEDS_REPLACEMENT = {"RemoveConstraint": "AddConstraint", "RemoveIndex": "AddIndex"}
_SQL_THAT_TAKES_AWAY = re.compile(r"\b(?:DROP\s+(?:TABLE|COLUMN|CONSTRAINT|SCHEMA)|RENAME|TRUNCATE)\b", re.IGNORECASE)
_HERE = "tests/structure/migrations.py"


def migrations_that_take_away(migrations: Sequence[Module], retired: Mapping[str, str]) -> Iterator[str]:
    """Every operation that the last release's code would trip over."""
    for module in migrations:
        if module.path in retired:
            continue
        for line, what in (*_operations(module), *_statements(module)):
            yield (
                f"{module.at(line)}: {what}, and the last release may still need it: stop using it first, remove it "
                f"a release later and name the migration in RETIRED of {_HERE}"
            )


def _operations(module: Module) -> Iterator[tuple[int, str]]:
    added = {(called(call), _model(call)) for call in module.calls()}
    for call in module.calls():
        name = called(call)
        if name in _TAKES_AWAY:
            yield call.lineno, f"{name} takes something away"
        elif name in _NEEDS_REPLACEMENT and (_NEEDS_REPLACEMENT[name], _model(call)) not in added:
            yield call.lineno, f"{name} without {_NEEDS_REPLACEMENT[name]} for the same model"


def _model(call: ast.Call) -> str:
    """The model an operation is about, as Django writes it: `model_name="intent"`."""
    names = [keyword.value for keyword in call.keywords if keyword.arg == "model_name"] or call.args[:1]
    return str(names[0].value).lower() if names and isinstance(names[0], ast.Constant) else ""


def _statements(module: Module) -> Iterator[tuple[int, str]]:
    """The SQL of RunSQL forwards; its way back may take away what it added."""
    for call in module.calls():
        if called(call) == "RunSQL":
            forwards = [keyword.value for keyword in call.keywords if keyword.arg == "sql"] or call.args[:1]
            for part in forwards:
                if _SQL_THAT_TAKES_AWAY.search(ast.unparse(part)):
                    yield call.lineno, "RunSQL takes something away"
