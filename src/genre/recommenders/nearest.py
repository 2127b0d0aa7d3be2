"""What recommenders share whose answer is the items nearest to a vector.

Shapes: B queries, I items, D numbers of a vector, n places.
"""

from __future__ import annotations

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genre.core.products import products
from genre.core.queries import Candidates, Recommendations, Source
from genre.features.index import VectorIndex
from genre.recommenders.base import never_scored

Floats = NDArray[np.float32]


class Nearest:
    """Items as vectors; one that is zero says nothing, and is no answer."""

    def __init__(self, vectors: Floats, source: Source) -> None:
        """Take the items (I, D), and what answers are marked with."""
        self.vectors, self.source = vectors, source

    @cached_property
    def scorable(self) -> NDArray[np.bool_]:
        """(I,) items with a vector."""
        return np.asarray(self.vectors.any(axis=1))

    @cached_property
    def index(self) -> VectorIndex:
        """Return the index, built at the first question: with Faiss past a million items, exact below."""
        return VectorIndex.build(self.vectors)

    def with_more(self, vectors: Floats) -> Self:
        """Return the same with more items behind; an index that is built takes them in, and is not built again."""
        longer = type(self)(np.concatenate([self.vectors, vectors]), self.source)
        if "index" in self.__dict__:
            longer.index = self.index.add(vectors)
        return longer

    def score(self, wanted: Floats) -> Floats:
        """Return the products (B, I), minus infinity for items without a vector and for queries that are zero."""
        scores = products(wanted, self.vectors)
        scores[~wanted.any(axis=1)] = -np.inf
        return never_scored(scores, self.scorable)

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
