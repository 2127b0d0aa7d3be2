"""The best n of every row of a score block, exactly, at the speed of memory.

Shapes: B rows, I items, n places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import NO_ITEM

_STRIDES = 64
"""Items are dealt into I / 64 groups; a group's best bounds all its members."""
_BLOCK_BYTES = 1 << 21
"""Rows are taken by as many as fit in a core's cache, so that the passes below read memory once."""


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
        block = scores[start : start + starts.step]
        found, values = _top_of_block(block, width)
        rows[start : start + starts.step, :width] = np.where(values > -np.inf, found, NO_ITEM)
        best[start : start + starts.step, :width] = values
    return rows, best


def _top_of_block(block: NDArray[np.float32], n: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Find the top n of rows (B, I), n <= I: look only into the n groups whose best members are highest."""
    num_items = block.shape[1]
    num_groups = num_items // _STRIDES
    if num_groups <= 2 * n:
        return _sorted_top(block, None, n)
    head = block[:, : num_groups * _STRIDES]
    group_best = head.reshape(len(block), _STRIDES, num_groups).max(axis=1)
    groups = np.argpartition(group_best, num_groups - n, axis=1)[:, num_groups - n :]
    members = (groups[:, :, None] + np.arange(_STRIDES) * num_groups).reshape(len(block), -1)
    rest = np.broadcast_to(np.arange(num_groups * _STRIDES, num_items), (len(block), num_items % _STRIDES))
    candidates = np.concatenate([members, rest], axis=1)
    found, values = _sorted_top(np.take_along_axis(block, candidates, 1), candidates, n)
    # Where another group's best equals the last score taken, which of the equals comes first is not settled yet.
    last = values[:, -1]
    tied = (np.take_along_axis(group_best, groups, 1).min(axis=1) == last) & (last > -np.inf)
    for row in np.flatnonzero(tied):
        found[row], values[row] = _exact_row(block[row], n)
    return found, values


def _sorted_top(
    values: NDArray[np.float32], candidates: NDArray[np.intp] | None, n: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the top n of candidates (B, C) with these values, by value and then by item row."""
    size = values.shape[1]
    picked = np.argpartition(values, size - n, axis=1)[:, size - n :]
    best = np.take_along_axis(values, picked, 1)
    threshold = best.min(axis=1)
    items = picked if candidates is None else np.take_along_axis(candidates, picked, 1)
    at_threshold = (values == threshold[:, None]).sum(axis=1) != (best == threshold[:, None]).sum(axis=1)
    for row in np.flatnonzero(at_threshold & (threshold > -np.inf)):
        all_items = np.arange(size) if candidates is None else candidates[row]
        order = np.lexsort((all_items, -values[row]))[:n]
        items[row], best[row] = all_items[order], values[row][order]
    order = np.lexsort((items, -best), axis=1)
    return np.take_along_axis(items, order, 1), np.take_along_axis(best, order, 1)


def _exact_row(row: NDArray[np.float32], n: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the top n of one row (I,), equal scores by item row."""
    threshold = np.partition(row, len(row) - n)[len(row) - n]
    candidates = np.flatnonzero(row >= threshold)
    order = np.lexsort((candidates, -row[candidates]))[:n]
    return candidates[order], row[candidates[order]]
