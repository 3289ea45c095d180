"""Imports point down (style.md §2)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.structure import layers
from tests.structure.code import Module, read

ROOT = Path(__file__).parents[2]

Check = Callable[[Sequence[Module]], Iterator[str]]
CHECKS: list[Check] = [
    layers.unlisted_modules,
    layers.imports_that_point_up,
    layers.imports_between_apps,
    layers.imports_of_tests_or_ops,
    layers.impure_imports_of_layer_0,
    layers.imports_inside_functions,
    layers.dotted_names_of_apps_in_core,
    layers.import_cycles,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_code_keeps_to_its_layers(check: Check) -> None:
    assert "\n".join(check(read(ROOT))) == ""


@pytest.mark.parametrize(
    ("check", "path", "source", "complaint"),
    [
        (
            layers.unlisted_modules,
            "outbox/helpers.py",
            "",
            "outbox/helpers.py:1: outbox.helpers is in no table: decide where",
        ),
        (layers.unlisted_modules, "auth_api/jobs.py", "", "add it to AUTH_API_ARROWS in tests/structure"),
        (layers.unlisted_modules, "outbox/__init__.py", "import os", "a package imports nothing"),
        (
            layers.imports_that_point_up,
            "outbox/transitions.py",
            "import os\nfrom outbox.tasks import send",
            "outbox/transitions.py:2: outbox.transitions (layer 2) imports outbox.tasks (layer 4)",
        ),
        (layers.imports_that_point_up, "outbox/sql.py", "from outbox import tasks", "outbox.tasks (layer 4)"),
        (layers.imports_that_point_up, "outbox/sql.py", "from . import tasks", "outbox.tasks (layer 4)"),
        (layers.imports_that_point_up, "outbox/sql.py", "from .tasks import send", "outbox.tasks (layer 4)"),
        (layers.imports_that_point_up, "outbox/sql.py", "import outbox.tasks", "outbox.tasks (layer 4)"),
        (
            layers.imports_that_point_up,
            "outbox/rendering.py",
            "from outbox import messages",
            "outbox.rendering → outbox.messages is no arrow",
        ),
        (
            layers.imports_that_point_up,
            "outbox/views.py",
            "from outbox.management.commands import outbox_status",
            "outbox.views → outbox.commands is no arrow",
        ),
        (
            layers.imports_that_point_up,
            "outbox/management/commands/outbox_pause.py",
            "from outbox import admin",
            "outbox.commands → outbox.admin is no arrow",
        ),
        (
            layers.imports_that_point_up,
            "auth_api/views.py",
            "from auth_api import mails",
            "auth_api/views.py:1: auth_api.views → auth_api.mails is no arrow",
        ),
        (
            layers.imports_that_point_up,
            "core/env.py",
            "from core import settings",
            "core.env → core.settings is no arrow",
        ),
        (
            layers.imports_between_apps,
            "outbox/tasks.py",
            "from auth_api.models import User",
            "outbox knows no other app",
        ),
        (layers.imports_between_apps, "outbox/tasks.py", "import core.celery", "outbox knows no other app"),
        (
            layers.imports_between_apps,
            "auth_api/services.py",
            "from outbox import intents",
            "auth_api.services imports outbox.intents: the only way is auth_api.mails",
        ),
        (
            layers.imports_between_apps,
            "auth_api/mails.py",
            "from outbox.models import Intent",
            "auth_api.mails imports outbox.models",
        ),
        (
            layers.imports_between_apps,
            "core/celery.py",
            "from outbox import tasks",
            "only core.urls, core.settings and core.look name the apps",
        ),
        (
            layers.imports_of_tests_or_ops,
            "outbox/doctor.py",
            "from tests.smtp import SmtpServer",
            "outbox/doctor.py:1: nobody imports tests or ops",
        ),
        (layers.imports_of_tests_or_ops, "core/urls.py", "import ops.dev", "nobody imports tests or ops"),
        (
            layers.impure_imports_of_layer_0,
            "outbox/policy.py",
            "import json\nfrom django.conf import settings",
            "outbox/policy.py:2: outbox.policy is pure and imports django.conf",
        ),
        (
            layers.imports_inside_functions,
            "outbox/sender.py",
            "def work():\n    from outbox import tasks",
            "outbox/sender.py:2: work imports outbox.tasks: put it at the top",
        ),
        (
            layers.imports_inside_functions,
            "outbox/sender.py",
            "class A:\n    async def work(self):\n        if self:\n            import os",
            "outbox/sender.py:4: work imports os",
        ),
        (
            layers.imports_inside_functions,
            "outbox/sender.py",
            "def work():\n    return import_module('outbox.tasks')",
            "work imports outbox.tasks",
        ),
        (
            layers.dotted_names_of_apps_in_core,
            "core/celery.py",
            "ROUTES = {'auth_api.tasks.send': 'outbox'}",
            "core/celery.py:1: 'auth_api.tasks.send' names an app",
        ),
        (layers.dotted_names_of_apps_in_core, "core/logs.py", "NAME = 'outbox'", "'outbox' names an app"),
    ],
)
def test_what_breaks_the_layers_is_found(tmp_path: Path, check: Check, path: str, source: str, complaint: str) -> None:
    write(tmp_path, {path: source, "outbox/management/commands/outbox_status.py": ""})

    found = list(check(read(tmp_path)))
    assert len(found) == 1
    assert complaint in found[0]


def test_an_import_cycle_is_found(tmp_path: Path) -> None:
    sources = {"a": "import outbox.b", "b": "from . import c", "c": "from outbox import a", "d": "import outbox.a"}
    write(tmp_path, {f"outbox/{name}.py": source for name, source in sources.items()})

    assert list(layers.import_cycles(read(tmp_path))) == [
        "import cycle outbox.a → outbox.b → outbox.c → outbox.a: move what they share down"
    ]


def test_what_keeps_to_the_layers_is_not_complained_of(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "core/settings.py": "from core import env\nAPPS = ['outbox', 'auth_api']",
            "core/celery.py": "TASK = 'outbox.dispatch'",
            "core/urls.py": "from outbox import urls",
            "outbox/__init__.py": '"""Sends mail."""',
            "outbox/apps.py": "class A:\n    def ready(self):\n        from outbox import checks, receivers",
            "outbox/policy.py": "import json\nfrom outbox.outcomes import Outcome",
            "outbox/tasks.py": "from celery import shared_task\nfrom outbox import conf, sender\nimport outbox.sql",
            "outbox/management/commands/one.py": "from outbox import intents, tasks",
            "outbox/migrations/0001_initial.py": "import auth_api.models",
            "auth_api/mails.py": "from auth_api import codes\nfrom outbox import intents, kinds",
        },
    )

    assert [each for check in CHECKS for each in check(read(tmp_path))] == []


def write(root: Path, files: dict[str, str]) -> None:
    for path, source in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(source, encoding="utf-8")
