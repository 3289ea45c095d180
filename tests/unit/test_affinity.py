"""A busy process's threads share one CPU, and only while it is busy."""

import os
import threading
from collections.abc import Iterator

import pytest

from outbox.affinity import OneCpu

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == 1, reason="there is nothing to choose from"
)


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
    try:
        one = OneCpu()
        one.hold([other])
        assert os.sched_getaffinity(other) == before
    finally:
        os.sched_setaffinity(0, before)
