"""A wrong setting stops every process in one sentence that names it; production settings raise no complaint."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from ops.dev.bootstrap import ROOT
from ops.dev.place import clean_environment

_GOOD = {
    "SECRET_KEY": "a-key-of-fifty-letters-that-no-one-will-ever-guess-0123456789-abc",
    "ALLOWED_HOSTS": "mail.example.com",
    "DATABASE_URL": "postgresql://outbox:secret-word@127.0.0.1:5432/outbox",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "EMAIL_HOST": "smtp.example.com",
    "DEFAULT_FROM_EMAIL": "Accounts <noreply@example.com>",
}
_BAD = {
    "SECRET_KEY": None,
    "DATABASE_URL": "postgresql:/outbox:secret-word@127.0.0.1:port/outbox",
    "REDIS_URL": "127.0.0.1:6379",
    "EMAIL_PORT": "smtp",
    "EMAIL_BACKEND": "core.no_such.EmailBackend",
    "TIME_ZONE": "Asia/Atlantis",
}
_PROCESSES = {
    "manage": ("manage.py", "check"),
    "web": ("-m", "gunicorn", "core.wsgi", "--bind", "127.0.0.1:0", "--no-control-socket"),
    "worker": ("-m", "celery", "-A", "core", "worker", "-Q", "outbox,email", "-c", "1"),
    "beat": ("-m", "celery", "-A", "core", "beat"),
    "flower": ("-m", "celery", "-A", "core", "flower", "--address=127.0.0.1", "--port=0"),
    "standby": ("manage.py", "outbox_standby"),
}
_SECONDS = 60


def run(*words: str, **changes: str | None) -> "subprocess.CompletedProcess[str]":
    given = {**_GOOD, **changes}
    env = clean_environment(**{name: value for name, value in given.items() if value is not None})
    command = [sys.executable, *words]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        start_new_session=True,
    )


@pytest.mark.parametrize("name", _BAD)
def test_a_bad_setting_stops_every_process_in_one_sentence(name: str):
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        ended = list(pool.map(lambda words: run(*words, **{name: _BAD[name]}), _PROCESSES.values()))

    for process, done in zip(_PROCESSES, ended, strict=True):
        about = [line for line in done.stderr.splitlines() if name in line]
        assert done.returncode != 0, process
        assert len(about) == 1, (process, done.stderr)
        assert about[0].startswith(name), (process, about)
        assert about[0].endswith("."), (process, about)
        assert "Traceback" not in done.stderr + done.stdout, (process, done.stderr)
        assert "secret-word" not in done.stderr + done.stdout, process
        if process != "web":  # gunicorn tells that it starts and gives up, in lines of its own
            assert done.stderr.splitlines() == about, process


def test_a_bad_setting_is_refused_before_anything_is_printed_to_stdout():
    assert run("manage.py", "check", SECRET_KEY=None).stdout == ""


def test_a_secret_may_come_from_a_file(tmp_path):
    key = tmp_path / "key"
    key.write_text(f"{_GOOD['SECRET_KEY']}\n", encoding="utf-8")

    assert run("manage.py", "check", SECRET_KEY=None, SECRET_KEY_FILE=str(key)).returncode == 0
    missing = run("manage.py", "check", SECRET_KEY=None, SECRET_KEY_FILE=str(tmp_path / "none"))
    assert missing.returncode != 0
    assert missing.stderr.startswith("SECRET_KEY_FILE")


def test_the_deployment_check_is_silent_with_production_settings():
    done = run("manage.py", "check", "--deploy", "--fail-level", "DEBUG")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.strip() in {"", "System check identified no issues (0 silenced)."}
