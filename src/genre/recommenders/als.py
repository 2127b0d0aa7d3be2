"""ALS: users and items as vectors whose product says how likely a like is.

Yifan Hu, Yehuda Koren, Chris Volinsky: Collaborative Filtering for Implicit Feedback Datasets. ICDM 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import threadpool_limits

from genre.core.products import products
from genre.core.queries import Queries
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import (
    DataSize,
    Estimate,
    Recommender,
    RecommenderConfig,
    ScoringRecommender,
    State,
    never_scored,
)

if TYPE_CHECKING:
    from implicit.cpu.als import AlternatingLeastSquares

_SMALL = 0.01
"""Largest number that the vector of a new item begins with, as in the library."""


class AlsConfig(RecommenderConfig):
    """Settings of `als`. The defaults suit Amazon Beauty and MovieLens 100K both, the newest like held out."""

    kind: Literal["als"] = "als"
    embedding_size: int = Field(default=64, ge=1)
    """Numbers for each user and item; the more data, the more of them pay. Twice as many found a tenth more of the
    held-out likes on Amazon Beauty, and a tenth fewer on MovieLens."""
    confidence: float = Field(default=20.0, gt=0)
    """What a like of weight 1 counts, where an item without an event counts 1. Sparse data want more."""
    regularization: float = Field(default=10.0, gt=0)
    """Pulls the vectors towards 0. Values from 1 to 30 differed by less than a tenth."""
    epochs: int = Field(default=15, ge=1)
    """Times that all vectors are solved for. Half as many cost 2 to 7 %."""
    history_decay: float = Field(default=0.7, gt=0, le=1)
    """What each like of a query counts of the next newer one; 1 counts all alike, as fitting does. 0.7 finds
    a tenth more than 1 on Amazon Beauty, and half as many again on MovieLens, as the next like depends on the last
    ones most."""

    @property
    def has_item_vectors(self) -> bool:
        """It learns one of each item."""
        return True

    def build(self, members: Mapping[str, Recommender]) -> Als:
        """Return the unfitted component."""
        return Als(self)

    def estimate(self, size: DataSize) -> Estimate:
        """Vectors of users and items; in each epoch a product for each event and a system to solve for each vector."""
        numbers = (size.num_users + size.num_items) * self.embedding_size
        work = 4e-9 * size.num_events * self.embedding_size + 3.4e-10 * numbers * self.embedding_size
        return Estimate(memory=4 * numbers + 36 * size.num_events, seconds=self.epochs * work)


class Als(ScoringRecommender[AlsConfig]):
    """Find vectors x of users and y of items by alternating weighted least squares.

    ``x, y = argmin sum over all users and items c (p - x.y)^2 + regularization (|x|^2 + |y|^2)``, with p = 1 and
    ``c = confidence * weight`` where the user liked the item, p = 0 and c = 1 elsewhere. The items are fitted by the
    library `implicit`. A query's x is solved for from its history, whoever asks, with ``c = confidence * weight *
    history_decay^age`` and age 0 for the newest like; ``score(i) = x.y_i``. Needs `num_items * embedding_size` floats.
    """

    vectors: NDArray[np.float32]
    """(I, embedding_size), called y above."""
    known: NDArray[np.bool_]
    """(I,) items that somebody liked in training."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Alternate between the users and the items."""
        solver = self._new_solver(int(run.rng("als").integers(2**31)))
        with threadpool_limits(1, "blas"):  # The library has threads of its own.
            solver.fit(data.interactions.to_csr(data.num_items), show_progress=False)
        self.restore({"vectors": solver.item_factors, "known": data.interactions.item_counts(data.num_items) > 0})
        return self

    def update(self, data: Dataset, new: NDArray[np.bool_], run: RunContext) -> Self:
        """Return the vectors after one more turn over all events, which begins with those of now."""
        more = data.num_items - len(self.vectors)
        solver = self._new_solver(int(run.rng("als").integers(2**31)))
        solver.iterations = 1
        start = run.rng("als.new").random((more, self.config.embedding_size), np.float32) * _SMALL
        solver.item_factors = np.concatenate([self.vectors, start])
        with threadpool_limits(1, "blas"):
            solver.fit(data.interactions.to_csr(data.num_items), show_progress=False)
        model = type(self)(self.config)
        known = data.interactions.item_counts(data.num_items) > 0
        model.restore({"vectors": solver.item_factors, "known": known})
        return model

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) products x.y; nothing for a history without a like of a known item."""
        likes = queries.history.liked()
        weights = likes.to_csr(len(self.known), likes.weights * self.config.history_decay**likes.steps_from_end)
        users = self._solver.recalculate_user(np.arange(len(queries)), weights)
        scores = never_scored(products(users, self.vectors), self.known)
        scores[weights[:, self.known].getnnz(axis=1) == 0] = -np.inf
        return scores

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the cosines (len(item_rows), I) of the items' vectors."""
        lengths = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        unit = self.vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        cosines = never_scored(unit[item_rows] @ unit.T, self.known)
        cosines[~self.known[item_rows]] = -np.inf
        return cosines

    def state(self) -> State:
        """Return the items' vectors and which of them are known."""
        return {"vectors": self.vectors, "known": self.known}

    def restore(self, state: State) -> None:
        """Take the vectors back."""
        self.vectors, self.known = state["vectors"], state["known"]
        self._solver = self._new_solver(seed=0)
        self._solver.item_factors = self.vectors

    def _new_solver(self, seed: int) -> AlternatingLeastSquares:
        from implicit.cpu.als import AlternatingLeastSquares

        with threadpool_limits(1, "blas"):  # It warns where it finds more.
            return AlternatingLeastSquares(
                factors=self.config.embedding_size,
                regularization=self.config.regularization,
                alpha=self.config.confidence,
                iterations=self.config.epochs,
                random_state=seed,
            )
