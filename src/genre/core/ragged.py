"""Lists of different lengths in two flat arrays.

Shapes: B rows, E values in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


def offsets_of(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Turn row lengths (B,) into offsets (B + 1,) that start at 0."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def positions_of(offsets: NDArray[np.int64], rows: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return where the values of `rows` stand in the flat array, row after row."""
    lengths = offsets[rows + 1] - offsets[rows]
    starts = offsets[rows] - offsets_of(lengths)[:-1]
    return np.repeat(starts, lengths) + np.arange(lengths.sum())


@dataclass(frozen=True, eq=False, slots=True)
class Ragged:
    """One list of item rows for each of B rows."""

    offsets: NDArray[np.int64]
    """(B + 1,); row b holds `values[offsets[b]:offsets[b + 1]]`."""
    values: NDArray[np.int32]
    """(E,)"""

    @classmethod
    def of(cls, lists: Iterable[Sequence[int]]) -> Self:
        """Build from one sequence for each row."""
        arrays = [np.asarray(row, dtype=np.int32) for row in lists]
        lengths = np.fromiter((len(row) for row in arrays), dtype=np.int64, count=len(arrays))
        return cls(offsets_of(lengths), np.concatenate(arrays) if arrays else np.empty(0, np.int32))

    def __len__(self) -> int:
        """Return the number of rows, B."""
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        """Return the values of one row (a view)."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(B,) values in each row."""
        return np.diff(self.offsets)

    @property
    def row_of_value(self) -> NDArray[np.int64]:
        """(E,) the row that each value belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: NDArray[np.integer] | slice) -> Ragged:
        """Return the lists of `rows`, in that order."""
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
        return Ragged(offsets_of(self.lengths[wanted]), self.values[positions_of(self.offsets, wanted)])

    def joined(self, other: Ragged) -> Ragged:
        """Return the rows of both (B each), this one's values first in each row."""
        rows = np.concatenate([self.row_of_value, other.row_of_value])
        order = np.argsort(rows, kind="stable")
        values = np.concatenate([self.values, other.values])[order]
        return Ragged(offsets_of(self.lengths + other.lengths), values)
