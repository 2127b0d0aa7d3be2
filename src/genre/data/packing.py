"""Sequences of different lengths side by side in rows, so that little of a row is empty.

Shapes: B sequences.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack(lengths: NDArray[np.int64], capacity: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Place sequences into as few rows as best-fit finds, longest first.

    Returns:
        The row and the first place of each sequence (B,), and how many rows there are.
    """
    if len(lengths) and int(lengths.max()) > capacity:
        raise ValueError(f"a sequence of {int(lengths.max())} events does not fit into a row of {capacity}")
    rows, starts = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    free: list[list[int]] = [[] for _ in range(capacity + 1)]  # Rows by the places they have left.
    spaces = 0  # Bit s is set where a row has s places left.
    num_rows = 0
    for at in np.argsort(-lengths, kind="stable"):
        size = int(lengths[at])
        fitting = spaces >> size
        if fitting:
            space = size + (fitting & -fitting).bit_length() - 1
            row = free[space].pop()
            if not free[space]:
                spaces ^= 1 << space
        else:
            row, space = num_rows, capacity
            num_rows += 1
        rows[at], starts[at] = row, capacity - space
        left = space - size
        if left:
            free[left].append(row)
            spaces |= 1 << left
    return rows, starts, num_rows
