"""Recommend what reads like what somebody liked.

Shapes: B queries, I items, D numbers of a text vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from genre.core.queries import Candidates, Queries, Recommendations, Source
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.features.vectors import TextVectors, VectorsConfig
from genre.recommenders.base import (
    DataSize,
    Estimate,
    Recommender,
    RecommenderConfig,
    ScoringRecommender,
    State,
    never_scored,
)
from genre.recommenders.nearest import Nearest

Floats = NDArray[np.float32]


class ContentConfig(RecommenderConfig):
    """Settings of `content`."""

    kind: Literal["content"] = "content"
    vectors: VectorsConfig = VectorsConfig()
    """Which text, read by what."""
    decay: float = Field(default=0.5, gt=0, le=1)
    """What each like counts of the next newer one; .4 to .6 is best on the validation events of Amazon Beauty."""
    length: int = Field(default=50, ge=1)
    """Newest likes that are looked at."""
    profile_column: str = "profile"
    """User column that says in words what somebody likes, as `enrich` writes it; read where the data has it."""
    profile_weight: float = Field(default=0.3, ge=0)
    """How much the profile says beside the likes, which say 1. Somebody without likes is answered by it alone."""

    @property
    def reads(self) -> VectorsConfig:
        """Every item's text."""
        return self.vectors

    @property
    def reads_only(self) -> bool:
        """Nothing is learned of who liked what."""
        return True

    def build(self, members: Mapping[str, Recommender]) -> Content:
        """Return the unfitted component."""
        return Content(self)

    def estimate(self, size: DataSize) -> Estimate:
        """Every item's text is read once, if it is not in the store."""
        return Estimate(memory=8 * 1024 * size.num_items + (300 << 20), seconds=2e-3 * size.num_items)


class Content(ScoringRecommender[ContentConfig]):
    """``score(i) = sum_j decay^age(j) w_j cos(t_j, t_i) / sum_j decay^age(j) w_j + p cos(profile, t_i)``.

    j runs over the likes of the history, w is a like's weight, t a text's whitened vector. Nothing is learned of who
    liked what: an item is scored as soon as it has a text, and somebody new with the first like. Scores no item without
    a text. Needs `num_items * D` floats.
    """

    source = Source.CONTENT
    reader: TextVectors
    items: Nearest
    """Vectors (I, D) of the items' texts; zeros for an item without."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Read the items.

        Raises:
            DataError: No item has a text.
            DependencyError: The encoder is not there.
        """
        known = data.interactions.item_counts(data.num_items) > 0
        self.reader, text = TextVectors.fit(self.config.vectors, data.items, known, run)
        self.items = Nearest(text, self.source)
        return self

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that knows the new items too."""
        model = copy(self)
        model.items = self.items.with_more(self.reader.of_items(items.behind(len(self.items.vectors)), run))
        return model

    def update(self, data: Dataset, new: NDArray[np.bool_], run: RunContext) -> Self:
        """Return a model that knows the new items; there is nothing to learn of who liked what."""
        return self.index(data.items, run)

    def score(self, queries: Queries) -> Floats:
        """Return (B, I); nothing for somebody of whom neither a readable like nor a profile is known."""
        return self.items.score(self._wanted(queries))

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the n nearest items."""
        return self.items.recommend(self._wanted(queries), n, candidates)

    def similar(self, item_rows: NDArray[np.integer]) -> Floats:
        """Return the cosines (len(item_rows), I) of the texts."""
        vectors = self.items.vectors
        return never_scored(vectors[item_rows] @ vectors.T, self.items.scorable)

    def similar_to_texts(self, texts: list[str]) -> Floats:
        """Return the cosines (len(texts), I) of the items' texts with others, minus infinity where there is no text."""
        return self.items.score(self.reader.of_texts(texts))

    def state(self) -> State:
        """Return the items' vectors, and what reading texts has learned."""
        return {"text": self.items.vectors, **self.reader.state()}

    def restore(self, state: State) -> None:
        """Take both back."""
        self.items = Nearest(state["text"], self.source)
        self.reader = TextVectors.restore(self.config.vectors, state)

    def _wanted(self, queries: Queries) -> Floats:
        """Return (B, D) mean vectors of the likes, and of the profile; zeros where nothing is known."""
        likes = queries.history.liked().last(self.config.length)
        likes = likes.where(self.items.scorable[likes.item_rows])
        counts = (np.power(self.config.decay, likes.steps_from_end) * likes.weights).astype(np.float32)
        vectors = self.items.vectors
        matrix = sparse.csr_matrix((counts, likes.item_rows, likes.offsets), shape=(len(likes), len(vectors)))
        totals = np.asarray(matrix.sum(axis=1)).ravel()
        liked = np.asarray(matrix @ vectors) / np.where(totals > 0, totals, 1)[:, None]
        wanted: Floats = liked.astype(np.float32) + np.float32(self.config.profile_weight) * self._profiles(queries)
        return wanted

    def _profiles(self, queries: Queries) -> Floats:
        """Return (B, D) vectors of what users are said to like."""
        column, table = self.config.profile_column, queries.users
        found = np.zeros((len(queries), self.items.vectors.shape[1]), np.float32)
        if table is None or column not in table.columns or not self.config.profile_weight:
            return found
        texts = [text or "" for text in table[column].to_list()]
        given = [row for row, text in enumerate(texts) if text]
        if given:
            found[given] = self.reader.of_texts([texts[row] for row in given])
        return found
