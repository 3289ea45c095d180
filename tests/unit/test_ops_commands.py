import re
from pathlib import Path

import pytest

from ops.dev import bootstrap, options
from ops.dev.place import clean_environment

ROOT = bootstrap.ROOT
WORKER_NEEDS_SECONDS = 271  # OUTBOX_SLICE + 2 × OUTBOX_DEADLINE + 30 s, with their defaults


def test_what_is_no_argument_of_ours_goes_to_pytest() -> None:
    chosen = options.for_test(["tests/unit", "-x", "--only-tests", "-k", "lease and not slow"])

    assert chosen.checks == ("tests",)
    assert chosen.pytest == ("tests/unit", "-x", "-k", "lease and not slow")


def test_every_check_runs_in_its_order_unless_some_are_named() -> None:
    assert options.for_test(["-x"]).checks == ("format", "lint", "types", "migrations", "tests")
    assert options.for_test(["--only", "types,lint"]).checks == ("lint", "types")


def test_an_unknown_check_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.for_test(["--only", "tests,typos"])

    assert "'typos' is not one of" in capsys.readouterr().err


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two requirement files and an environment that has a Python, but no packages yet."""
    (tmp_path / "requirements.txt").write_text("a==1\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "requirements.txt").write_text("-r ../requirements.txt\nb==1\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch(mode=0o755)
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "PYTHON", python)
    monkeypatch.setattr(bootstrap, "STAMP", tmp_path / ".venv" / "installed.json")
    return tmp_path


def needs_install(*requirements: str) -> bool:
    return not bootstrap._is_installed(bootstrap._wanted(requirements))


def install(*requirements: str) -> None:
    bootstrap._write_stamp(bootstrap._wanted(requirements))


def test_only_a_finished_installation_counts(project: Path) -> None:
    assert needs_install("requirements.txt")
    (project / ".venv" / "installed.json").write_text('{"python": "CPy')
    assert needs_install("requirements.txt")
    install("requirements.txt")
    assert not needs_install("requirements.txt")


def test_the_packages_of_the_tests_serve_the_demo_but_not_the_other_way_round(project: Path) -> None:
    install("requirements.txt")
    assert needs_install("tests/requirements.txt")
    install("tests/requirements.txt")
    assert not needs_install("requirements.txt")


def test_a_changed_pin_is_installed_again_in_an_included_file_too(project: Path) -> None:
    install("tests/requirements.txt")

    (project / "requirements.txt").write_text("a==2\n")

    assert needs_install("tests/requirements.txt")


def test_another_python_is_another_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("requirements.txt")

    monkeypatch.setattr("platform.python_version", lambda: "3.13.9")

    assert needs_install("requirements.txt")


def test_an_environment_whose_python_is_gone_does_not_count(project: Path) -> None:
    install("requirements.txt")

    (project / ".venv" / "bin" / "python").unlink()

    assert needs_install("requirements.txt")


def test_pip_is_quoted_by_its_last_error() -> None:
    output = "Looking in indexes\nERROR: first\nERROR: No matching distribution found for a==9\n\n[notice] new pip\n"

    assert bootstrap._reason(output) == "ERROR: No matching distribution found for a==9"
    assert bootstrap._reason("one\ntwo\n") == "two"
    assert bootstrap._reason("") == ""


def test_the_demo_never_hears_of_a_real_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMAIL_HOST", "EMAIL_HOST_PASSWORD_FILE", "DATABASE_URL", "OUTBOX_RATE", "DJANGO_SETTINGS_MODULE"):
        monkeypatch.setenv(name, "real")
    monkeypatch.setenv("PATH", "/bin")

    found = clean_environment(EMAIL_PORT="25")

    assert (found["PATH"], found["EMAIL_PORT"]) == ("/bin", "25")
    assert "real" not in found.values()


def test_the_example_names_every_variable_that_the_settings_read() -> None:
    read = re.findall(r'env\.[a-z]+\(\s*"([A-Z_]+)"', (ROOT / "core" / "settings.py").read_text())
    named = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert sorted(named) == sorted(set(read))


def test_the_readme_names_every_variable_and_stays_a_manual_that_is_read() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Configure it\n")[2].partition("\n### ")[0]
    named = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert {name for name in named if f"`{name}`" not in table} == set()
    assert len(readme.splitlines()) <= 310  # 300, and the table of how fast it is


def test_the_example_gives_the_defaults_of_the_settings() -> None:
    settings = (ROOT / "core" / "settings.py").read_text()
    given = re.findall(r"^#([A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    read = dict(re.findall(r'env\.[a-z]+\(\s*"([A-Z_]+)", (?:default=)?"?([^",)]*)', settings))

    flags = {"False": "0", "not DEBUG": "1"}
    assert {name: value.strip('"') for name, value in given} == {
        name: flags.get(read[name], read[name]) for name, _ in given
    }


@pytest.mark.parametrize("name", ["web", "worker", "beat", "standby", "flower"])
def test_every_process_has_the_same_command_under_both_supervisors(name: str) -> None:
    unit = (ROOT / "ops" / "systemd" / f"outbox-{name}.service").read_text()
    program = (ROOT / "ops" / "supervisor" / "outbox.conf").read_text().partition(f"[program:{name}]")[2]

    by_systemd = re.findall(r"^ExecStart=/srv/outbox/(.*)$", unit, re.MULTILINE)
    by_supervisor = re.findall(r"^command=.* exec (.*)'$", program.partition("[program:")[0], re.MULTILINE)

    assert by_systemd == by_supervisor
    assert "KillMode=mixed" in unit
    assert "Restart=always" in unit


def test_a_worker_gets_more_time_to_stop_than_a_task_may_take() -> None:
    unit = (ROOT / "ops" / "systemd" / "outbox-worker.service").read_text()
    program = (ROOT / "ops" / "supervisor" / "outbox.conf").read_text().partition("[program:worker]")[2]

    seconds = re.findall(r"^TimeoutStopSec=(\d+)", unit, re.MULTILINE) + re.findall(r"stopwaitsecs=(\d+)", program)[:1]

    assert [int(value) > WORKER_NEEDS_SECONDS for value in seconds] == [True, True]
