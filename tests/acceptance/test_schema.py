"""Whatever the schema allows, and much that it does not, gets an answer that the schema describes."""

import os
import re
import subprocess
import sys
from pathlib import Path

from ops.dev.bootstrap import ROOT
from ops.dev.place import clean_environment
from ops.dev.programs import Web
from tests.acceptance.rig import Rig

_CONFIG = Path(__file__).with_name("schemathesis.toml")
_SECONDS = 600  # alone on two cores it takes a tenth of it
_CASES = 2000


class ProxiedWeb(Web):
    """A web server behind a proxy, which names the client."""

    name = "web-proxied"


def test_no_answer_is_outside_the_schema_and_none_is_a_server_error(system: Rig):
    system.retire(system.worker, system.beat)  # hundreds of mails would only compete for the processor
    web = ProxiedWeb({**system.env, "TRUSTED_PROXIES": "1"}, system.logs)
    system.add(web)

    played = _schemathesis(f"http://127.0.0.1:{web.port}/api/schema/")

    assert played.returncode == 0, played.stdout[-6000:]
    summary = re.search(r"(\d+) generated, (\d+) passed", played.stdout)
    assert summary is not None, played.stdout[-6000:]
    assert int(summary[1]) == int(summary[2]) >= _CASES
    assert "Tested: 11" in played.stdout
    assert "Traceback" not in system.logged()


def _schemathesis(schema: str) -> "subprocess.CompletedProcess[str]":
    """Run `st run` with all checks and phases, in the project's folder."""
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(_CONFIG)]
    env = clean_environment(SCHEMATHESIS_HOOKS="tests.acceptance.schema_hooks", PYTHONPATH=os.fspath(ROOT))
    return subprocess.run(
        [*program, "run", schema, "--checks", "all"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
