"""The states of an intent, and the only moves between them."""

from enum import StrEnum


class State(StrEnum):
    """Where an intent stands; the values are what the database stores."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENDING = "sending"
    SENT = "sent"
    DEAD = "dead"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


HELD = frozenset({State.CLAIMED, State.SENDING})
OPEN = HELD | {State.PENDING}
CLOSED = frozenset(State) - OPEN

MOVES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.CLAIMED, State.CANCELLED, State.EXPIRED, State.DEAD}),
    State.CLAIMED: frozenset({State.SENDING, State.PENDING, State.CANCELLED, State.EXPIRED, State.DEAD}),
    State.SENDING: frozenset({State.SENT, State.PENDING, State.DEAD, State.CANCELLED}),
    State.DEAD: frozenset({State.PENDING}),  # replay
    State.SENT: frozenset(),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
}

# The provider's answer to the newest attempt came after the lease was lost: a fact beats a guess.
LATE_DELIVERED = frozenset({State.PENDING, State.CLAIMED, State.DEAD, State.CANCELLED})
