"""The files for deployment fit each other; what tools are here check them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

OPS = Path(__file__).parents[2] / "ops"
NAMES = ("web", "worker", "beat", "standby", "flower")
# The tools that tests/requirements.txt brings lie beside Python.
OURS = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
COMPOSE = yaml.safe_load((OPS / "compose.yaml").read_text())


def composes() -> bool:
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_process_is_a_service_that_starts_again(name):
    service = COMPOSE["services"][name]

    assert service["restart"] == "always"
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True


@pytest.mark.parametrize("name", ["migrate", *NAMES])
def test_a_service_gets_all_that_can_be_set(name):
    service = COMPOSE["services"][name]
    set_here = {key for key, value in service["environment"].items() if not str(value).startswith("${" + key)}

    assert service["env_file"] == [{"path": "../.env", "required": False}]
    assert set_here == {"DATABASE_URL", "REDIS_URL"}  # over the file; of the others the file's value counts


@pytest.mark.parametrize("name", ["worker", "beat", "flower"])
def test_a_service_runs_what_the_unit_runs(name):
    unit = (OPS / "systemd" / f"outbox-{name}.service").read_text()
    [words] = re.findall(r"^ExecStart=\S+ -m (.*)$", unit, re.MULTILINE)
    ours = " ".join(COMPOSE["services"][name]["command"])

    assert re.sub(r"=\d+\.\d+\.\d+\.\d+", "", ours) == re.sub(r"=\d+\.\d+\.\d+\.\d+", "", words)


@pytest.mark.parametrize("name", ["worker", "standby"])
def test_a_mail_in_flight_has_time_to_end(name):
    assert COMPOSE["services"][name]["stop_grace_period"] == "300s"


def test_redis_never_evicts_and_the_standby_does_without_it():
    assert "noeviction" in COMPOSE["services"]["redis"]["command"]
    assert list(COMPOSE["services"]["standby"]["depends_on"]) == ["migrate"]


def test_the_image_runs_as_nobody_special_and_reports_its_health():
    lines = (OPS / "Dockerfile").read_text().splitlines()
    users = [line for line in lines if line.startswith("USER")]

    assert users == ["USER 10001:10001"]
    assert sum(line.startswith("FROM") for line in lines) == 2
    assert any(line.startswith("HEALTHCHECK") for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_may_do_little(name):
    unit = (OPS / "systemd" / f"outbox-{name}.service").read_text().splitlines()

    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "UMask=0077"):
        assert line in unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_takes_the_units(tmp_path):
    for path in (OPS / "systemd").iterdir():
        text = path.read_text().replace("/srv/outbox/.venv/bin/python", shutil.which("python3") or "/usr/bin/python3")
        (tmp_path / path.name).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))

    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)

    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "outbox" in line]
    assert ours == []


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not here")
def test_nginx_takes_the_example(tmp_path):
    text = (OPS / "nginx" / "outbox.conf").read_text()
    plain = re.sub(r"listen (\[::\].*|443 ssl);|ssl_certificate.*;", "", text)
    plain = plain.replace("listen 80;", "listen 127.0.0.1:18080;")  # as who may not bind 80
    ours = "".join(f"{name}_temp_path {tmp_path};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole = tmp_path / "nginx.conf"
    whole.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{ours}{plain}\n}}\n"
    )

    done = subprocess.run(["nginx", "-t", "-c", whole], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_linter_has_nothing_to_say_of_the_image():
    done = subprocess.run(["hadolint", OPS / "Dockerfile"], capture_output=True, text=True, check=False, env=OURS)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_composition_is_one_by_the_specification():
    words = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(OPS / "compose.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=OURS)

    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not composes(), reason="docker compose is not here")
def test_docker_takes_the_composition():
    given = {"SECRET_KEY": "x", "POSTGRES_PASSWORD": "x", "FLOWER_BASIC_AUTH": "a:b", "PATH": "/usr/bin:/usr/local/bin"}

    done = subprocess.run(
        ["docker", "compose", "-f", OPS / "compose.yaml", "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        env=given,
    )

    assert done.returncode == 0, done.stderr
