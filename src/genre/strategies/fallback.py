"""Fills what a model leaves empty with the next best source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genre.core.queries import Candidates, Queries, Recommendations
from genre.core.ragged import Ragged
from genre.recommenders.base import Recommender


def fill(
    queries: Queries, answer: Recommendations, chain: Sequence[Recommender], candidates: Candidates
) -> Recommendations:
    """Return the answer with its empty places taken by the models of `chain`, one after the other.

    Scores of different models do not compare, so a filled list falls only as long as one source speaks.
    """
    for model in chain:
        short = np.flatnonzero(~answer.filled.all(axis=1))
        if not len(short):
            break
        asked = queries.take(short)
        taken = Ragged.of([row[row >= 0] for row in answer.item_rows[short]])
        more = model.recommend(asked, answer.n, candidates=candidates.take(short).without(taken))
        joined = answer.take(short).beside(more)
        filled = joined.compact(joined.filled).first(answer.n)
        answer = answer.with_rows(short, filled)
    return answer
