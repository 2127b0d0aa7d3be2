"""A graph of what is liked soon after what; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from genre.core.interactions import Interactions
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
from genre.recommenders.sparse import decayed_likes, recommend_from_evidence, widened

_NOTHING = 1e-6
"""Less than any pair counts that could be seen in an answer."""


class GraphConfig(RecommenderConfig):
    """Settings of `graph`. The defaults were found on shopping histories (Amazon Beauty), the newest like held out."""

    kind: Literal["graph"] = "graph"
    max_gap: int = Field(default=20, ge=1)
    """Likes that are at most so many steps apart are joined."""
    gap_decay: float = Field(default=0.8, gt=0, le=1)
    """What a pair counts of one that is a step closer together."""
    reverse_weight: float = Field(default=0.5, ge=0)
    """What a pair counts against the order of time; 1 ignores the order, 0 forbids going back."""
    history_decay: float = Field(default=0.5, gt=0, le=1)
    """What each like of a query counts of the next newer one; 1 counts all alike."""

    def build(self, members: Mapping[str, Recommender]) -> Graph:
        """Return the unfitted component."""
        return Graph(self)

    def estimate(self, size: DataSize) -> Estimate:
        """Two edges for each event and gap, less where they fall together."""
        mean_length = -(-size.num_events // max(1, size.num_users))
        pairs = size.num_events * min(self.max_gap, mean_length)
        return Estimate(memory=16 * pairs, seconds=8e-8 * pairs)


class Graph(ScoringRecommender[GraphConfig]):
    """Walk one step from the liked items to what others liked soon after, or before.

    ``weight(i, j) = sum gap_decay^(gap - 1) + reverse_weight * sum gap_decay^(gap - 1)``, the first sum over pairs of
    likes of one user with j `gap` steps after i, the second over those with j before i; then each row is divided by its
    sum. ``score(j) = sum over likes i: history_decay^age(i) weight(i, j)``, with age 0 for the newest like. Needs 8
    bytes for each edge, of which there are at most ``2 * max_gap`` for each event.
    """

    transitions: sparse.csr_matrix
    """(I, I) where to go from the row's item; a row sums to 1, or to 0 for an item liked only alone."""
    sums: NDArray[np.float32] | None = None
    """(I,) what each row was divided by, so that more can be added; None in models of versions that did not keep it."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Add up the pairs, gap by gap."""
        self._divide(self._edges(data.interactions, data.num_items))
        return self

    def update(self, data: Dataset, new: NDArray[np.bool_], run: RunContext) -> Self:
        """Return the graph of all events: only the histories that have grown are counted, as they are and were."""
        model = type(self)(self.config)
        if self.sums is None:
            return model.fit(data, run)
        log, size = data.interactions, data.num_items
        grown = np.unique(log.row_of_event[new])
        now, before = log.take(grown), log.where(~new).take(grown)
        edges = widened(self.transitions, size).astype(np.float64)
        edges.data *= np.repeat(self.sums, np.diff(self.transitions.indptr))
        more = self._edges(now, size, np.float64) - self._edges(before, size, np.float64)
        edges = sparse.csr_matrix(edges + more)
        edges.data[edges.data < _NOTHING] = 0  # What is left of an edge that is no more is a rounding.
        model._divide(edges.astype(np.float32))
        return model

    def _edges(self, log: Interactions, num_items: int, dtype: type[np.floating] = np.float32) -> sparse.csr_matrix:
        """Return (I, I) what each pair counts in all."""
        likes = log.liked()
        longest = int(likes.lengths.max(initial=0))
        forward = _pairs(likes, 1, num_items, dtype)
        for gap in range(2, min(self.config.max_gap, longest - 1) + 1):
            forward = forward + self.config.gap_decay ** (gap - 1) * _pairs(likes, gap, num_items, dtype)
        return sparse.csr_matrix(forward + self.config.reverse_weight * forward.T)

    def _divide(self, edges: sparse.csr_matrix) -> None:
        """Let each row sum to 1."""
        edges.eliminate_zeros()
        sums: NDArray[np.float32] = np.asarray(edges.sum(axis=1), np.float32).ravel()
        edges.data /= np.repeat(sums, np.diff(edges.indptr))
        self.transitions, self.sums = edges, sums

    def evidence(self, queries: Queries) -> sparse.csr_matrix:
        """Return (B, I) sums of the edges that leave the liked items."""
        likes = decayed_likes(queries.history, self.transitions.shape[0], self.config.history_decay)
        return sparse.csr_matrix(likes @ self.transitions)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) the evidence, minus infinity for items that no edge reaches."""
        return from_evidence(self.evidence(queries))

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the n best-scored items for each query."""
        return recommend_from_evidence(self.evidence, queries, n, candidates, self.transitions.shape[0])

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the edges (len(item_rows), I) that leave the items, minus infinity where there is none."""
        return from_evidence(self.transitions[item_rows])

    def state(self) -> State:
        """Return the edges."""
        return {"transitions": self.transitions} | ({} if self.sums is None else {"sums": self.sums})

    def restore(self, state: State) -> None:
        """Take the edges back."""
        self.transitions, self.sums = state["transitions"], state.get("sums")


def _pairs(likes: Interactions, gap: int, num_items: int, dtype: type[np.floating]) -> sparse.csr_matrix:
    """Return (I, I) how often the column's item was liked `gap` steps after the row's; 0 for an item and itself."""
    earlier = np.flatnonzero(likes.steps_from_end >= gap)
    rows, columns = likes.item_rows[earlier], likes.item_rows[earlier + gap]
    ones = (rows != columns).astype(dtype)
    return sparse.csr_matrix((ones, (rows, columns)), shape=(num_items, num_items))
