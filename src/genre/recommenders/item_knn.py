"""Item-kNN: what goes with the items you liked.

Mukund Deshpande, George Karypis: Item-Based Top-N Recommendation Algorithms. ACM TOIS 22 (1), 2004.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from genre.core.queries import Candidates, Queries, Recommendations
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import (
    DataSize,
    Estimate,
    Recommender,
    RecommenderConfig,
    ScoringRecommender,
    State,
    from_evidence,
)
from genre.recommenders.sparse import decayed_likes, in_blocks, keep_best, recommend_from_evidence


class ItemKnnConfig(RecommenderConfig):
    """Settings of `item_knn`."""

    kind: Literal["item_knn"] = "item_knn"
    k: int = Field(default=100, ge=1)
    """Neighbours kept of each item."""
    shrinkage: float = Field(default=0.0, ge=0)
    """Added to the denominator of the cosine, in likes: takes weight from neighbours that share few users."""
    history_decay: float = Field(default=1.0, gt=0, le=1)
    """What each like counts of the next newer one; 1 counts all alike."""

    def build(self, members: Mapping[str, Recommender]) -> ItemKnn:
        """Return the unfitted component."""
        return ItemKnn(self)

    def estimate(self, size: DataSize) -> Estimate:
        """Pairs of events of one user, and `num_items * k` neighbours."""
        return Estimate(memory=16 * size.num_items * self.k, seconds=1.0)


class ItemKnn(ScoringRecommender[ItemKnnConfig]):
    """Add up the similarities of an item to the liked ones.

    ``similarity(i, j) = n_ij / (sqrt(n_i n_j) + shrinkage)`` for the k most similar j of each i, where n_i users liked i
    and n_ij both: the cosine of the two columns of the user-item matrix. ``score(j) = sum over likes i:
    similarity(i, j) history_decay^age(i)``, with age 0 for the newest like. Equal similarities are kept by item row.
    Needs `num_items * k` floats and as many rows.
    """

    similarity: sparse.csr_matrix
    """(I, I) the k nearest neighbours of each row's item."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Count who liked both, and keep the nearest neighbours."""
        users = data.interactions.to_binary_csr(data.num_items)
        items = users.T.tocsr()
        norms = np.sqrt(np.diff(items.indptr)).astype(np.float32)

        def neighbours(block: slice) -> sparse.csr_matrix:
            both = items[block] @ users
            own = np.repeat(np.arange(block.start, block.stop), np.diff(both.indptr))
            both.data /= norms[own] * norms[both.indices] + np.float32(self.config.shrinkage)
            both.data[both.indices == own] = -np.inf
            return keep_best(both, self.config.k)

        blocks = in_blocks(neighbours, data.num_items, data.num_items)
        self.similarity = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
        return self

    def evidence(self, queries: Queries) -> sparse.csr_matrix:
        """Return (B, I) sums of the similarities to the liked items."""
        return decayed_likes(queries.history, self.similarity.shape[0], self.config.history_decay) @ self.similarity

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) the evidence, minus infinity for items that are nobody's neighbour."""
        return from_evidence(self.evidence(queries))

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the n best-scored items for each query."""
        return recommend_from_evidence(self.evidence, queries, n, candidates, self.similarity.shape[0])

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return (len(item_rows), I) similarities, minus infinity for others than the k nearest."""
        return from_evidence(self.similarity[item_rows])

    def state(self) -> State:
        """Return the neighbours."""
        return {"similarity": self.similarity}

    def restore(self, state: State) -> None:
        """Take the neighbours back."""
        self.similarity = state["similarity"]
