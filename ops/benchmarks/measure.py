"""Medians with their spread, and ratios of runs that were made side by side."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some runs, and the least and the most."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        """`123 (110 to 130)`, with as many digits as say something."""
        digits = 0 if self.median >= 100 else 2 if self.median >= 1 else 4  # noqa: PLR2004
        return f"{self.median:.{digits}f} ({self.least:.{digits}f} to {self.most:.{digits}f})"

    def as_json(self) -> dict[str, float]:
        """For the record."""
        return {"median": self.median, "least": self.least, "most": self.most}


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours to theirs, round by round: what else the machine did in a round met both."""
    return spread([one / other for one, other in zip(ours, theirs, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that this share of all does not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
