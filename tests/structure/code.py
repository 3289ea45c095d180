"""Reads the project's modules as syntax trees, so that rules can look at what they import and call."""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

APPS = ("core", "outbox", "auth_api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One module that another imports, and where; `function` is the one it stands in, if any."""

    target: str
    line: int
    function: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One file: `name` as it is imported, `path` as it is told to people."""

    name: str
    path: str
    source: str
    tree: ast.Module

    @property
    def app(self) -> str:
        """The first part of its name."""
        return self.name.partition(".")[0]

    @property
    def is_package(self) -> bool:
        """Whether this is an __init__.py."""
        return self.path.endswith("__init__.py")

    @property
    def role(self) -> str:
        """Its name within the app; all management commands have one role."""
        rest = self.name.partition(".")[2]
        return "commands" if rest.startswith("management.commands.") else rest

    def at(self, line: int) -> str:
        """Where, for a complaint."""
        return f"{self.path}:{line}"

    def imports(self, known: Collection[str]) -> Iterator[Import]:
        """Everything it imports; `from package import module` counts as the module if that is known."""
        for node, function in _walk(self.tree, None):
            for target in self._targets(node, known):
                yield Import(target=target, line=node.lineno, function=function)

    def strings(self) -> Iterator[tuple[int, str]]:
        """Every string constant, the parts of f-strings too, with its line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, node.value

    def calls(self) -> Iterator[ast.Call]:
        """Every call."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def _targets(self, node: ast.stmt | ast.expr, known: Collection[str]) -> list[str]:
        match node:
            case ast.Import(names=names):
                return [alias.name for alias in names]
            case ast.ImportFrom(names=names):
                origin = self._origin(node)
                inner = [f"{origin}.{alias.name}" for alias in names]
                return list(dict.fromkeys(name if name in known else origin for name in inner))
            case ast.Call(args=[ast.Constant(value=str(target)), *_]) if called(node) in IMPORTERS:
                return [target]
        return []

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        parts = package[: len(package) - node.level + 1]
        return ".".join([*parts, node.module] if node.module else parts)


IMPORTERS = {"import_module", "__import__"}


def called(call: ast.Call) -> str:
    """The last part of what is called: `update` in `rows.filter(…).update(…)`."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def read(root: Path) -> list[Module]:
    """All modules of the apps below root, migrations left out."""
    paths = [path for app in APPS for path in sorted((root / app).rglob("*.py"))]
    return [_module(root, path) for path in paths if "migrations" not in path.parts]


def read_migrations(root: Path) -> list[Module]:
    """All migrations of the apps below root."""
    return [_module(root, path) for app in APPS for path in sorted(root.glob(f"{app}/migrations/[0-9]*.py"))]


def _module(root: Path, path: Path) -> Module:
    relative = path.relative_to(root)
    parts = relative.parent.parts if path.name == "__init__.py" else (*relative.parent.parts, path.stem)
    source = path.read_text(encoding="utf-8")
    return Module(name=".".join(parts), path=relative.as_posix(), source=source, tree=ast.parse(source, str(path)))


def _walk(node: ast.AST, function: str | None) -> Iterator[tuple[ast.stmt | ast.expr, str | None]]:
    """Every statement and expression with the name of the function it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.expr):
            yield child, function
        inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from _walk(child, inside)
