"""How well the right answers are ranked, query by query.

Every function takes the ranks of the targets (right answers) and where each query's begin, and gives one number for
each query. Ranks count from 1; infinity stands for a target that is not returned. Other items are not right.

Equal scores give ranks that are no whole places (`ranks.target_ranks`): such a target is inside the first k if its rank
is at most k, and counts with the weight at exactly that rank. This is the value at the mean rank, not the mean of the
values over all orders of the equal ones; where several targets are equal, no value is more than the best possible one.

Shapes: B queries, E targets in all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from genre.core.ragged import offsets_of

Ranks = NDArray[np.floating]
"""(E,) from 1, infinity for a target that is not returned."""
Offsets = NDArray[np.int64]
"""(B + 1,); the targets of query b stand at `offsets[b]:offsets[b + 1]`."""
PerQuery = NDArray[np.float64]
"""(B,)"""


def precision(ranks: Ranks, offsets: Offsets, k: int) -> PerQuery:
    """Return the share of the first k places that hold a target; a shorter list counts as k places too."""
    return _hits(ranks, offsets, k) / k


def recall(ranks: Ranks, offsets: Offsets, k: int) -> PerQuery:
    """Return the share of a query's targets that stand in the first k places; 0 for a query without a target."""
    return _hits(ranks, offsets, k) / np.maximum(np.diff(offsets), 1)


def f1(ranks: Ranks, offsets: Offsets, k: int) -> PerQuery:
    """Return the harmonic mean of precision and recall: ``2 hits / (k + number of targets)``."""
    return _hits(ranks, offsets, k) / ((k + np.diff(offsets)) / 2)


def hit_rate(ranks: Ranks, offsets: Offsets, k: int) -> PerQuery:
    """Return 1 where at least one target stands in the first k places, 0 elsewhere."""
    return np.minimum(_hits(ranks, offsets, k), 1.0)


def ndcg(ranks: Ranks, offsets: Offsets, k: int) -> PerQuery:
    """Return the normalised discounted cumulative gain with gains of 1.

    ``sum over targets with rank <= k of 1 / log2(1 + rank)``, divided by the most that this can be, with the targets at
    the first ``min(k, number of targets)`` places.

    Järvelin and Kekäläinen: Cumulated gain-based evaluation of IR techniques. TOIS 2002.
    """
    gains = np.where(ranks <= k, 1 / np.log2(1 + ranks.astype(np.float64)), 0.0)
    ideal = np.append(0.0, np.cumsum(1 / np.log2(1 + np.arange(1, k + 1))))
    best: PerQuery = ideal[_reachable(offsets, k)]
    return np.minimum(_sums(gains, offsets) / best, 1.0)


def mrr(ranks: Ranks, offsets: Offsets, k: int) -> PerQuery:
    """Return the reciprocal rank of the first target, 0 where no target stands in the first k places."""
    best = np.full(len(offsets) - 1, np.inf)
    np.minimum.at(best, _query_of(offsets), ranks)
    return np.where(best <= k, 1 / best, 0.0)


def average_precision(ranks: Ranks, offsets: Offsets, k: int) -> PerQuery:
    """Return AP@k, whose mean over queries is MAP@k.

    ``sum over targets with rank <= k of (number of targets up to it) / rank``, divided by
    ``min(k, number of targets)``, so that 1 can be reached whatever the number of targets. (TREC's tools divide by the
    number of targets; both agree where this is at most k.)
    """
    query = _query_of(offsets)
    order = np.lexsort((ranks, query))
    number = np.empty(len(order))
    number[order] = np.arange(1, len(order) + 1) - offsets[:-1][query]
    gains = np.where(ranks <= k, number / ranks, 0.0)
    return np.minimum(_sums(gains, offsets) / _reachable(offsets, k), 1.0)


METRICS: Mapping[str, Callable[[Ranks, Offsets, int], PerQuery]] = MappingProxyType(
    {
        "NDCG": ndcg,
        "Recall": recall,
        "HitRate": hit_rate,
        "MRR": mrr,
        "MAP": average_precision,
        "Precision": precision,
        "F1": f1,
    }
)
"""The ranking metrics by name. Of all of them, more is better."""


def ranking_metrics(ranks: Ranks, offsets: Offsets, ks: Sequence[int]) -> dict[str, PerQuery]:
    """Return every metric at every cut-off: `NDCG@10` and so on, each one number a query (B,)."""
    return {f"{name}@{k}": metric(ranks, offsets, k) for name, metric in METRICS.items() for k in ks}


def only_targets(ranks: Ranks, offsets: Offsets, keep: NDArray[np.bool_]) -> tuple[Ranks, Offsets, NDArray[np.intp]]:
    """Keep some targets (E,), and the queries that still have one.

    Returns:
        The ranks and offsets of what is left, and the rows of the queries it belongs to. Ranks stay as they are: a
        target that was dropped goes on taking its place.
    """
    kept = np.bincount(_query_of(offsets)[keep], minlength=len(offsets) - 1)
    rows = np.flatnonzero(kept)
    return ranks[keep], offsets_of(kept[rows]), rows


def _query_of(offsets: Offsets) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _reachable(offsets: Offsets, k: int) -> NDArray[np.int64]:
    """Return how many targets (B,) the first k places can hold, 1 where there is none."""
    reachable: NDArray[np.int64] = np.diff(offsets).clip(1, k)
    return reachable


def _hits(ranks: Ranks, offsets: Offsets, k: int) -> PerQuery:
    """Count the targets in the first k places of each query (B,)."""
    return np.minimum(_sums(ranks <= k, offsets), k)


def _sums(values: NDArray[np.floating] | NDArray[np.bool_], offsets: Offsets) -> PerQuery:
    """Sum up the targets' values (E,) in each query (B,)."""
    sums: PerQuery = np.bincount(_query_of(offsets), weights=values, minlength=len(offsets) - 1).astype(np.float64)
    return sums
