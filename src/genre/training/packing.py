"""Sequences of different lengths in the rows of one table, so that no work is spent on padding.

Shapes: B sequences, E events in all, R rows, L places of a row.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre.core.interactions import Interactions
from genre.data.packing import pack


@dataclass(frozen=True, eq=False)
class Packed:
    """Sequences side by side in rows. What belongs to another sequence must not be attended to: see `visible`."""

    items: Tensor
    """(R, L) item rows; 0 in empty places."""
    segments: Tensor
    """(R, L) which sequence of the row a place belongs to, from 0; -1 for empty places."""
    ages: Tensor
    """(R, L) steps to the end of the sequence: 0 for its newest event."""
    times: Tensor
    """(R, L) seconds since 1970; 0 in empty places."""
    places: Tensor
    """(E,) where each event stands in the flattened rows, sequence after sequence, oldest first."""

    @classmethod
    def of(cls, sequences: Interactions, length: int) -> Self:
        """Pack sequences, none of them longer than `length`, into rows of `length` places."""
        lengths = sequences.lengths
        rows, starts, num_rows = pack(lengths, length)
        event_row = sequences.row_of_event
        within = np.arange(sequences.num_events) - np.repeat(sequences.offsets[:-1], lengths)
        places = rows[event_row] * length + starts[event_row] + within
        number = np.zeros(len(lengths), np.int64)
        order = np.lexsort((starts, rows))
        order = order[lengths[order] > 0]
        new_row = np.diff(rows[order], prepend=-1) != 0
        first = np.maximum.accumulate(np.where(new_row, np.arange(len(order)), 0))
        number[order] = np.arange(len(order)) - first

        def table(values: NDArray[np.integer], empty: int) -> Tensor:
            flat = np.full(num_rows * length, empty, np.int64)
            flat[places] = values
            return torch.from_numpy(flat.reshape(num_rows, length))

        return cls(
            table(sequences.item_rows, 0),
            table(number[event_row], -1),
            table(sequences.steps_from_end, 0),
            table(sequences.timestamps, 0),
            torch.from_numpy(places),
        )

    @property
    def visible(self) -> Tensor:
        """(R, L, L) true where the place of the second dimension may look at that of the third."""
        same = self.segments[:, :, None] == self.segments[:, None, :]
        return same.tril()

    def to(self, device: torch.device) -> Packed:
        """Return the same on another device."""
        return Packed(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})
