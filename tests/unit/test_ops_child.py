import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ops.dev.child import Child, Order
from ops.dev.services import wait_until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = """
import os, signal
from ops.dev.child import Child, Order
child = Child(Order(argv=["/bin/sleep", "60"], env={}))
child.start()
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def is_there(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_child_that_ignores_the_gentle_signal_is_killed(tmp_path: Path) -> None:
    child = Child(Order(argv=[sys.executable, "-c", STUBBORN], env={}, log=tmp_path / "log", patience=0.1))
    child.start()
    pid = child.pid
    assert wait_until(lambda: "up" in child.output(), 10)

    child.stop()

    assert not is_there(pid)
    assert not child.is_running


def test_a_paused_child_can_be_stopped() -> None:
    child = Child(Order(argv=["/bin/sleep", "60"], env={}, patience=5))
    child.start()
    child.pause()

    child.ask_to_stop()

    assert child.wait(5) == -signal.SIGTERM
    child.stop()


def test_the_output_is_that_of_the_last_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("from before\n")
    child = Child(Order(argv=["/bin/echo", "now"], env={}, log=log))

    child.start()
    child.wait(5)

    assert child.output() == "now\n"
    child.stop()


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    child = Child(Order(argv=["/bin/sh", "-c", "sleep 60 & echo $!; wait"], env={}, log=tmp_path / "log"))
    child.start()
    assert wait_until(lambda: child.output().endswith("\n"), 5)
    grandchild = int(child.output())

    child.stop()

    assert wait_until(lambda: not is_there(grandchild), 5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_child_dies_with_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, cwd=os.getcwd(), check=False)

    assert done.returncode == -signal.SIGKILL
    assert wait_until(lambda: not is_there(int(done.stdout)), 5)
