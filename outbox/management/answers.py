"""How commands answer: with tables for people, with one JSON object for machines."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import IO, cast

from django.core.management.base import BaseCommand, OutputWrapper
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

_WIDTH = 120  # where no terminal says how wide it is


def add_json(parser: ArgumentParser) -> None:
    """Let the command be asked for an answer in JSON."""
    parser.add_argument("--json", action="store_true", help="one JSON object, for machines")


def answer(command: BaseCommand, facts: Mapping[str, object], *pictures: RenderableType, as_json: bool) -> None:
    """Tell the facts: as JSON, or by the pictures."""
    if as_json:
        command.stdout.write(json.dumps(facts, default=_plain))
        return
    console = console_on(command.stdout)
    for picture in pictures:
        console.print(picture)


def console_on(stream: OutputWrapper) -> Console:
    """A console that takes every text as it is: a provider's words may look like markup."""
    width = None if stream.isatty() else _WIDTH
    return Console(file=cast("IO[str]", stream), width=width, markup=False, emoji=False, highlight=False)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table of texts."""
    made = Table(*columns, title=title, title_justify="left")
    for row in rows:
        made.add_row(*map(str, row))
    return made


def progress(command: BaseCommand) -> Progress:
    """A bar for long work, beside the answer: on the error output, and only where somebody looks at a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console_on(command.stderr), disable=not command.stderr.isatty(), transient=True)


def _plain(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else str(value)
