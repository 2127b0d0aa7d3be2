"""Small questions and models that the evaluation's tests share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import Candidates, Holdout, Queries, Recommendations, Source
from genre.core.ragged import Ragged
from genre.core.topn import top_n
from genre.recommenders.popularity import PopularityConfig


@dataclass
class FixedScores:
    """Scores by position of the history's first item: row i of the table for a history that begins with item i."""

    table: NDArray[np.float32]
    config = PopularityConfig()
    asked: int = 0
    """Most queries asked at once."""

    def score(self, queries: Queries) -> NDArray[np.float32]:
        self.asked = max(self.asked, len(queries))
        return self.table[first_items(queries)].copy()


@dataclass
class FixedLists:
    """Recommends by the same table, and gives scores to nobody else."""

    table: NDArray[np.float32]
    config = PopularityConfig()

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        scores = self.table[first_items(queries)].copy()
        if candidates is not None:
            candidates.hide(scores)
        rows, best = top_n(scores, n)
        return Recommendations(rows, best, np.where(rows < 0, Source.NONE, Source.PERSONAL).astype(np.int8))


def first_items(queries: Queries) -> NDArray[np.int32]:
    return queries.history.item_rows[queries.history.offsets[:-1]]


def make_holdout(num_queries: int, num_items: int, *, targets: int = 2, seed: int = 0) -> Holdout:
    """Return queries whose history begins with the item of their own number, and that many targets not in it."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(np.delete(np.arange(num_items), row)) for row in range(num_queries)]
    histories = Ragged.of([[row, *items[:3]] for row, items in enumerate(drawn)])
    return Holdout(Queries.of(Interactions.of(histories)), Ragged.of([items[3 : 3 + targets] for items in drawn]))
