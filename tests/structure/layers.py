"""Which module may import which (style.md §2): the tables, and the checks that hold them."""

import sys
from collections.abc import Iterator, Sequence

from tests.structure.code import Module

OUTBOX_LAYERS = {
    0: "states outcomes policy classify kinds errors circuit headers affinity histogram charts counts",
    1: "conf models sql sql_figures prepared events addresses sealing brand sandbox tracing",
    2: "transitions turn breaker queries figures",
    3: "intents rendering messages smtp transport sender lanes binding recording dispatcher rescuer standby pruner"
    " rollup doctor previews contract canary errands",
    4: "tasks nudge backends admin admin_previews exposition confirmed changelist wording dashboard views urls spans"
    " receivers checks apps commands management.durations management.answers",
}
# Inside a layer of outbox only these.
OUTBOX_SIDEWAYS = {
    "policy": "outcomes",
    "classify": "outcomes",
    "circuit": "outcomes",
    "kinds": "policy errors",
    "sandbox": "addresses",
    "queries": "breaker",
    "turn": "transitions",
    "figures": "breaker",
    "canary": "intents",
    "errands": "intents",
    "confirmed": "tasks",
    "admin": "admin_previews confirmed changelist wording",
    "dashboard": "wording",
    "views": "exposition",
    "intents": "messages",
    "messages": "rendering",
    "previews": "messages rendering",
    "contract": "rendering",
    "transport": "messages smtp",
    "lanes": "messages rendering transport",
    "sender": "lanes binding recording rescuer",
    "rescuer": "recording",
    "dispatcher": "rescuer",
    "standby": "rescuer sender",
    "nudge": "tasks",
    "receivers": "nudge",
    "urls": "views",
    "apps": "checks receivers spans",
    "commands": "tasks management.durations management.answers",
}
# In the small ones every arrow is listed.
AUTH_API_ARROWS = {
    "texts": "",
    "parsers": "",
    "clients": "",
    "addresses": "texts",
    "models": "addresses",
    "codes": "models",
    "tokens": "models",
    "answers": "models texts",
    "fields": "addresses codes models texts",
    "errors": "answers parsers texts",
    "throttles": "clients models",
    "mails": "codes models",
    "services": "codes mails throttles models",
    "serializers": "fields models texts",
    "schema": "answers serializers texts",
    "views": "answers clients errors schema serializers services texts throttles models",
    "urls": "views",
    "pruner": "throttles models",
    "hashers": "",
    "tasks": "pruner",
    "admin": "services models",
    "sites": "addresses clients services texts throttles models",
    "commands": "pruner services models",
    "apps": "mails",
}
CORE_ARROWS = {
    "env": "",
    "logs": "",
    "csp": "",
    "look": "",
    "telemetry": "logs",
    "requests": "telemetry",
    "settings": "env logs look telemetry",
    "celery": "",
    "urls": "",
    "wsgi": "celery",
    "asgi": "celery",
}
BETWEEN_APPS = {("auth_api.mails", "outbox.intents"), ("auth_api.mails", "outbox.kinds")}
NAMES_THE_APPS = {"core.urls", "core.settings", "core.look"}
FORBIDDEN = ("tests", "ops")

_HERE = "tests/structure/layers.py"
_LAYER = {f"outbox.{name}": layer for layer, names in OUTBOX_LAYERS.items() for name in names.split()}
_ARROWS = {
    f"{app}.{name}": {f"{app}.{target}" for target in targets.split()}
    for app, arrows in (("auth_api", AUTH_API_ARROWS), ("core", CORE_ARROWS))
    for name, targets in arrows.items()
}
_KNOWN = _LAYER.keys() | _ARROWS.keys()


def unlisted_modules(modules: Sequence[Module]) -> Iterator[str]:
    """A module that no table knows could import anything."""
    for module in modules:
        if module.is_package:
            if any(module.imports(_KNOWN)):
                yield f"{module.at(1)}: a package imports nothing, for that runs with each of its modules"
        elif _place(module) not in _KNOWN:
            table = "OUTBOX_LAYERS" if module.app == "outbox" else f"{module.app.upper()}_ARROWS"
            yield (
                f"{module.at(1)}: {module.name} is in no table: decide where style.md §2 wants it and add "
                f"it to {table} in {_HERE} (and to style.md's list)"
            )


def imports_that_point_up(modules: Sequence[Module]) -> Iterator[str]:
    """Within an app, imports point down; within a layer only along the listed arrows."""
    for module, line, target in _internal(modules):
        here, there = _place(module), _role_of(target)
        if module.app != target.partition(".")[0] or here not in _KNOWN or there not in _KNOWN:
            continue
        if module.app == "outbox" and _LAYER[there] > _LAYER[here]:
            yield (
                f"{module.at(line)}: {here} (layer {_LAYER[here]}) imports {there} (layer {_LAYER[there]}): "
                "imports point down, so move the code down or take it as an argument"
            )
        elif not _may_import(here, there):
            yield (
                f"{module.at(line)}: {here} → {there} is no arrow of style.md §2: move what both need further "
                f"down, or if the arrow is meant, add it to {_HERE}"
            )


