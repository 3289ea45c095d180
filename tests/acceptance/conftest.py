"""The running system, shared by all acceptance tests, and made calm before each of them."""

from collections.abc import Iterator

import pytest

from tests.acceptance.faults import LONG, SHORT, Scale
from tests.acceptance.rig import Rig, running_rig

_THREADS = "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"  # Python 3.12: see Child.start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, and put them behind all others: the running system would only slow those down."""
    ours = [item for item in items if "tests/acceptance/" in item.nodeid]
    for item in ours:
        item.add_marker(pytest.mark.acceptance)
        item.add_marker(pytest.mark.filterwarnings(_THREADS))
    items[:] = [item for item in items if item not in ours] + ours


@pytest.fixture(scope="session")
def running() -> Iterator[Rig]:
    """The system, started once."""
    with running_rig() as rig:
        yield rig


@pytest.fixture
def system(running: Rig) -> Rig:
    """The system: all up, all idle, all empty."""
    running.calm()
    return running


@pytest.fixture
def scale(pytestconfig: pytest.Config) -> Scale:
    """How long faults last: short, or long with --faults."""
    return LONG if pytestconfig.getoption("--faults", default=False) else SHORT
