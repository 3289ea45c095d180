"""A provider that limits connections leaves a process few lanes or none: claims must not wait in its hands."""

import time

import pytest

from outbox.states import State
from outbox.transitions import give_back
from tests.database.outbox_steps import states
from tests.factories import claim_of, make_intent

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_process_without_a_lane_gives_back_at_once(smtp, make_sender):
    claims = [claim_of(make_intent(State.CLAIMED)) for _ in range(8)]
    sender = make_sender()
    sender.lanes.limit = 0
    started = time.monotonic()

    assert sender.work(claims) == 0
    assert time.monotonic() - started < 0.5
    assert states() == ["pending"] * 8


def test_claims_that_came_too_late_hold_up_no_process_with_one_lane(smtp, make_sender, heard):
    """Otherwise tasks that do nothing take longer than a lease, those behind them come too late as well, and so on."""
    claims = [claim_of(make_intent(State.CLAIMED)) for _ in range(8)]
    give_back(claims)
    sender = make_sender()
    sender.lanes.limit = 1
    started = time.monotonic()

    assert sender.work(claims) == 0
    assert time.monotonic() - started < 0.5
    assert len(heard.of("lease_lost")) == 8
