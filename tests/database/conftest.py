"""Fixtures of the tests on PostgreSQL."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.dispatch import Signal

from outbox import conf, doctor, events, transport
from outbox.lanes import Lanes
from outbox.sender import Sender
from tests.database.outbox_steps import join_lanes


@pytest.fixture(autouse=True)
def _no_nudge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs the broker."""
    monkeypatch.setattr("outbox.receivers.nudge", lambda: None)


class Heard(list[tuple[str, dict[str, Any]]]):
    """The events so far, in order, each with its facts."""

    def of(self, name: str) -> list[dict[str, Any]]:
        """The facts of each event of this name."""
        return [facts for heard, facts in self if heard == name]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What the outbox announces during the test; announcements follow a commit."""
    found = Heard()
    signals = {name: signal for name, signal in vars(events).items() if isinstance(signal, Signal)}

    def hear(*, signal: Signal, sender: object, **facts: Any) -> None:
        found.append((next(name for name, each in signals.items() if each is signal), facts))

    for signal in signals.values():
        signal.connect(hear)
    yield found
    for signal in signals.values():
        signal.disconnect(hear)


@pytest.fixture
def sound() -> Iterator[None]:
    """Whatever the test does, the tables must be sound after it."""
    yield
    assert doctor.examine() == []


@pytest.fixture
def long_slice(outbox_settings: Callable[..., None]) -> None:
    """A slice that a busy machine does not end before what is due is sent, where the test sets no other."""
    outbox_settings(SLICE=timedelta(seconds=20))


@pytest.fixture
def make_sender() -> Iterator[Callable[..., Sender]]:
    """Senders over the transport of the settings, or over another; their lanes end with the test."""
    made: list[Sender] = []

    def make(worker: str = "tester", build: Callable[[], transport.Transport] = transport.build) -> Sender:
        settings = conf.outbox()
        sender = Sender(settings, Lanes(build, settings.lanes), worker)
        made.append(sender)
        return sender

    yield make
    for sender in made:
        sender.lanes.close()
    join_lanes()
