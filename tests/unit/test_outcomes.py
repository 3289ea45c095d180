"""What an attempt ends in, as tables and logs name it."""

from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import get_args

import pytest

from outbox.outcomes import (
    NAMES,
    Broken,
    Deferred,
    Delivered,
    GivenBack,
    Outcome,
    Phase,
    Refused,
    Reply,
    Unavailable,
    Unknown,
    Void,
)


def test_every_outcome_has_a_name_of_its_own():
    assert {
        Delivered: "delivered",
        Deferred: "deferred",
        Refused: "refused",
        Unavailable: "unavailable",
        Unknown: "unknown",
        Broken: "broken",
        GivenBack: "given back",
        Void: "void",
    } == NAMES
    assert set(get_args(Outcome)) == set(NAMES)


def test_the_phases_are_in_the_order_of_the_dialogue():
    assert [str(phase) for phase in Phase] == ["connect", "auth", "envelope", "data", "answered"]


def test_an_outcome_never_changes():
    outcome = Delivered(phase=Phase.ANSWERED, reply=Reply(text="taken"))

    with pytest.raises(FrozenInstanceError):
        outcome.phase = Phase.DATA  # type: ignore[misc]


@pytest.mark.parametrize("outcome", [Unavailable, GivenBack])
def test_without_a_wait_a_mail_is_due_again_at_once(outcome):
    assert outcome(phase=Phase.CONNECT, reply=Reply(text="away")).wait == timedelta()
