"""Histories as rows of vectors, in plain arrays: what a small form of a network is given.

Shapes: B histories, R of a block, L places of the longest in it, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions

Floats: TypeAlias = NDArray[np.float32]
INPUTS: Final = ("vectors", "segments", "ages", "times")
"""`vectors` (R, L, D); `segments` (R, L), 0 where there is an event and -1 behind the last; `ages` (R, L) steps to the
newest; `times` (R, L) seconds since 1970."""
_AT_ONCE = 128
"""Histories of a block."""


def by_blocks(
    liked: Interactions, vectors: Callable[[NDArray[np.integer]], Floats], answer: Callable[[list[Any]], Floats]
) -> Floats:
    """Return what is made of histories (B, D), those of like length together, so that little of a block is padding.

    Args:
        liked: The histories, none of them empty.
        vectors: Gives the vectors of item rows.
        answer: Makes of a block's inputs (R, D).
    """
    order = np.argsort(liked.lengths, kind="stable")
    parts = [order[start : start + _AT_ONCE] for start in range(0, len(order), _AT_ONCE)]
    answers = np.concatenate([answer(_inputs(liked.take(rows), vectors)) for rows in parts])
    found = np.empty_like(answers)
    found[order] = answers
    return found


def _inputs(liked: Interactions, vectors: Callable[[NDArray[np.integer]], Floats]) -> list[Any]:
    width = int(liked.lengths.max())
    within = np.arange(liked.num_events) - np.repeat(liked.offsets[:-1], liked.lengths)
    rows, read = liked.row_of_event, vectors(liked.item_rows)
    table = np.zeros((len(liked), width, read.shape[1]), np.float32)
    table[rows, within] = read
    found: list[Any] = [table]
    for values, empty in ((np.zeros(liked.num_events), -1), (liked.steps_from_end, 0), (liked.timestamps, 0)):
        part = np.full((len(liked), width), empty, np.int64)
        part[rows, within] = values
        found.append(part)
    return found
