"""A table read from one file, which knows on which line each of its rows stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.data.findings import EXAMPLES, Finding, Severity, and_others

LineNumbers = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""From row numbers, counted from 0, to lines of the file, counted from 1."""


@dataclass(frozen=True, eq=False)
class FileTable:
    """The rows of a file: first with its own column names and cells, later under Genre's names."""

    path: Path
    frame: pl.DataFrame
    line_numbers: LineNumbers | None
    """None where a row of the frame is no row of the file."""
    unit: str = "line"
    """What `line_numbers` counts: "line", or "row" in a file without lines."""
    is_typed: bool = True
    """Whether the file says what is a number; a CSV does not, and all its cells are String."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What columns are called in the file, where that differs."""
    findings: tuple[Finding, ...] = ()
    """What was noticed of this file; an error among them is a row that was left out."""

    def with_frame(self, frame: pl.DataFrame) -> FileTable:
        """Return the same rows with other columns."""
        return replace(self, frame=frame)

    def finding(self, severity: Severity, mask: pl.Series, column: str, problem: str, remedy: str) -> Finding:
        """Describe the rows where `mask` is true.

        Args:
            severity: How bad it is.
            mask: Boolean, true somewhere, one value for each row.
            column: The column that they are wrong in.
            problem: What follows the value in the message: "is not a number".
            remedy: What to do.
        """
        rows = mask.arg_true().to_numpy().astype(np.int64)
        value = self.frame[column][int(rows[0])]
        shown = None if value is None else str(value)
        text = f"{shown!r} {problem}" if shown is not None else f"an empty cell {problem}"
        lines: list[int] = [] if self.line_numbers is None else self.line_numbers(rows[:EXAMPLES]).tolist()
        text += and_others(lines, len(rows), self.unit)
        line = lines[0] if lines else None
        name = self.names.get(column, column)
        return Finding(severity, str(self.path), line, name, shown, text, remedy, self.unit)


def rows_are_lines(first: int) -> LineNumbers:
    """Return the numbering of a file with one record a line, the first on line `first`."""
    return lambda rows: rows + first


def lines_at(lines: NDArray[np.int64]) -> LineNumbers:
    """Return the numbering of a file whose record r starts on line `lines[r]`."""
    return lambda rows: lines[rows]