def imports_between_apps(modules: Sequence[Module]) -> Iterator[str]:
    """`outbox` stands alone, `auth_api.mails` is the only door to it; of `core` a few know both."""
    for module, line, target in _internal(modules):
        app = target.partition(".")[0]
        allowed = (module.name, target) in BETWEEN_APPS or module.name in NAMES_THE_APPS
        if app == module.app or allowed:
            continue
        yield f"{module.at(line)}: {module.name} imports {target}: {_WAY_OUT[module.app]}"


_WAY_OUT = {
    "outbox": "outbox knows no other app; register a kind or pass a function in",
    "auth_api": "the only way is auth_api.mails → outbox.intents, outbox.kinds; add a function to mails.py",
    "core": "only core.urls, core.settings and core.look name the apps; move the code into the app",
}


def imports_of_tests_or_ops(modules: Sequence[Module]) -> Iterator[str]:
    """What runs in production does not need the tests or the tools."""
    for module in modules:
        for found in module.imports(_KNOWN):
            if found.target.partition(".")[0] in FORBIDDEN:
                yield f"{module.at(found.line)}: nobody imports tests or ops; move {found.target} into an app"


def impure_imports_of_layer_0(modules: Sequence[Module]) -> Iterator[str]:
    """Layer 0 imports the standard library and itself."""
    for module in modules:
        if _LAYER.get(module.name) != 0:
            continue
        for found in module.imports(_KNOWN):
            root = found.target.partition(".")[0]
            if root != "outbox" and root not in sys.stdlib_module_names:
                yield (
                    f"{module.at(found.line)}: {module.name} is pure and imports {found.target}: layer 0 has "
                    "the standard library only; pass the value in, or move the module up"
                )


def imports_inside_functions(modules: Sequence[Module]) -> Iterator[str]:
    """Only AppConfig.ready imports late, because models exist from then on."""
    for module in modules:
        for found in module.imports(_KNOWN):
            if found.function and not (module.role == "apps" and found.function == "ready"):
                yield (
                    f"{module.at(found.line)}: {found.function} imports {found.target}: put it at the top; if "
                    "that makes a cycle, move the code instead"
                )


def dotted_names_of_apps_in_core(modules: Sequence[Module]) -> Iterator[str]:
    """`core` names the apps in urls, settings and the look; the Celery app may name tasks and queues of outbox."""
    for module in modules:
        if module.app != "core" or module.name in NAMES_THE_APPS:
            continue
        may_name = {"outbox"} if module.name == "core.celery" else set()
        for line, text in module.strings():
            root = text.partition(".")[0]
            if root in {"outbox", "auth_api"} - may_name and text.replace(".", "_").isidentifier():
                yield f"{module.at(line)}: {text!r} names an app; only core.urls, core.settings and core.look do"


def import_cycles(modules: Sequence[Module]) -> Iterator[str]:
    """No module needs itself to be imported."""
    known = {module.name for module in modules}
    graph = {
        module.name: {found.target for found in module.imports(known)} & known - {module.name} for module in modules
    }
    done: set[str] = set()
    for start in graph:
        yield from _cycles_from(start, graph, [], done)


def _cycles_from(name: str, graph: dict[str, set[str]], path: list[str], done: set[str]) -> Iterator[str]:
    if name in path:
        yield f"import cycle {' → '.join([*path[path.index(name) :], name])}: move what they share down"
    elif name not in done:
        for target in sorted(graph[name]):
            yield from _cycles_from(target, graph, [*path, name], done)
        done.add(name)


def _internal(modules: Sequence[Module]) -> Iterator[tuple[Module, int, str]]:
    """Every import of one of the apps' modules."""
    for module in modules:
        for found in module.imports(_KNOWN | {other.name for other in modules}):
            if found.target.partition(".")[0] in _WAY_OUT:
                yield module, found.line, found.target


def _place(module: Module) -> str:
    return f"{module.app}.{module.role}"


def _role_of(target: str) -> str:
    app, _, rest = target.partition(".")
    return f"{app}.commands" if rest.startswith("management.commands.") else target


def _may_import(here: str, there: str) -> bool:
    if here in _ARROWS:
        return there in _ARROWS[here] or there == here
    sideways = OUTBOX_SIDEWAYS.get(here.removeprefix("outbox."), "").split()
    return _LAYER[there] < _LAYER[here] or there.removeprefix("outbox.") in sideways
