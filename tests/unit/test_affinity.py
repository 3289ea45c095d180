"""A busy process's threads share one CPU, and only while it is busy."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from outbox import affinity
from outbox.affinity import OneCpu

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == 1, reason="there is nothing to choose from"
)


@pytest.fixture(autouse=True)
def _cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Locks that nobody else takes, for the workers of other tests may be busy now; at the end all CPUs are allowed."""
    before = os.sched_getaffinity(0)
    for cpu in before:
        (tmp_path / f"cpu{cpu}").mkdir()
    monkeypatch.setattr(affinity, "_CPU", str(tmp_path / "cpu{}"))
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture
def other() -> Iterator[int]:
    """The native id of a thread that waits."""
    ends = threading.Event()
    thread = threading.Thread(target=ends.wait)
    thread.start()
    yield thread.native_id or 0
    ends.set()
    thread.join()


def test_all_threads_share_one_cpu_until_they_are_released(other):
    before = os.sched_getaffinity(0)
    one = OneCpu()

    one.hold([other])
    [cpu] = os.sched_getaffinity(0)
    assert cpu in before
    assert os.sched_getaffinity(other) == {cpu}

    one.release([other])
    assert os.sched_getaffinity(0) == os.sched_getaffinity(other) == before


def test_no_two_processes_hold_the_same_cpu():
    before = os.sched_getaffinity(0)
    every = [OneCpu() for _ in before]  # a lock belongs to an opened folder, so these stand for processes
    late = OneCpu()

    held: list[int] = []
    for one in every:
        one.hold([])
        held += os.sched_getaffinity(0)
    assert sorted(held) == sorted(before)

    os.sched_setaffinity(0, before)
    late.hold([])
    assert os.sched_getaffinity(0) == before

    every[0].release([])
    late.hold([])
    assert os.sched_getaffinity(0) == {held[0]}
    for one in (late, *every):
        one.release([])


def test_where_cpus_cannot_be_locked_nothing_is_held(monkeypatch):
    before = os.sched_getaffinity(0)
    monkeypatch.setattr(affinity, "_CPU", "/nowhere/cpu{}")

    OneCpu().hold([])
    assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(not Path("/sys/devices/system/cpu").is_dir(), reason="the system has no such folders")
def test_each_cpu_has_a_folder_to_lock(monkeypatch):
    monkeypatch.undo()

    for cpu in os.sched_getaffinity(0):
        assert Path(affinity._CPU.format(cpu)).is_dir()


def test_a_thread_that_has_ended_is_no_trouble(other):
    before = os.sched_getaffinity(0)
    gone = threading.Thread(target=lambda: None)
    gone.start()
    gone.join()
    one = OneCpu()

    one.hold([gone.native_id or 0, other])
    assert len(os.sched_getaffinity(other)) == 1

    one.release([other])
    assert os.sched_getaffinity(0) == before


def test_a_process_that_was_given_one_cpu_keeps_it(other):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})

    OneCpu().hold([other])
    assert os.sched_getaffinity(other) == before
