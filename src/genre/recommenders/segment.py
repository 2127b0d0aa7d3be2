"""What is popular among users of one kind.

Shapes: U users, I items, S segments, D numbers for each history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from threadpoolctl import threadpool_limits

from genre.core.queries import Queries, Source
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, ScoringRecommender, State

DAY = 86_400.0


class SegmentConfig(RecommenderConfig):
    """Settings of `segment`. The defaults suit Amazon Beauty and MovieLens 100K both, the newest like held out."""

    kind: Literal["segment"] = "segment"
    num_segments: int = Field(default=50, ge=1)
    """Groups of users; with more of them the lists are more personal, and rest on fewer likes each."""
    embedding_size: int = Field(default=32, ge=1)
    """Numbers that a history is reduced to before it is grouped: the histories themselves, nearly all of whose entries
    are 0, give worse groups."""
    half_life_days: float | None = Field(default=365.0, gt=0)
    """Days after which a like counts half; None counts all alike. A year suits shops and films; news need hours."""

    def build(self, members: Mapping[str, Recommender]) -> Segment:
        """Return the unfitted component."""
        return Segment(self)

    def estimate(self, size: DataSize) -> Estimate:
        """A few passes over the events for the projection, and over the users' vectors for k-means."""
        vectors = (size.num_users + size.num_items) * (self.embedding_size + 10)
        cells = self.num_segments * size.num_items
        work = 2.8e-8 * size.num_events + 5e-9 * size.num_users * self.num_segments
        return Estimate(memory=8 * (vectors + cells) + 24 * size.num_events, seconds=work * self.embedding_size)


class Segment(ScoringRecommender[SegmentConfig]):
    """Group users by what they like, and count likes in each group, with recent likes counting more.

    A history h (0 or 1 for each item) becomes ``e = h N V / |h N V|``. N is diagonal, ``N[i, i] = 1 / sqrt(likes of
    i)``, so that popular items do not decide alone; V holds the first right singular vectors of the users' ``h N / |h
    N|``. k-means groups the users' e; a query belongs to the group with the nearest centre, and ``score(i) = sum over
    the group's likes of i: weight * 0.5^(age / half_life)``, with ages counted back from the newest event of the
    training data. Needs ``num_items * (num_segments + embedding_size)`` floats.
    """

    source = Source.SEGMENT
    projection: NDArray[np.float32]
    """(I, D), called N V above; 0 for items without a like."""
    centres: NDArray[np.float32]
    """(S, D)"""
    scores: NDArray[np.float32]
    """(S, I) minus infinity for what nobody in the segment liked."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Reduce the histories, group them, and count."""
        seed = int(run.rng("segment").integers(2**31))
        likes = data.interactions.to_binary_csr(data.num_items)
        self.projection = _projection(likes, self.config.embedding_size, seed)
        labels, self.centres = _groups(self._embed(likes), self.config.num_segments, seed)
        self.scores = self._count(data, labels)
        return self

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return the counts (B, I) of each query's segment; nothing for a history without a like of a known item."""
        embedded = self._embed(queries.history.to_binary_csr(len(self.projection)))
        scores = self.scores[_nearest(embedded, self.centres)]
        scores[~embedded.any(axis=1)] = -np.inf
        return scores

    def state(self) -> State:
        """Return the segments."""
        return {"projection": self.projection, "centres": self.centres, "scores": self.scores}

    def restore(self, state: State) -> None:
        """Take the segments back."""
        self.projection, self.centres, self.scores = state["projection"], state["centres"], state["scores"]

    def _embed(self, likes: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return (B, D) unit vectors of histories (B, I), zeros for one without a like of a known item."""
        return _unit_rows(likes @ self.projection)

    def _count(self, data: Dataset, labels: NDArray[np.integer]) -> NDArray[np.float32]:
        """Add up the likes of each segment's users."""
        log = data.interactions
        values = log.weights
        if self.config.half_life_days is not None:
            values = values * np.exp2((log.timestamps - data.end_time) / (self.config.half_life_days * DAY))
        ones, shape = np.ones(len(labels), np.float32), (len(self.centres), len(labels))
        members = sparse.csr_matrix((ones, (labels, np.arange(len(labels)))), shape)
        counts = (members @ log.to_csr(data.num_items, values)).toarray()
        return np.where(counts > 0, counts, -np.inf).astype(np.float32)


def _projection(likes: sparse.csr_matrix, size: int, seed: int) -> NDArray[np.float32]:
    """Return N V (I, D), D being `size`, or less where there are fewer users or items."""
    from sklearn.utils.extmath import randomized_svd

    scale = 1 / np.sqrt(np.maximum(likes.getnnz(axis=0), 1)).astype(np.float32)
    scaled = likes @ sparse.diags(scale)
    lengths = np.sqrt(np.asarray(scaled.power(2).sum(axis=1)).ravel())
    rows = sparse.diags(1 / np.maximum(lengths, np.finfo(np.float32).tiny)) @ scaled
    _, _, directions = randomized_svd(rows, min(size, *likes.shape), random_state=seed)
    return np.asarray((directions * scale).T, dtype=np.float32)


def _groups(
    embedded: NDArray[np.float32], num_segments: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the group (U,) of each history (U, D), and the centres (S, D)."""
    from sklearn.cluster import KMeans

    num_different = len(np.unique(embedded.round(4), axis=0))
    with threadpool_limits(1):  # Several threads would add up in an order that differs between runs.
        found = KMeans(min(num_segments, num_different), random_state=seed).fit(embedded)
    centres = found.cluster_centers_.astype(np.float32)
    return _nearest(embedded, centres), centres


def _nearest(embedded: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the group (B,) with the nearest centre (S, D) for each history (B, D)."""
    closeness: NDArray[np.float32] = embedded @ centres.T - (centres**2).sum(axis=1) / 2
    return np.asarray(closeness.argmax(axis=1))


def _unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
