"""Histories as rows of vectors, in plain arrays: what a small form of a network is given.

Shapes: B histories, E events of theirs, R rows, L places of a row, D numbers of a vector.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.data.packing import pack

Floats: TypeAlias = NDArray[np.float32]
INPUTS: Final = ("vectors", "segments", "ages", "times")
"""`vectors` (R, L, D); `segments` (R, L), -1 for empty places and different for the histories of a row; `ages` (R, L)
steps to a history's newest event; `times` (R, L) seconds since 1970."""


class Rows(Protocol):
    """The vectors of items."""

    def of(self, item_rows: NDArray[np.integer]) -> Floats:
        """Return some of them (.., D)."""

    def products(self, wanted: Floats) -> Floats:
        """Return the products (B, I) of vectors (B, D) with all of them."""

    def with_more(self, vectors: Floats) -> Rows:
        """Return these, and new ones behind."""

    def state(self) -> dict[str, Any]:
        """Return them as arrays."""


def laid_out(liked: Interactions, rows: Rows, *, several: bool) -> tuple[list[Any], NDArray[np.int64]]:
    """Return a network's inputs, and where the answers stand (B,) in what it makes of them, its rows put end to end.

    Args:
        liked: The histories, none of them empty.
        rows: The vectors of items.
        several: Whether a row takes several histories, each of which is answered at its newest event; otherwise each
            row is a history and has one answer.
    """
    width = int(liked.lengths.max())
    if several:
        row, start, count = pack(liked.lengths, width)
    else:
        row, start, count = np.arange(len(liked)), np.zeros(len(liked), np.int64), len(liked)
    first = row * width + start
    event_row = liked.row_of_event
    places = first[event_row] + np.arange(liked.num_events) - liked.offsets[:-1][event_row]

    def table(values: NDArray[Any], empty: int, dtype: type = np.int64) -> NDArray[Any]:
        flat = np.full((count * width, *values.shape[1:]), empty, dtype)
        flat[places] = values
        return flat.reshape(count, width, *values.shape[1:])

    inputs = [
        table(rows.of(liked.item_rows), 0, np.float32),
        table(event_row, -1),
        table(liked.steps_from_end, 0),
        table(liked.timestamps, 0),
    ]
    return inputs, first + liked.lengths - 1 if several else row
