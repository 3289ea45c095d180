"""Settings that no reader of variables can refuse by itself."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_canary_every_nothing_stops_the_start():
    words = [sys.executable, "-c", "import tests.settings"]
    env = {**os.environ, "CANARY_EVERY": "0s"}

    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert done.stderr.endswith("CANARY_EVERY is '0s'; it must be longer than nothing.\n")
