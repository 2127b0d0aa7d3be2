"""How a fusion scores items that only some of its members can read: those that nobody has liked yet.

Shapes: B queries, I items, M members, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genre.core.ragged import offsets_of
from genre.metrics.ranking import ndcg, recall
from genre.metrics.ranks import target_ranks
from genre.recommenders.base import Recommender
from genre.recommenders.members import Judged

Weights = NDArray[np.float64]
_LIFTS = np.geomspace(0.1, 30, 36)
_LEAST_SAY = 1e-3
"""What a reader that has no weight for known items says of new ones, beside the heaviest: enough where it is alone."""


def reads_new_items(model: Recommender) -> bool:
    """Return whether a model scores items that nobody has liked."""
    members = getattr(model, "members", None)
    if members:
        return any(map(reads_new_items, members.values() if isinstance(members, dict) else members))
    return model.config.scores_new_items


def reading_weights(weights: Weights, members: Sequence[Recommender]) -> Weights:
    """Return how much each member (M,) says of new items: as of known ones if it reads, nothing if not; sum 1.

    Where there are members that read and do nothing else, they alone speak: a member that knows an item by its likes
    too would be far too good a judge of a known item that is taken for new.
    """
    readers = np.array([member.config.reads_only for member in members])
    if not readers.any():
        readers = np.array([reads_new_items(member) for member in members])
    says = np.where(readers, np.maximum(weights, _LEAST_SAY * weights.max(initial=0)), 0)
    total: Weights = says / max(float(says.sum()), float(np.finfo(np.float64).tiny))
    return total


def choose_lift(judged: Judged, weights: Weights, says: Weights, new: NDArray[np.bool_], cost: float) -> float:
    """Return what the readers' mean z-score of a new item is multiplied with, to stand beside the others' sums.

    Some known items are taken for new: only the readers may speak of them. Of the factors under which the other
    questions lose no more than `cost` of their NDCG@10, the one that finds the most of the items taken for new.

    Args:
        judged: Validation questions with the members' scores of their candidates.
        weights: (M,) of known items.
        says: (M,) of new items, sum 1.
        new: (I,) the known items that are taken for new.
        cost: Share of NDCG@10.
    """
    pool, columns = judged.pool, judged.columns
    known = np.tensordot(weights.astype(np.float32), pool.says, 1)
    read = np.tensordot(says.astype(np.float32), pool.says, 1)
    is_new = pool.filled & new[np.maximum(pool.items, 0)]
    targets = pool.items[columns.row_of_value, columns.values]
    asks_new = np.zeros(len(columns), bool)
    asks_new[columns.row_of_value[new[targets]]] = True
    if not asks_new.any() or asks_new.all():
        return 0.0
    places = offsets_of(columns.lengths)

    def found(lift: float) -> tuple[float, float]:
        scores = np.where(is_new, np.float32(lift) * read, known) if lift else np.where(is_new, -np.inf, known)
        scores[~pool.filled] = -np.inf
        ranks = target_ranks(scores.astype(np.float32), columns)
        quality = ndcg(ranks, places, 10)
        return float(quality[~asks_new].sum()), float(recall(ranks, places, 10)[asks_new].sum())

    least = (1 - cost) * found(0.0)[0]
    best, lift = -1.0, 0.0
    for tried in _LIFTS:
        others, hits = found(float(tried))
        if others >= least and hits > best:
            best, lift = hits, float(tried)
    return lift
