"""No migration is missing, and migrations only add (design.md §6)."""

from pathlib import Path

import pytest
from django.apps import apps
from django.core.management.commands.makemigrations import Command
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from tests.structure.code import read_migrations
from tests.structure.migrations import RETIRED, migrations_that_take_away

ROOT = Path(__file__).parents[2]
OURS = {"outbox", "auth_api"}


def test_the_models_need_no_further_migration() -> None:
    # What `makemigrations --check` does, without its look into a database.
    loader = MigrationLoader(None)
    autodetector = Command.autodetector(loader.project_state(), ProjectState.from_apps(apps))
    missing = [
        f"{app}: {operation.describe()}"
        for app, migrations in autodetector.changes(graph=loader.graph, trim_to_apps=OURS).items()
        for migration in migrations
        for operation in migration.operations
    ]

    assert missing == [], "run `python manage.py makemigrations` and commit what it writes"


def test_no_two_migrations_follow_the_same_one() -> None:
    conflicts = MigrationLoader(None).detect_conflicts()

    assert conflicts == {}, "let the younger one depend on the other"


def test_migrations_only_add() -> None:
    assert "\n".join(migrations_that_take_away(read_migrations(ROOT), RETIRED)) == ""


def test_every_retirement_names_a_migration() -> None:
    assert RETIRED.keys() <= {migration.path for migration in read_migrations(ROOT)}


@pytest.mark.parametrize(
    ("operations", "complaint"),
    [
        ("migrations.RemoveField(model_name='intent', name='actor')", "RemoveField takes something away"),
        ("migrations.DeleteModel(name='Minute')", "DeleteModel takes"),
        ("migrations.RenameField('intent', 'a', 'b')", "RenameField takes"),
        ("migrations.RenameModel('Intent', 'Message')", "RenameModel takes"),
        ("migrations.RemoveConstraint(model_name='intent', name='a')", "RemoveConstraint without AddConstraint"),
        (
            "migrations.RemoveConstraint(model_name='intent', name='a'),\n"
            "migrations.AddConstraint(model_name='attempt', constraint=None)",
            "RemoveConstraint without AddConstraint for the same model",
        ),
        ("migrations.RemoveIndex(model_name='intent', name='a')", "RemoveIndex without AddIndex"),
        ("migrations.RunSQL('ALTER TABLE outbox_intent DROP COLUMN actor')", "RunSQL takes"),
        ("migrations.RunSQL(sql=['SELECT 1', 'drop table outbox_intent'])", "RunSQL takes"),
    ],
)
def test_a_migration_that_takes_away_is_found(tmp_path: Path, operations: str, complaint: str) -> None:
    write_migration(tmp_path, operations)

    [found] = migrations_that_take_away(read_migrations(tmp_path), {})
    assert found.startswith("outbox/migrations/0002_next.py:2: ")
    assert complaint in found
    retired = {"outbox/migrations/0002_next.py": "unused since release 2"}
    assert list(migrations_that_take_away(read_migrations(tmp_path), retired)) == []


@pytest.mark.parametrize(
    "operations",
    [
        "migrations.AddField(model_name='intent', name='actor', field=None)",
        "migrations.RemoveConstraint(model_name='intent', name='a'),\n"
        "migrations.AddConstraint(model_name='Intent', constraint=None)",
        "migrations.RunSQL('CREATE INDEX a ON b (c)', reverse_sql='DROP INDEX a; DROP TABLE b')",
    ],
)
def test_a_migration_that_adds_is_not_complained_of(tmp_path: Path, operations: str) -> None:
    write_migration(tmp_path, operations)

    assert list(migrations_that_take_away(read_migrations(tmp_path), {})) == []


def write_migration(root: Path, operations: str) -> None:
    folder = root / "outbox" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0002_next.py").write_text(f"operations = [\n{operations}]\n", encoding="utf-8")
