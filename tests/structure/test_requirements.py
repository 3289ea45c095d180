"""What is installed is what the requirement files say, to the last digit.

Whether a pin has a known vulnerability only a list of advisories can tell, and that lives on the internet:
`pip-audit -r requirements.txt --no-deps --disable-pip`.
"""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FILES = ("requirements.txt", "ops/dev/requirements.txt", "tests/requirements.txt")
LINES = [
    (file, line)
    for file in FILES
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines()
    if line and not line.startswith(("#", "-r "))
]
EXACT = re.compile(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==[0-9][0-9a-z.]*")


@pytest.mark.parametrize(("file", "line"), LINES)
def test_every_requirement_is_pinned_exactly_and_installed_so(file: str, line: str) -> None:
    assert EXACT.fullmatch(line), f"{file}: write name==version, without a range, a marker or a comment"
    pinned = Requirement(line)
    assert pinned.specifier.contains(version(pinned.name)), f"{file}: {version(pinned.name)} of it is installed"


def test_nothing_is_pinned_twice() -> None:
    names = [canonicalize_name(Requirement(line).name) for _, line in LINES]

    assert sorted(names) == sorted(set(names))


def test_what_is_installed_fits_together() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_nothing_is_a_trial_version() -> None:
    trials = [line for _, line in LINES if next(iter(Requirement(line).specifier)).prereleases]

    assert trials == []
