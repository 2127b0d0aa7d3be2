"""Which events of a history raise an item: each is left out in turn, and the model is asked again.

Whoever chose an item several times is asked about all of these at once, by the newest.

Shapes: E events of a history, I items.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import Candidates, Queries
from genre.recommenders.base import Recommender, Scorer

MOST_EVENTS = 100
"""Items of a history, those chosen last, that are left out in turn."""
_LISTED = 200
"""Places that a model is asked for which ranks and does not score."""


@dataclass(frozen=True)
class Attribution:
    """What a model thinks of one item for one history, and what without each event."""

    score: float
    rank: float
    """From 1; infinity where the model does not return the item."""
    places: NDArray[np.int64]
    """(E,) places of the newest events of the history's items, the oldest first."""
    drops: NDArray[np.float64]
    """(E,) by how much the score falls without each; what is below 0 speaks against the item."""
    ranks: NDArray[np.float64]
    """(E,) the item's rank without each."""

    @property
    def best_first(self) -> NDArray[np.int64]:
        """Return the events that raise the item, as rows of `places`: what costs most rank, then most score, first."""
        if not np.isfinite(self.rank):
            return np.zeros(0, np.int64)
        order = np.lexsort((-self.drops, -self.ranks))
        found: NDArray[np.int64] = order[(self.drops[order] > 0) & (self.ranks[order] >= self.rank)]
        return found


def attribute(model: Recommender, query: Queries, item: int, candidates: Candidates) -> Attribution:
    """Ask a model about an item with the whole history, and without each item of it, in one batch.

    It is exact for every model: what it says is what the model would have said. Events that only matter together show
    little each.

    Args:
        model: Any.
        query: One query.
        item: Row of the item.
        candidates: Of the one query. They stay as they are, so that an event that is left out is no answer for it.
    """
    items = query.history.item_rows
    _, newest = np.unique(items[::-1], return_index=True)
    places = np.sort(len(items) - 1 - newest)[-MOST_EVENTS:]
    times = np.zeros(1 + len(places), np.int64)
    kept = np.ones((len(times), len(items)), bool)
    kept[1:] = items[None, :] != items[places, None]
    asked = query.take(times)
    asked = replace(asked, history=asked.history.where(kept.ravel()))
    scores, ranks = score_and_rank(model, asked, item, candidates.take(times))
    return Attribution(float(scores[0]), float(ranks[0]), places, _falls(scores), np.asarray(ranks[1:], np.float64))


def score_and_rank(
    model: Recommender, queries: Queries, items: int | NDArray[np.integer], candidates: Candidates
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the score (B,) and the rank (B,) of an item for each query, minus infinity and infinity for no answer.

    Args:
        model: Any.
        queries: B queries.
        items: Row of the item, or (B,) one for each query.
        candidates: Of the queries.
    """
    rows, wanted = np.arange(len(queries)), np.broadcast_to(np.asarray(items, np.int64), len(queries))
    if isinstance(model, Scorer):
        scores = model.score(queries)
        candidates.hide(scores)
        own = scores[rows, wanted]
        before = np.arange(scores.shape[1]) < wanted[:, None]
        above = (scores > own[:, None]).sum(1) + ((scores == own[:, None]) & before).sum(1)
        return own.astype(np.float64), np.where(np.isfinite(own), 1.0 + above, np.inf)
    answer = model.recommend(queries, _LISTED, candidates=candidates)
    there = answer.item_rows == wanted[:, None]
    found = there.any(1)
    place = there.argmax(1)
    own = np.where(found, answer.scores[rows, place], -np.inf)
    return own.astype(np.float64), np.where(found, 1.0 + place, np.inf)


def _falls(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much each score but the first is below the first; without a score at all, it falls without end."""
    first, others = scores[0], scores[1:]
    if not np.isfinite(first):
        return np.zeros(len(others))
    return np.asarray(np.where(np.isfinite(others), first - others, np.inf), np.float64)
