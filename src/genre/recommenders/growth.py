"""A catalogue that grows: models that read items take new ones in at once, others go on without them.

Shapes: B queries, I items of the longer catalogue, K items that a model was fitted on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import Candidates, Queries, Recommendations
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.recommenders.base import Indexable, Recommender, RecommenderConfig, Scorer, Similar, State


def grown(model: Recommender, items: Entities, num_known: int, run: RunContext) -> Recommender:
    """Return a model that answers over a longer catalogue.

    Args:
        model: Fitted on the first `num_known` items.
        items: All items, those in their old rows and new ones behind.
        num_known: K.
        run: Where texts that were read are kept.
    """
    if isinstance(model, Indexable):
        grown_model: Recommender = model.index(items, run)
        return grown_model
    kind = UnawareScorer if isinstance(model, Scorer) else Unaware
    return kind(model, num_known, len(items))


class Unaware:
    """A model that has never heard of the new items: it is asked of the others, about the others."""

    def __init__(self, model: Recommender, num_known: int, num_items: int) -> None:
        """Take a model that was fitted on the first `num_known` of `num_items` items."""
        self.model, self.num_known, self.num_items = model, num_known, num_items

    @property
    def config(self) -> RecommenderConfig:
        """Return the model's settings."""
        return self.model.config

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Fit the model again, on all of `data`."""
        self.model, self.num_known = self.model.fit(data, run), data.num_items
        return self

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return the same model over a still longer catalogue."""
        return type(self)(self.model, self.num_known, len(items))

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the model's answer to what it knows of each history."""
        return self.model.recommend(self._known(queries), n, candidates=self._allowed(candidates))

    def state(self) -> State:
        """Return what the model has learned."""
        return self.model.state()

    def restore(self, state: State) -> None:
        """Take it back."""
        self.model.restore(state)

    def _known(self, queries: Queries) -> Queries:
        history: Interactions = queries.history
        if int(history.item_rows.max(initial=-1)) < self.num_known:
            return queries
        return replace(queries, history=history.where(history.item_rows < self.num_known))

    def _allowed(self, candidates: Candidates | None) -> Candidates | None:
        if candidates is None:
            return None
        return Candidates(
            None if candidates.allowed is None else candidates.allowed[: self.num_known],
            _below(candidates.excluded, self.num_known),
            _below(candidates.only, self.num_known),
        )


class UnawareScorer(Unaware):
    """The same for a model that scores every item it knows."""

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) scores, minus infinity for the new items."""
        return self._wide(cast(Scorer, self.model).score(self._known(queries)))

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return (len(item_rows), I) similarities; minus infinity to, and from, a new item."""
        model = self.model
        found = np.full((len(item_rows), self.num_items), -np.inf, np.float32)
        old = np.flatnonzero(item_rows < self.num_known)
        if isinstance(model, Similar) and len(old):
            found[old, : self.num_known] = model.similar(item_rows[old])
        return found

    def _wide(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        wide = np.full((len(scores), self.num_items), -np.inf, np.float32)
        wide[:, : scores.shape[1]] = scores
        return wide


def _below(items: Ragged | None, limit: int) -> Ragged | None:
    if items is None or not (items.values >= limit).any():
        return items
    kept = items.values < limit
    ends = np.concatenate([[0], np.cumsum(kept)])
    return Ragged(ends[items.offsets].astype(np.int64), items.values[kept])
