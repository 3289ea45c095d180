"""Words for the states of a mail."""

from datetime import UTC, datetime, timedelta

import pytest

from outbox import wording
from outbox.models import Intent, Provider
from outbox.states import State

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def intent(state: State, **columns) -> Intent:
    times = {"due_at": NOW, "expires_at": NOW + 5 * HOUR, "lease_until": NOW + timedelta(seconds=8)}
    return Intent(state=state, **{**times, **columns})


def words(state: State, provider: Provider | None = None, **columns) -> str:
    found = wording.explain(intent(state, **columns), provider, NOW)
    return f"{found.why} {found.following}"


@pytest.mark.parametrize("state", sorted(State))
def test_every_state_has_words(state):
    assert len(words(state)) > 30


@pytest.mark.parametrize(
    ("state", "columns", "said"),
    [
        (State.PENDING, {"due_at": NOW + 3 * HOUR}, "not tried yet. Try 1 follows in 3 hours"),
        (
            State.PENDING,
            {"due_at": NOW - HOUR, "attempts": 2, "reason": "452 full"},
            "Try 2 did not succeed: 452 full It",
        ),
        (State.PENDING, {"due_at": NOW - HOUR}, "been due for 60 minutes"),
        (State.CLAIMED, {}, "taken back in 8 seconds"),
        (State.SENDING, {"begun_at": NOW - timedelta(seconds=4)}, "since 4 seconds"),
        (State.SENDING, {"begun_at": NOW, "lease_until": NOW - HOUR}, "taken back now"),
        (
            State.DEAD,
            {"reason": "550 no"},
            "Nobody tries again: 550 no Nothing by itself. It can be replayed for another 5",
        ),
        (State.DEAD, {"maybe_sent": True}, "it may have arrived"),
        (State.DEAD, {"expires_at": NOW - HOUR}, "cannot be replayed"),
        (State.EXPIRED, {}, "certain that it was not"),
        (State.CANCELLED, {"actor": "olga", "reason": "wrong text"}, "cancelled by olga: wrong text"),
    ],
)
def test_the_words_say_why_and_what_next(state, columns, said):
    assert said in words(state, **columns)


def test_a_pause_and_an_absent_provider_explain_the_waiting():
    paused = Provider(paused_at=NOW, paused_by="olga", opened_at=NOW, reason="refused")
    away = Provider(opened_at=NOW, reason="Connection refused")

    assert "paused by olga" in words(State.PENDING, paused)
    assert "provider is away: Connection refused" in words(State.PENDING, away)
    assert "paused" not in words(State.SENT, paused)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7200, "2 hours"),
        (200000, "2 days"),
    ],
)
def test_a_time_is_told_in_its_largest_unit_of_which_there_are_two(seconds, said):
    assert wording.span(timedelta(seconds=seconds)) == said
