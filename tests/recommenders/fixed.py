"""A recommender that says what it was told to say."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import Queries, Source
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import RecommenderConfig, ScoringRecommender, State


class FixedConfig(RecommenderConfig):
    """No settings."""

    kind: Literal["fixed"] = "fixed"


class Fixed(ScoringRecommender[FixedConfig]):
    """Answer each training user from a table (U, I) of scores."""

    def __init__(self, scores: NDArray[np.floating], source: Source = Source.PERSONAL) -> None:
        super().__init__(FixedConfig())
        self.scores = scores.astype(np.float32)
        self.source = source  # type: ignore[misc]  # each instance speaks for another source

    def fit(self, data: Dataset, run: RunContext) -> Self:
        return self

    def score(self, queries: Queries) -> NDArray[np.float32]:
        return self.scores[queries.user_rows]

    def state(self) -> State:
        return {"scores": self.scores}

    def restore(self, state: State) -> None:
        self.scores = state["scores"]


class OnlyLists:
    """The same answers without `score`."""

    def __init__(self, model: Fixed) -> None:
        self.config = model.config
        self.fit, self.state, self.restore = model.fit, model.state, model.restore
        self.recommend = model.recommend


def ask(num: int) -> Queries:
    """Ask for the users 0 to num - 1, without a history."""
    return Queries(Interactions.empty(num), np.arange(num, dtype=np.int32), np.zeros(num, np.int64))
