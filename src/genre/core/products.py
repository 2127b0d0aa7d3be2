"""What queries and items have in common, as products of their vectors: for one question as for thousands.

Shapes: B queries, I items, D numbers of a vector.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_FEW: Final = 7
"""Up to so many queries, a vector at a time takes less than a product of matrices, which copies the items first."""
_SOME: Final = 16
"""Up to so many, that copy costs least when the items stand on the left."""
_BLOCK_BYTES: Final = 1 << 19
"""Of the items that all queries of a few are compared with before the next: they stay in a core's cache."""


def products(wanted: Floats, vectors: Floats) -> Floats:
    """Return the products (B, I) of each query (B, D) with each item (I, D).

    A few queries take half the time of ``wanted @ vectors.T``, which is what many take: where a service answers two or
    three people at once, most of the time is spent on reading the items from memory.
    """
    if len(wanted) > _SOME:
        found: Floats = wanted @ vectors.T
        return found
    if len(wanted) > _FEW:
        return np.ascontiguousarray((vectors @ wanted.T).T)
    found = np.empty((len(wanted), len(vectors)), np.float32)
    size = max(1, _BLOCK_BYTES // max(1, 4 * vectors.shape[1]))
    for start in range(0, len(vectors), size):
        block = vectors[start : start + size]
        for row, query in zip(found, wanted, strict=True):
            row[start : start + size] = block @ query
    return found
