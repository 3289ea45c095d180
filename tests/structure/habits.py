"""Checks of what style.md asks of the code itself: where SQL and state are written, and how long things are."""

import ast
import re
from collections.abc import Iterator, Sequence

from tests.structure.code import Module, called

MAY_USE_CURSORS = {
    "outbox.sql",
    "outbox.prepared",
    "outbox.transitions",
    "outbox.breaker",
    "outbox.queries",
    "outbox.pruner",
    "outbox.rollup",
    "outbox.doctor",
    "auth_api.throttles",
}
MAY_HOLD_SQL = {"outbox.sql", "outbox.sql_figures", "outbox.turn", "auth_api.throttles"}
MAY_WRITE_STATE = {"outbox.transitions"}
MOST_LINES_OF_A_FUNCTION = 40
MOST_LINES_OF_A_MODULE = 300
MOST_POSITIONAL_PARAMETERS = 5

_HERE = "tests/structure/habits.py"
_SQL = re.compile(r"\s*(?:SELECT|UPDATE|INSERT\s+INTO|DELETE\s+FROM|WITH)\s")  # in capitals, as we write it
_RAW = {"cursor", "raw", "RawSQL", "callproc"}
_EXECUTE = {"execute", "executemany"}
_WRITES = {"create", "update", "get_or_create", "update_or_create", "acreate", "aupdate", "Intent"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def cursors_elsewhere(modules: Sequence[Module]) -> Iterator[str]:
    """Only the modules that work by hand-written statements touch a cursor."""
    for module in modules:
        if module.name in MAY_USE_CURSORS:
            continue
        for call in module.calls():
            name = called(call)
            if name in _RAW or (name in _EXECUTE and call.args):
                yield (
                    f"{module.at(call.lineno)}: {name}() is raw SQL: use the ORM, or a statement and a helper "
                    f"of outbox/sql.py (MAY_USE_CURSORS in {_HERE})"
                )


def sql_elsewhere(modules: Sequence[Module]) -> Iterator[str]:
    """Statements stand together, each with the reason it is not the ORM."""
    for module in modules:
        if module.name in MAY_HOLD_SQL:
            continue
        for line, text in module.strings():
            if _SQL.match(text):
                yield f"{module.at(line)}: a statement belongs into outbox/sql.py, with a name and its reason"


def states_written_elsewhere(modules: Sequence[Module]) -> Iterator[str]:
    """One module moves an intent from state to state, guarded by its token."""
    for module in modules:
        if module.name in MAY_WRITE_STATE:
            continue
        for line in sorted({*_calls_with_state(module), *_assignments_of_state(module)}):
            yield f"{module.at(line)}: only outbox/transitions.py writes a state: call one of its moves"


def _calls_with_state(module: Module) -> Iterator[int]:
    for call in module.calls():
        if called(call) not in _WRITES:
            continue
        given = {keyword.arg for keyword in call.keywords}
        dictionaries = [keyword.value for keyword in call.keywords] + call.args
        keys = [key for each in dictionaries if isinstance(each, ast.Dict) for key in each.keys]
        if "state" in given or any(isinstance(key, ast.Constant) and key.value == "state" for key in keys):
            yield call.lineno


def _assignments_of_state(module: Module) -> Iterator[int]:
    """`intent.state = …`; an object's own `self.state` is another matter."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Attribute(attr="state", value=owner, ctx=ast.Store()):
                if not (isinstance(owner, ast.Name) and owner.id == "self"):
                    yield node.lineno


def long_functions(modules: Sequence[Module]) -> Iterator[str]:
    """A function fits on a screen."""
    for module, function, _ in _functions(modules):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > MOST_LINES_OF_A_FUNCTION:
            yield (
                f"{module.at(function.lineno)}: {function.name} has {lines} lines, {MOST_LINES_OF_A_FUNCTION} "
                "is the most: give its steps names"
            )


def long_modules(modules: Sequence[Module]) -> Iterator[str]:
    """A module has one purpose."""
    for module in modules:
        lines = len(module.source.splitlines())
        if lines > MOST_LINES_OF_A_MODULE:
            yield (
                f"{module.at(lines)}: {module.name} has {lines} lines, {MOST_LINES_OF_A_MODULE} is the most: "
                "it has two purposes, so make it two modules"
            )


def many_parameters(modules: Sequence[Module]) -> Iterator[str]:
    """Nobody remembers the order of six."""
    for module, function, is_method in _functions(modules):
        count = len(function.args.posonlyargs) + len(function.args.args) - is_method
        if count > MOST_POSITIONAL_PARAMETERS:
            yield (
                f"{module.at(function.lineno)}: {function.name} takes {count} positional parameters, "
                f"{MOST_POSITIONAL_PARAMETERS} is the most: make some keyword-only, or pass a dataclass"
            )


def _functions(modules: Sequence[Module]) -> Iterator[tuple[Module, _Function, bool]]:
    """Every function; True for methods, whose first parameter nobody passes."""
    for module in modules:
        for node in ast.walk(module.tree):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, _Function):
                    yield module, child, isinstance(node, ast.ClassDef) and not _is_static(child)


def _is_static(function: _Function) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in function.decorator_list)
