"""What everybody likes, with recent likes counting more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.queries import Queries, Source
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import Recommender, RecommenderConfig, ScoringRecommender, State

DAY = 86_400.0


class PopularityConfig(RecommenderConfig):
    """Settings of `popularity`."""

    kind: Literal["popularity"] = "popularity"
    half_life_days: float | None = Field(default=None, gt=0)
    """Days after which a like counts half. None, the default, counts all likes alike, since no one value suits both
    news (hours) and films (years)."""

    def build(self, members: Mapping[str, Recommender]) -> Popularity:
        """Return the unfitted component."""
        return Popularity(self)


class Popularity(ScoringRecommender[PopularityConfig]):
    """The same list for everybody, less what each has seen.

    ``score(i) = sum over likes e of i: weight(e) * 0.5 ** (age(e) / half_life)``, with ages counted back from the
    newest event of the training data. Answers empty histories too; cannot score an item that nobody liked.
    """

    source = Source.POPULAR
    scores: NDArray[np.float32]

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Count."""
        log = data.interactions
        values = log.weights
        if self.config.half_life_days is not None:
            ages = (data.end_time - log.timestamps) / (self.config.half_life_days * DAY)
            values = values * np.exp2(-ages)
        counts = log.item_counts(data.num_items, values)
        self.scores = np.where(counts > 0, counts, -np.inf).astype(np.float32)
        return self

    def update(self, data: Dataset, new: NDArray[np.bool_], run: RunContext) -> Self:
        """Return the counts of all events: counting again is as quick, and ages count from the newest event."""
        return type(self)(self.config).fit(data, run)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return the counts (B, I)."""
        return np.tile(self.scores, (len(queries), 1))

    def state(self) -> State:
        """Return the counts."""
        return {"scores": self.scores}

    def restore(self, state: State) -> None:
        """Take the counts back."""
        self.scores = state["scores"]
