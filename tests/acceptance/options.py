"""The option --faults. pytest wants options in the conftest of its root: tests/conftest.py imports this."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make --faults known."""
    parser.addoption("--faults", action="store_true", help="let each fault of tests/acceptance last long")
