"""A lane takes no second mail before its first is recorded."""

import time
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from outbox.lanes import Flight, Landed, Lanes
from outbox.transitions import Begun
from tests.fakes import FakeTransport

HOUR = timedelta(hours=1)


def flight(lanes: Lanes, number: int) -> Flight:
    begun = Begun(
        intent_id=number,
        token=UUID(int=number),
        task_id=uuid4(),
        kind="message",
        recipient="ann@example.com",
        language="en",
        context={},
        payload=None,
        message_id=f"<{number}@example.com>",
        repeatable=True,
        is_sample=False,
        number=1,
        spent=1,
        alone=False,
        excused=False,
        age=HOUR,
        remaining=HOUR,
    )
    return Flight(
        begun=begun,
        context={},
        language="en",
        message=b"Subject: hello\r\n\r\nhello\r\n",
        fence_s=8,
        renewed_at=time.monotonic(),
        ask_commit=lanes.ask_commit,
    )


@pytest.fixture
def made():
    transports: list[FakeTransport] = []

    def build() -> FakeTransport:
        transports.append(FakeTransport())
        return transports[-1]

    lanes = Lanes(build, count=2)
    yield lanes, transports
    lanes.close()


def land(lanes: Lanes) -> Landed:
    [landed], _ = lanes.news(5)
    return landed


def test_the_next_mail_goes_to_another_lane_until_the_first_is_recorded(made):
    lanes, transports = made
    lanes.start(flight(lanes, 1))
    land(lanes)

    assert lanes.room() == 1
    assert lanes.room([UUID(int=1)]) == 2

    lanes.start(flight(lanes, 2))
    land(lanes)

    assert [len(transport.accepted) for transport in transports] == [1, 1]
    assert lanes.room() == 0


def test_fewer_lanes_are_fewer_at_once_while_more_still_talk(made):
    lanes, _ = made
    lanes.start(flight(lanes, 1))
    lanes.start(flight(lanes, 2))
    while lanes.flights:
        lanes.news(5)
    lanes.lower()

    assert lanes.room([UUID(int=1)]) == 0


def test_a_lane_whose_mail_is_recorded_takes_the_next(made):
    lanes, transports = made
    lanes.start(flight(lanes, 1))
    land(lanes)
    lanes.release([UUID(int=1), UUID(int=9)])

    assert lanes.room() == 2

    lanes.start(flight(lanes, 2))
    land(lanes)

    assert [len(transport.accepted) for transport in transports] == [2]


def test_a_lane_that_was_turned_away_is_the_last_to_be_asked_again(made):
    lanes, transports = made
    lanes.start(flight(lanes, 1))
    lanes.start(flight(lanes, 2))
    ends: dict[UUID, Landed] = {}
    while len(ends) < 2:
        landed, _ = lanes.news(5)
        ends |= {end.flight.begun.token: end for end in landed}
    refused = UUID(int=1)
    lanes._unrecorded[refused] = (lanes._unrecorded[refused][0], False)
    lanes.release([UUID(int=2)])
    lanes.release([refused])
    warm = next(t for t in transports if t.accepted[0].message_id == "<2@example.com>")

    lanes.start(flight(lanes, 3))
    land(lanes)

    assert len(warm.accepted) == 2
