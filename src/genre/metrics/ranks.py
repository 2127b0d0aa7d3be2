"""At which place the right answers stand.

Shapes: B queries, I items, n places, E right answers (targets) in all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genre.core.ragged import Ragged
from genre.core.topn import cache_blocks


def target_ranks(scores: NDArray[np.float32], targets: Ragged) -> NDArray[np.float32]:
    """Return the rank (E,) of every target among the scores (B, I) of its row, from 1.

    ``rank = 1 + number of higher scores + half the number of other equal scores``: the mean over all orders of the
    equal ones, so that a model gains nothing by giving many items the same score. A target with score minus infinity
    is never returned: its rank is infinity. The scores are only read.
    """
    num_rows, num_items = scores.shape
    rows, first = targets.row_of_value, targets.offsets
    wanted = scores[rows, targets.values]
    ranks = np.empty(len(wanted), np.float32)
    starts = cache_blocks(num_rows, num_items)
    for start in starts:
        block = scores[start : start + starts.step]
        begin = first[start : start + len(block)]
        lengths = first[start + 1 : start + len(block) + 1] - begin
        for place in range(int(lengths.max(initial=0))):
            present = np.flatnonzero(lengths > place)
            where = begin[present] + place
            part = block if len(present) == len(block) else block[present]
            ranks[where] = _ranks_of(part, wanted[where])
    ranks[~(wanted > -np.inf)] = np.inf
    return ranks


def list_ranks(item_rows: NDArray[np.int32], targets: Ragged) -> NDArray[np.float32]:
    """Return the place (E,) of every target in its row's list (B, n), from 1; infinity where it is not in it."""
    found = np.equal(item_rows[targets.row_of_value], targets.values[:, None])
    ranks = np.full(len(found), np.inf, np.float32)
    target, place = np.nonzero(found)
    ranks[target] = place + 1
    return ranks


def _ranks_of(block: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the rank (B,) of one score for each row of the block (B, I), which fits in a core's cache."""
    threshold = wanted[:, None]
    mask = np.greater(block, threshold)
    higher = _count(mask)
    # Equal scores, the target's own among them, are counted here and not above: the mean of both is the rank.
    return (1 + higher + _count(np.greater_equal(block, threshold, out=mask))) / 2


def _count(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count what is true in each row (B, I): row by row is twice as fast as along an axis."""
    return np.fromiter(map(np.count_nonzero, mask), np.int64, count=len(mask))
