"""Decides what follows an outcome: finish, wait, bury. Pure: time and chance come in as arguments."""

from dataclasses import dataclass
from datetime import timedelta

from outbox.outcomes import (
    Broken,
    Deferred,
    Delivered,
    GivenBack,
    Outcome,
    Refused,
    Unavailable,
    Unknown,
    Void,
)


@dataclass(frozen=True, slots=True)
class Finish:
    """The mail is out."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Due again after the wait; `spends` says whether the try counts, `maybe_sent` whether it may be out."""

    wait: timedelta
    reason: str
    spends: bool = True
    maybe_sent: bool = False


@dataclass(frozen=True, slots=True)
class Bury:
    """Dead-lettered with the reason."""

    reason: str
    maybe_sent: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """What it was about is over."""

    reason: str


Decision = Finish | RetryAfter | Bury | Cancel


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long apart one mail is tried."""

    max_retries: int = 3
    base: timedelta = timedelta(minutes=1)
    factor: float = 10.0
    ceiling: timedelta = timedelta(hours=6)
    jitter: float = 0.1

    def backoff(self, spent: int, spread: float) -> timedelta:
        """Grow by the factor per try up to the ceiling, then move by `spread` (-1 to 1) times jitter."""
        steps, factor = min(spent - 1, 20), min(self.factor, 1e15)  # timedelta and float overflow before try 1000
        plain = min(self.base.total_seconds() * factor**steps, self.ceiling.total_seconds())
        return timedelta(seconds=plain * (1 + self.jitter * spread))

    def decide(self, outcome: Outcome, *, spent: int, spread: float, repeatable: bool) -> Decision:
        """What follows `outcome`, the `spent`-th try that counts (the present one included)."""
        reason = outcome.reply.text
        match outcome:
            case Delivered():
                return Finish()
            case Refused() | Broken():
                return Bury(reason)
            case Void():
                return Cancel(reason)
            case Unavailable(wait=wait) | GivenBack(wait=wait):
                return RetryAfter(wait, reason, spends=False)
            case Unknown() if not repeatable:
                return Bury(f"outcome unknown: {reason}", maybe_sent=True)
            case Unknown() | Deferred():
                return self._again(outcome, spent=spent, spread=spread)

    def _again(self, outcome: Unknown | Deferred, *, spent: int, spread: float) -> Decision:
        unknown = isinstance(outcome, Unknown)
        if spent > self.max_retries:
            return Bury(f"gave up after {spent} tries: {outcome.reply.text}", maybe_sent=unknown)
        hint = outcome.hint if isinstance(outcome, Deferred) else None
        wait = max(self.backoff(spent, spread), hint or timedelta())
        return RetryAfter(wait, outcome.reply.text, maybe_sent=unknown)
