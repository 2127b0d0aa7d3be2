"""What recommenders share whose answer is the items nearest to a vector.

Shapes: B queries, I items, D numbers of a vector, n places.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import Candidates, Recommendations, Source
from genre.features.index import VectorIndex

Floats = NDArray[np.float32]
LARGE = 1_000_000
"""Items from which on the scores of all of them are no longer worth their time: an index finds the nearest."""


class Nearest:
    """Items as vectors, some of which may be answered with."""

    def __init__(self, vectors: Floats, scorable: NDArray[np.bool_], source: Source) -> None:
        """Take the items (I, D), which of them (I,) have a vector at all, and what answers are marked with."""
        self.vectors, self.scorable, self.source = vectors, scorable, source

    @property
    def large(self) -> bool:
        """Return whether an index pays."""
        return len(self.vectors) > LARGE

    @cached_property
    def index(self) -> VectorIndex:
        """Return the index, built at the first question."""
        return VectorIndex.build(self.vectors)

    def score(self, wanted: Floats) -> Floats:
        """Return the products (B, I), minus infinity for items without a vector and for queries that are zero."""
        scores: Floats = wanted @ self.vectors.T
        scores[~wanted.any(axis=1)] = -np.inf
        scores[:, ~self.scorable] = -np.inf
        return scores

    def recommend(self, wanted: Floats, n: int, candidates: Candidates | None) -> Recommendations:
        """Return the n items with the highest products, found by the index."""
        answer = Recommendations.empty(len(wanted), n)
        rows = np.flatnonzero(wanted.any(axis=1))
        limits = candidates or Candidates()
        allowed = self.scorable if limits.allowed is None else self.scorable & limits.allowed
        limits = Candidates(allowed, limits.excluded, limits.only).take(rows)
        answer.item_rows[rows], answer.scores[rows] = self.index.search(wanted[rows], n, candidates=limits)
        answer.sources[answer.filled] = self.source
        return answer
