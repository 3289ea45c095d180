"""The picture of the states, written out."""

import pytest

from outbox.states import CLOSED, HELD, LATE_DELIVERED, MOVES, OPEN, State

PICTURE = {
    "pending": {"claimed", "cancelled", "expired", "dead"},
    "claimed": {"sending", "pending", "cancelled", "expired", "dead"},
    "sending": {"sent", "pending", "dead", "cancelled"},
    "dead": {"pending"},
    "sent": set(),
    "cancelled": set(),
    "expired": set(),
}


def test_the_moves_are_those_of_the_picture():
    assert {str(state): {str(target) for target in targets} for state, targets in MOVES.items()} == PICTURE


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_moves_written_down(state):
    assert state in MOVES


def test_every_state_can_be_reached_from_pending():
    reached, fresh = set(), {State.PENDING}
    while fresh:
        reached |= fresh
        fresh = {target for state in fresh for target in MOVES[state]} - reached

    assert reached == set(State)


def test_held_open_and_closed_share_the_states_out():
    assert {"claimed", "sending"} == HELD
    assert {"pending", "claimed", "sending"} == OPEN
    assert {"sent", "dead", "expired", "cancelled"} == CLOSED


def test_of_the_closed_only_the_dead_come_back():
    assert {str(state) for state in CLOSED if MOVES[state]} == {"dead"}


def test_a_late_delivered_overrules_guesses_but_not_the_proof_that_nothing_was_sent():
    assert {"pending", "claimed", "dead", "cancelled"} == LATE_DELIVERED
