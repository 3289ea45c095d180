"""What a state means for the person who looks at a mail: why it is there, and what happens next."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from outbox import conf
from outbox.models import Intent, Provider
from outbox.states import State


@dataclass(frozen=True, slots=True)
class Words:
    """Two sentences or more, and no jargon."""

    why: str
    following: str


def explain(intent: Intent, provider: Provider | None, now: datetime) -> Words:
    """The words for where the intent stands, its provider being as it is."""
    match State(intent.state):
        case State.PENDING:
            return _pending(intent, provider, now)
        case State.CLAIMED | State.SENDING:
            return _held(intent, now)
        case State.DEAD:
            return _dead(intent, now)
        case closed:
            return _closed(intent, closed)


def _pending(intent: Intent, provider: Provider | None, now: datetime) -> Words:
    tried = f"Try {intent.attempts} did not succeed: {intent.reason}" if intent.attempts else "It was not tried yet."
    if provider and provider.paused_at:
        return Words(f"{tried} Dispatch is paused by {provider.paused_by}.", "It goes on when somebody resumes it.")
    if provider and provider.opened_at:
        return Words(
            f"{tried} The provider is away: {provider.reason}",
            "The provider is probed at least once a minute; once it is back, the most urgent mails go first.",
        )
    wait = intent.due_at - now
    if wait > timedelta():
        return Words(tried, f"Try {intent.attempts + 1} follows in {span(wait)}, unless it is cancelled.")
    return Words(
        f"{tried} It has been due for {span(-wait)}.",
        "The next free worker takes it, after what is more urgent. If this lasts: is a worker running?",
    )


def _dead(intent: Intent, now: datetime) -> Words:
    why = f"Nobody tries again: {intent.reason}"
    if intent.maybe_sent:
        why += " An earlier try ended without an answer, so it may have arrived."
    left = intent.expires_at - now
    kept = f"It is kept for {span(conf.outbox().dead_retention)}."
    if left <= timedelta():
        return Words(why, f"Its lifetime is over, so it cannot be replayed; a resent copy has its own. {kept}")
    return Words(why, f"Nothing by itself. It can be replayed for another {span(left)}, or resent. {kept}")


def _held(intent: Intent, now: datetime) -> Words:
    left = (intent.lease_until or now) - now
    lost = f"it is taken back in {span(left)}" if left > timedelta() else "it is taken back now"
    if intent.begun_at is None:
        return Words(
            "A worker has taken it and has not begun yet.",
            f"It begins any moment. Should that worker be gone, {lost}.",
        )
    return Words(
        f"A worker is talking to the provider, since {span(now - intent.begun_at)}.",
        f"Its outcome is recorded when the provider answers. Should that worker be gone, {lost}; the mail may then "
        "have arrived already, and keeps its Message-ID.",
    )


def _closed(intent: Intent, state: State) -> Words:
    if state is State.SENT:
        return Words("The provider accepted it.", "Nothing: bringing it to the mailbox is the provider's part.")
    if state is State.EXPIRED:
        return Words(
            "Its lifetime ended before it could be sent. It is certain that it was not.",
            "Nothing by itself. Resend it if it is still of use: the copy has a lifetime of its own.",
        )
    by = f" by {intent.actor}" if intent.actor else ""
    return Words(f"It was cancelled{by}: {intent.reason or 'no reason given'}.", "Nothing by itself.")


_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def span(time: timedelta) -> str:
    """The time in its largest unit that is at least two, or else in seconds: 90 minutes, 36 hours, 12 seconds."""
    return span_of(time.total_seconds())


def span_of(seconds: float) -> str:
    """As `span`; an infinite time is told as ever."""
    if math.isinf(seconds):
        return "for ever"
    seconds = max(seconds, 0)
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}s"
    return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"
