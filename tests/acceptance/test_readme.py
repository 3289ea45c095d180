"""The README's examples of the API work, word for word."""

import json
import os
import re
import shutil
import subprocess
from typing import Any

import pytest

from ops.dev.bootstrap import ROOT
from ops.dev.place import HOST
from tests.acceptance import mailbag
from tests.acceptance.rig import Rig

EMAIL = "layla@example.com"


def examples() -> list[str]:
    """The commands of the section, each as its author wrote it."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Use the API\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return re.findall(r"^curl (?:.*\\\n)*.*$", block, re.MULTILINE)


def run(command: str, known: dict[str, str]) -> dict[str, Any]:
    """What curl printed, as a shell runs it that knows these variables."""
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **known}
    done = subprocess.run(["sh", "-uec", command], env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, (command, done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine: install it (apt install curl)")
def test_the_examples_of_the_readme_run_as_they_stand(system: Rig):
    known = {"SITE": f"http://{HOST}:{system.web.port}"}
    paths = []
    for command in examples():
        answer = run(command, known)
        assert answer["status"] == "success", (command, answer)
        paths += re.findall(r"\$SITE(\S+)", command)
        known.update({name.upper(): answer[name] for name in ("token", "task_id") if name in answer})
        if paths[-1] == "/api/auth/password/reset/":
            system.wait_sent(answer["task_id"])
            its = f"Message-ID: <{answer['task_id'].replace('-', '')}@".encode()  # an older mail may arrive later
            [mail] = [each for each in system.smtp.record.accepted_for(EMAIL) if its in each.raw]
            known["CODE"] = mailbag.code(mail)

    assert len(paths) == 10
    assert paths[-1] == "/api/auth/password/reset/confirm/"
    assert system.client.log_in(EMAIL, "another-Long-one")
