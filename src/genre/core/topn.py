"""The best n of every row of a score block, exactly, at the speed of memory.

Shapes: B rows, I items, n places, C candidates: the (row, item) pairs that may be among the best.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import NO_ITEM
from genre.core.ragged import offsets_of

_STRIDES = 32
"""Items are dealt into I / 32 groups, each of which has one best member."""
_BLOCK_BYTES = 1 << 21
"""Rows are taken by as many as fit in a core's cache, so that the passes below read memory once."""
_LOWEST = np.finfo(np.float32).min


def cache_blocks(num_rows: int, num_items: int) -> range:
    """Return the first rows of blocks of float32 scores that stay in a core's cache."""
    return range(0, num_rows, max(1, _BLOCK_BYTES // (4 * max(1, num_items))))


def top_n(scores: NDArray[np.float32], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the item rows and scores (B, n) of the n highest scores of each row (B, I), best first.

    Equal scores are ordered by item row, so that an answer does not depend on how rows were batched. Items with
    score minus infinity are no answers: their places hold `NO_ITEM`. Needs no copy of the scores.
    """
    num_rows, num_items = scores.shape
    rows = np.full((num_rows, n), NO_ITEM, np.int32)
    best = np.full((num_rows, n), -np.inf, np.float32)
    width = min(n, num_items)
    if width == 0:
        return rows, best
    starts = cache_blocks(num_rows, num_items)
    for start in starts:
        part = slice(start, start + starts.step)
        _fill(scores[part], rows[part, :width], best[part, :width])
    return rows, best


def _fill(block: NDArray[np.float32], rows: NDArray[np.int32], best: NDArray[np.float32]) -> None:
    """Write the top n of the rows (B, I), n <= I, into `rows` and `best` (B, n), which hold no answers so far."""
    num_rows, n = rows.shape
    bounds = _lower_bounds(block, n)
    candidate = np.greater_equal(block, bounds[:, None])
    if np.count_nonzero(candidate) > 2 * n * num_rows:
        # Of many that equal their row's bound no more than the first n are wanted.
        for kept, scores, bound in zip(candidate, block, bounds, strict=True):
            kept[np.flatnonzero(scores == bound)[n:]] = False
    row, item = np.divmod(np.flatnonzero(candidate), block.shape[1])
    counts = np.bincount(row, minlength=num_rows)
    place = np.arange(len(row)) - offsets_of(counts)[row]
    shape = (num_rows, max(n, int(counts.max(initial=0))))
    items, values = np.full(shape, NO_ITEM, np.int32), np.full(shape, -np.inf, np.float32)
    items[row, place], values[row, place] = item, block[row, item]
    # The candidates of a row stand by item, so a stable sort leaves equal scores in that order.
    order = np.argsort(-values, axis=1, kind="stable")[:, :n]
    rows[:], best[:] = np.take_along_axis(items, order, 1), np.take_along_axis(values, order, 1)


def _lower_bounds(block: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return finite scores (B,) that at least n members of each row (B, I) reach, where so many are finite.

    The n-th highest of the groups' best is reached by n items, one for each group, and by few others.
    """
    num_items = block.shape[1]
    strides = min(_STRIDES, num_items // (2 * n))
    if strides < 2:
        return np.maximum(np.partition(block, num_items - n, axis=1)[:, num_items - n], _LOWEST)
    num_groups = num_items // strides
    groups = block[:, : strides * num_groups].reshape(len(block), strides, num_groups)
    best: NDArray[np.float32] = groups.max(axis=1)
    best.partition(num_groups - n, axis=1)
    return np.maximum(best[:, num_groups - n], _LOWEST)
