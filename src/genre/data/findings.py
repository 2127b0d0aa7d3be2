"""What is wrong or odd in a file, and where: the same words whether reading stops at it or `check` lists it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from genre.core.errors import DataError

Severity: TypeAlias = Literal["error", "warning", "notice"]
"""An error keeps a file from being used as it is, a warning is probably a mistake, a notice says what was done."""
EXAMPLES: Final = 3
"""Lines named in a message."""


@dataclass(frozen=True)
class Finding:
    """One kind of trouble in one file. Where it occurs often, the first place stands for all."""

    severity: Severity
    file: str
    line: int | None
    """Line of the file, the header being line 1."""
    column: str | None
    """As it is called in the file."""
    value: str | None
    problem: str
    """What is wrong, with the value and, where it occurs more than once, how often and where."""
    remedy: str
    unit: str = "line"
    """What `line` counts: "line", or "row" (the first is 1) in Parquet, which has no lines."""

    @property
    def place(self) -> str:
        """File, line and column in one phrase."""
        number = f":{self.line}" if self.unit == "line" else f", row {self.line}"
        where = self.file if self.line is None else f"{self.file}{number}"
        return where if self.column is None else f"{where}, column {self.column!r}"

    def __str__(self) -> str:
        """Return what the error message says."""
        return str(FindingError(self))


class FindingError(DataError):
    """A file cannot be read on; carries the finding, so that `check` can list it among others."""

    def __init__(self, finding: Finding) -> None:
        """Compose the message from the finding."""
        super().__init__(finding.problem, place=finding.place, remedy=finding.remedy)
        self.finding = finding


def failure(
    file: object,
    problem: str,
    remedy: str,
    *,
    line: int | None = None,
    column: str | None = None,
    value: str | None = None,
) -> FindingError:
    """Return the error for a file that cannot be read on."""
    return FindingError(Finding("error", str(file), line, column, value, problem, remedy))


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return "a, b and c" or, with more than `most`, "a, b, c and 12 more"."""
    shown, more = list(names[:most]), len(names) - most
    if more > 0:
        return f"{', '.join(shown)} and {more:,} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def and_others(lines: Sequence[int], total: int, unit: str = "line") -> str:
    """Return " (12 such lines: 4, 9, 11 and 9 more)", nothing where `total` is 1; the first few `lines` will do."""
    if total < 2:
        return ""
    shown = [str(line) for line in lines[:EXAMPLES]]
    where = f": {listed([*shown, *[''] * (total - len(shown))], len(shown))}" if shown else ""
    return f" ({total:,} such {unit}s{where})"
