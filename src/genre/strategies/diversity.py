"""A list of different things: maximal marginal relevance over the items' content.

Jaime Carbonell, Jade Goldstein: The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
Summaries. SIGIR 1998.

Shapes: B queries, P places of the list that is chosen from.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from genre.core.config import Config
from genre.core.queries import NO_ITEM, Queries, Recommendations
from genre.data.dataset import Dataset
from genre.features.content import ContentConfig, ContentFeatures

_BLOCK = 256
"""Queries whose similarities (P x P each) are held at once."""


class DiversifyConfig(Config):
    """Put each place's item up against those above it."""

    kind: Literal["diversify"] = "diversify"
    strength: float = Field(default=0.3, ge=0, le=1)
    """0 keeps the order; 1 looks only at difference. The paper's lambda is 1 minus this."""

    def build(self, data: Dataset) -> Diversify:
        """Return the strategy over this catalogue."""
        features = ContentFeatures.fit(data.items, ContentConfig()).transform(data.items)
        lengths = np.sqrt(np.asarray(features.multiply(features).sum(axis=1)).ravel())
        return Diversify(sparse.diags_array(1 / np.maximum(lengths, 1e-12)).dot(features).tocsr(), self.strength)


class Diversify:
    """Takes, place by place, the item with the highest ``(1 - s) relevance - s max similarity to those taken``.

    Relevance falls in even steps from 1 at the top to 0 at the list's end, because a filled list holds scores of
    several models, which do not compare. Similarity is the cosine of content features.
    """

    def __init__(self, features: sparse.csr_matrix, strength: float) -> None:
        """Take unit-length item features (num_items, F)."""
        self._features = features
        self._strength = strength

    def __call__(self, queries: Queries, recommendations: Recommendations, rng: np.random.Generator) -> Recommendations:
        """Reorder every list."""
        order = np.empty(recommendations.item_rows.shape, np.int64)
        for start in range(0, len(recommendations), _BLOCK):
            order[start : start + _BLOCK] = self._order(recommendations.item_rows[start : start + _BLOCK])
        return recommendations.reorder(order)

    def _order(self, item_rows: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the places (B, P) in the order in which they are taken; empty places come last."""
        num_rows, size = item_rows.shape
        everyone = np.arange(num_rows)
        similarity = np.stack([self._similarity(row) for row in item_rows])  # (B, P, P)
        value = np.tile((1 - self._strength) * (1 - np.arange(size) / size), (num_rows, 1))
        value[item_rows == NO_ITEM] -= 2.0  # Below any item: the value of an item is at least -strength.
        nearest = np.zeros((num_rows, size))
        taken = np.zeros((num_rows, size), bool)
        order = np.empty((num_rows, size), np.int64)
        for place in range(size):
            best = np.where(taken, -np.inf, value - self._strength * nearest).argmax(axis=1)
            order[:, place] = best
            taken[everyone, best] = True
            np.maximum(nearest, similarity[everyone, best], out=nearest)
        return order

    def _similarity(self, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return (P, P) cosines; the last item stands in for an empty place, which is never compared."""
        rows = self._features[items]
        return np.asarray((rows @ rows.T).toarray(), dtype=np.float32)
