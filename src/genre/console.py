"""What the commands show a person: progress bars, tables and notices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

T = TypeVar("T")
console = Console()


class Bars:
    """Shows a bar with a rate and the time left; where the output is no terminal, one line for each piece of work."""

    def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield the steps and show how many are done."""
        if not console.is_terminal:
            console.print(description)
            yield from steps
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
            yield from bars.track(steps, description=description, total=total)


def show(frame: pl.DataFrame, title: str | None = None) -> None:
    """Print a frame as a table."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for name, dtype in frame.schema.items():
        table.add_column(name.replace("_", " "), justify="right" if dtype.is_numeric() else "left")
    for row in frame.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
