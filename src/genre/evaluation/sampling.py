"""Items drawn at random that a query has neither seen nor asked for.

Shapes: B queries, I items.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import NO_ITEM, Candidates
from genre.core.ragged import Ragged, offsets_of
from genre.core.topn import top_n

_BLOCK_BYTES = 1 << 26
"""Random numbers that are held at once (64 MiB)."""


def draw_items(excluded: Ragged, num: int, weights: NDArray[np.floating], rng: np.random.Generator) -> Ragged:
    """Draw up to `num` different items for each query, with probability in proportion to the weights.

    Every item gets the time at which it would first come up if it came up at the rate of its weight; the first
    `num` are the sample. This is drawing without replacement (Efraimidis and Spirakis, 2006).

    Args:
        excluded: B rows; items that a query must not draw.
        num: Items for each query; fewer where no more are left.
        weights: (I,) not negative; items with weight 0 are not drawn.
        rng: The same seed gives the same items.
    """
    shares = np.asarray(weights, np.float32)
    drawable = Candidates(allowed=shares > 0)
    drawn = np.full((len(excluded), num), NO_ITEM, np.int32)
    size = max(1, _BLOCK_BYTES // (4 * max(1, len(shares))))
    for start in range(0, len(excluded), size):
        rows = slice(start, start + size)
        part = excluded.take(rows)
        times = rng.standard_exponential((len(part), len(shares)), np.float32)
        np.divide(times, -shares, out=times, where=drawable.allowed)
        drawable.without(part).hide(times)
        drawn[rows] = top_n(times, num)[0]
    filled = drawn != NO_ITEM
    return Ragged(offsets_of(filled.sum(axis=1)), drawn[filled])
