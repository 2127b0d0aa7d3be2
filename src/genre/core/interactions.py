"""Events grouped by who made them, oldest first: the log of a data set, and the history of a query.

Shapes: B rows (users or queries), E events in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre.core.ragged import Ragged, offsets_of, positions_of


@dataclass(frozen=True, eq=False, slots=True)
class Interactions:
    """B event lists, each in the order in which the events happened.

    An event with weight 0 was seen and not liked: it hides the item from the answer, and no model learns from it.
    """

    offsets: NDArray[np.int64]
    """(B + 1,); row b holds the events `offsets[b]:offsets[b + 1]`."""
    item_rows: NDArray[np.int32]
    """(E,) dense item rows."""
    timestamps: NDArray[np.int64]
    """(E,) seconds since 1970; all 0 where the data has no time."""
    weights: NDArray[np.float32]
    """(E,) strength of the liking; 0 for a dislike."""

    @classmethod
    def empty(cls, num_rows: int = 0) -> Self:
        """Return `num_rows` empty histories."""
        return cls(
            np.zeros(num_rows + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32)
        )

    @classmethod
    def of(cls, items: Ragged, timestamps: NDArray[np.int64] | None = None) -> Self:
        """Build from item lists, oldest first; weights are 1, and time is 0 unless given."""
        size = len(items.values)
        times = np.zeros(size, np.int64) if timestamps is None else timestamps
        return cls(items.offsets, items.values, times, np.ones(size, np.float32))

    def __len__(self) -> int:
        """Return the number of rows, B."""
        return len(self.offsets) - 1

    @property
    def num_events(self) -> int:
        """E."""
        return len(self.item_rows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(B,) events in each row."""
        return np.diff(self.offsets)

    @property
    def items(self) -> Ragged:
        """The item rows alone."""
        return Ragged(self.offsets, self.item_rows)

    @property
    def row_of_event(self) -> NDArray[np.int64]:
        """(E,) the row that each event belongs to."""
        return self.items.row_of_value

    @property
    def steps_from_end(self) -> NDArray[np.int64]:
        """(E,) 0 for the newest event of its row, 1 for the one before, and so on."""
        return np.repeat(self.offsets[1:], self.lengths) - 1 - np.arange(self.num_events)

    @property
    def end_times(self) -> NDArray[np.int64]:
        """(B,) time of the newest event of each row; 0 for an empty row."""
        times = np.zeros(len(self), np.int64)
        filled = self.lengths > 0
        times[filled] = self.timestamps[self.offsets[1:][filled] - 1]
        return times

    def take(self, rows: NDArray[np.integer] | slice) -> Interactions:
        """Return the histories of `rows`, in that order."""
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
        where = positions_of(self.offsets, wanted)
        lengths = self.offsets[wanted + 1] - self.offsets[wanted]  # A few rows of many are often asked for.
        return Interactions(offsets_of(lengths), self.item_rows[where], self.timestamps[where], self.weights[where])

    def stacked(self, other: Interactions) -> Interactions:
        """Return the rows of both, those of the other one behind."""
        return Interactions(
            np.concatenate([self.offsets, self.num_events + other.offsets[1:]]),
            np.concatenate([self.item_rows, other.item_rows]),
            np.concatenate([self.timestamps, other.timestamps]),
            np.concatenate([self.weights, other.weights]),
        )

    def where(self, keep: NDArray[np.bool_]) -> Interactions:
        """Return the events for which `keep` (E,) is true; rows stay, some of them empty."""
        kept = np.zeros(self.num_events + 1, np.int64)
        np.cumsum(keep, out=kept[1:])
        return Interactions(kept[self.offsets], self.item_rows[keep], self.timestamps[keep], self.weights[keep])

    def liked(self) -> Interactions:
        """Return the events with a positive weight."""
        positive = self.weights > 0
        return self if positive.all() else self.where(positive)

    def last(self, n: int) -> Interactions:
        """Return the newest `n` events of each row."""
        return self if n >= int(self.lengths.max(initial=0)) else self.where(self.steps_from_end < n)

    def to_csr(self, num_items: int, values: NDArray[np.floating] | None = None) -> sparse.csr_matrix:
        """Return a (B, num_items) float32 matrix of liked events.

        Args:
            num_items: Number of columns.
            values: (E,) what to put in place of the weights, aligned with this object's events. What falls
                on one cell is added up.
        """
        liked = self.weights > 0
        data = np.asarray(self.weights if values is None else values, dtype=np.float32)[liked]
        part = self.liked()
        matrix = sparse.csr_matrix((data, part.item_rows, part.offsets), shape=(len(self), num_items), copy=True)
        matrix.sum_duplicates()
        return matrix

    def to_binary_csr(self, num_items: int) -> sparse.csr_matrix:
        """Return a (B, num_items) float32 matrix with 1 where the item was liked at least once."""
        matrix = self.to_csr(num_items)
        matrix.data[:] = 1.0
        return matrix

    def item_counts(self, num_items: int, values: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
        """Return (num_items,) the sum of weights, or of `values` (E,), over the liked events of each item."""
        liked = self.weights > 0
        data = self.weights if values is None else values
        return np.bincount(self.item_rows[liked], weights=data[liked], minlength=num_items).astype(np.float64)
