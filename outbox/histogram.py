"""How long mails took, in buckets. Pure: the bounds, and the quantiles they give."""

from collections.abc import Iterable, Sequence

# Upper bounds in seconds, the last bucket is open. Rows hold counts by place: never change these, add a column instead.
BOUNDS = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, 900, 3600, 10800)
SIZE = len(BOUNDS) + 1


def added(many: Iterable[Sequence[int]]) -> list[int]:
    """Bucket by bucket, the sum."""
    return [sum(counts) for counts in zip(*many, strict=True)] or [0] * SIZE


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """The seconds within which this share was through, as if spread evenly in its bucket; None when there were none.

    What lies in the open bucket is told as its lower bound.
    """
    wanted, below = share * sum(buckets), 0
    if not wanted:
        return None
    for place, count in enumerate(buckets[:-1]):
        if count and below + count >= wanted:
            low = BOUNDS[place - 1] if place else 0.0
            return low + (BOUNDS[place] - low) * (wanted - below) / count
        below += count
    return float(BOUNDS[-1])
