"""Turns figures into the shapes of a chart. Pure: a template draws them, without a script or a library."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 600.0, 120.0  # of the drawing; the page stretches it


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle; `name` says which colour, `words` what a pointer on it is told."""

    x: float
    y: float
    width: float
    height: float
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line in as many pieces as there are holes in it, each as SVG's points."""

    name: str
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What to draw: bars or lines, the words at the top of its axis, and the first, middle and last moment."""

    top: str
    moments: tuple[datetime, ...]
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()


def bars(moments: Sequence[datetime], series: Mapping[str, Sequence[int]]) -> Chart:
    """The series stacked on each other, one column for each moment."""
    top = _nice(max((sum(counts) for counts in zip(*series.values(), strict=True)), default=0))
    width = WIDTH / max(len(moments), 1)
    found = []
    for place, moment in enumerate(moments):
        y = HEIGHT
        for name, counts in series.items():
            if count := counts[place]:
                height = HEIGHT * count / top
                y -= height
                words = f"{moment:%H:%M} UTC: {count:,} {name}"
                found.append(Bar(place * width + width * 0.1, y, width * 0.8, height, name, words))
    return Chart(top=f"{top:,}", moments=_ends(moments), bars=tuple(found))


def lines(moments: Sequence[datetime], series: Mapping[str, Sequence[float | None]]) -> Chart:
    """Times in seconds on a scale where each step is ten times the last; None is a hole."""
    known = [value for values in series.values() for value in values if value is not None]
    top = 10 ** math.ceil(math.log10(max([1.0, *known])))
    step = WIDTH / max(len(moments), 1)
    found = (Line(name, tuple(_pieces(values, step, top))) for name, values in series.items())
    return Chart(top=f"{top:,} s", moments=_ends(moments), lines=tuple(found))


_LOWEST = 0.01  # seconds; the foot of the scale


def _pieces(values: Sequence[float | None], step: float, top: float) -> list[str]:
    pieces: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            share = math.log10(max(value, _LOWEST) / _LOWEST) / math.log10(top / _LOWEST)
            y = HEIGHT * (1 - share)
            pieces[-1] += [f"{(place + edge) * step:.1f},{y:.1f}" for edge in (0.1, 0.9)]
    return [" ".join(piece) for piece in pieces if piece]


def _nice(count: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50, …: axes that people can read."""
    size = int(10 ** (len(str(count)) - 1))
    steps: list[int] = [size * step for step in (1, 2, 5, 10)]
    return next(step for step in steps if step >= count)


def _ends(moments: Sequence[datetime]) -> tuple[datetime, ...]:
    return (moments[0], moments[len(moments) // 2], moments[-1]) if moments else ()
