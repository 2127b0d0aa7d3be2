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
Floats = NDArray[np.float32]
PLACES = 10
"""Of a list so long, weights are chosen for the NDCG."""
_WITHIN = (*range(1, 13), 15, 20, 30)
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


def show_new(scores: Floats, read: Floats, new: NDArray[np.bool_], within: int) -> None:
    """Score new items so that they stand where the readers want them, but in the last of the first ten places at best.

    Those among the readers' first `within` stand together before the end of the ten. Of the others, the one that the
    readers put behind r items stands behind r known ones, and behind ten at least.

    Args:
        scores: (B, I) of known items, minus infinity for what is no answer; changed where an item is new.
        read: (B, I) what the readers say of new and known items, minus infinity for what is no answer.
        new: (B, I).
        within: Places of the readers' list.
    """
    scores[new] = -np.inf
    known_first, readers = -np.sort(-scores, axis=1), np.sort(read, axis=1)
    num_known = np.count_nonzero(scores > -np.inf, axis=1)
    for row in range(len(scores)):
        items = np.flatnonzero(new[row] & (read[row] > -np.inf))
        before = len(readers[row]) - np.searchsorted(readers[row], read[row, items], side="right")
        chosen = before < within
        line = known_first[row, : num_known[row]]
        behind = np.where(chosen, max(0, PLACES - int(chosen.sum())), np.maximum(before, PLACES)).clip(max=len(line))
        ends = np.concatenate([line[:1] + 1, line, line[-1:] - 1]) if len(line) else np.array([1, 0], np.float32)
        upper, lower = ends[behind], ends[behind + 1]
        scores[row, items] = lower + (upper - lower) / (2 + before)


def choose_within(judged: Judged, weights: Weights, says: Weights, new: NDArray[np.bool_], cost: float) -> int:
    """Return how many places of the readers' list bring a new item into the first ten; 0 where none should.

    Some known items are taken for new: only the readers may speak of them. As many places as the other questions can
    bear without losing more than `cost` of their NDCG@10, and no more than find items taken for new.

    Args:
        judged: Validation questions with the members' scores of their candidates.
        weights: (M,) of known items.
        says: (M,) of new items.
        new: (I,) the known items that are taken for new.
        cost: Share of NDCG@10.
    """
    pool, columns = judged.pool, judged.columns
    known, read = (np.tensordot(part.astype(np.float32), pool.says, 1) for part in (weights, says))
    known[~pool.filled] = read[~pool.filled] = -np.inf
    is_new = pool.filled & new[np.maximum(pool.items, 0)]
    asks_new = np.zeros(len(columns), bool)
    asks_new[columns.row_of_value[is_new[columns.row_of_value, columns.values]]] = True
    if not asks_new.any() or asks_new.all():
        return 0
    places = offsets_of(columns.lengths)

    def found(within: int) -> tuple[float, float]:
        scores = known.copy()
        show_new(scores, read, is_new, within)
        ranks = target_ranks(scores, columns)
        others = float(ndcg(ranks, places, PLACES)[~asks_new].sum())
        return others, float(recall(ranks, places, PLACES)[asks_new].sum())

    before, most = found(0)
    least, within = (1 - cost) * before, 0
    for tried in _WITHIN:
        others, hits = found(tried)
        if others < least:
            break
        if hits > most:
            within, most = tried, hits
    return within
