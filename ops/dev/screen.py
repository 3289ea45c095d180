"""Prints steps as they happen: ✓ or ✗, what, how long. A terminal also sees the step that is under way."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

_WIDTH = 66
_COLOURS = {"✓": "32", "✗": "31", "○": "2", "dim": "2", "bold": "1"}


class StepFailedError(Exception):
    """A step did not happen; the text says what was seen instead."""


class Note:
    """What a step has to add to its line, such as a number."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, text: str) -> None:
        """Say it; the last word counts."""
        self.text = text


class Screen:
    """Standard output, for people; without colours and cursor movements when it is no terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._is_coloured = self._is_terminal and "NO_COLOR" not in os.environ
        self.steps = 0
        self.started = time.monotonic()
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # names are Arabic, not every terminal

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.line(f"\n{self._dyed(text, 'bold')}")

    def line(self, text: str = "") -> None:
        """Print a line as it is."""
        print(text, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[Note]:
        """Run the block as one step. It failed if the block raises, and the exception goes on."""
        note, started = Note(), time.monotonic()
        if self._is_terminal:
            print(f"  {self._dyed('○', '○')} {text} …", end="", flush=True)
        try:
            yield note
        except BaseException:
            self._finish("✗", text, started, "")
            raise
        self.steps += 1
        self._finish("✓", text, started, note.text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; when nobody watches, as wide as it wants to be."""
        table = Table(*columns, title=title, title_justify="left", title_style="bold")
        for row in rows:
            table.add_row(*row)
        width = None if self._is_terminal else 140
        Console(width=width, no_color=not self._is_coloured, markup=False).print(table)

    def _finish(self, sign: str, text: str, started: float, note: str) -> None:
        begin = "\r\x1b[K" if self._is_terminal else ""
        seconds = f"{time.monotonic() - started:6.2f} s"
        line = f"{begin}  {self._dyed(sign, sign)} {text:<{_WIDTH}} {seconds}"
        self.line(f"{line}  {self._dyed(note, 'dim')}" if note else line)

    def _dyed(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._is_coloured else text
