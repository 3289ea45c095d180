"""Shows the results of one question: a table on the terminal, JSON, and a chart."""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib as mpl
import psutil
from rich.console import Console
from rich.table import Table

from ops.benchmarks.measure import Spread
from ops.dev.bootstrap import ROOT

mpl.use("Agg")  # a file is drawn, not a window
from matplotlib import pyplot

RESULTS = ROOT / "ops" / "benchmarks" / "results"
_OURS, _OTHERS = "#1d4ed8", "#9aa7b5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """What the issue asks for: `value` must not be below `least`, or above `most`."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    def __str__(self) -> str:
        """One line."""
        bound = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        return f"{'yes' if self.holds else 'NO '}  {self.what}: {self.value:.2f} ({bound})"


@dataclass(kw_only=True)
class Report:
    """`rows` by what was measured; each holds a spread per column."""

    question: str
    columns: Sequence[str]
    rows: dict[str, Sequence[Spread]] = field(default_factory=dict)
    musts: list[Must] = field(default_factory=list)

    def show(self) -> bool:
        """Print and write it; whether all musts hold."""
        table = Table("", *self.columns, title=self.question)
        for name, cells in self.rows.items():
            table.add_row(name, *(str(cell) for cell in cells))
        Console().print(table)
        for must in self.musts:
            print(must, flush=True)
        self._write()
        self._draw()
        return all(must.holds for must in self.musts)

    def _write(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        rows = {
            name: dict(zip(self.columns, (cell.as_json() for cell in cells), strict=True))
            for name, cells in self.rows.items()
        }
        facts = {"question": self.question, "rows": rows, "musts": [str(must) for must in self.musts], **_machine()}
        (RESULTS / f"{self.question}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    def _draw(self) -> None:
        size = (4.5 * len(self.columns), 0.45 * len(self.rows) + 1.2)
        figure, axes = pyplot.subplots(1, len(self.columns), figsize=size)
        names = list(self.rows)
        for place, column in enumerate(self.columns):
            axis = axes[place] if len(self.columns) > 1 else axes
            cells = [self.rows[name][place] for name in names]
            errors = [[c.median - c.least for c in cells], [c.most - c.median for c in cells]]
            colours = [_OURS if name.startswith("outbox") else _OTHERS for name in names]
            axis.barh(
                names if place == 0 else [" " * n for n in range(len(names))],
                [c.median for c in cells],
                xerr=errors,
                color=colours,
                ecolor="#566170",
                capsize=3,
            )
            axis.invert_yaxis()
            axis.set_title(column, fontsize=10)
            axis.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(RESULTS / f"{self.question}.png", dpi=120)
        pyplot.close(figure)


def _machine() -> Mapping[str, object]:
    return {
        "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "python": platform.python_version(),
        "cores": psutil.cpu_count(),
        "load": psutil.getloadavg(),
    }
