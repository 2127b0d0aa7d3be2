"""What accuracy does not tell of answers: how new, how varied, how surprising they are, and whom they show.

Answers are item rows (B, n) with `NO_ITEM` in empty places; an empty place counts nowhere.

Shapes: B queries, I items, n places, D features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre.core.queries import NO_ITEM
from genre.core.ragged import Ragged

Rows = NDArray[np.int32]
PerQuery = NDArray[np.float64]
"""(B,), NaN for a query that says nothing."""
Features = NDArray[np.float32] | sparse.csr_matrix
"""(I, D)"""


def exposure(item_rows: Rows, num_items: int) -> NDArray[np.int64]:
    """Return how often each item (I,) is recommended."""
    return np.bincount(item_rows[item_rows != NO_ITEM], minlength=num_items)


def coverage(exposures: NDArray[np.int64]) -> float:
    """Return the share of the catalogue that is recommended to anybody, from exposures (I,)."""
    return float(np.mean(exposures > 0)) if len(exposures) else float("nan")


def gini(exposures: NDArray[np.int64]) -> float:
    """Return how unequally exposures (I,) are spread over all items: 0 for evenly, near 1 for a single item.

    ``sum over items by rising exposure x of (2 rank - I - 1) x / (I sum x)``.

    Fleder and Hosanagar: Blockbuster Culture's Next Rise or Fall. Management Science 2009.
    """
    total, size = int(exposures.sum()), len(exposures)
    if total == 0:
        return float("nan")
    weights = 2 * np.arange(1, size + 1) - size - 1
    return float(weights @ np.sort(exposures).astype(np.float64) / (size * total))


def entropy(exposures: NDArray[np.int64]) -> float:
    """Return the Shannon entropy, in bits, of which item an answer shows; at most log2 of the number of items.

    Two to this power is the number of evenly shown items that would be as varied.
    """
    shown = exposures[exposures > 0]
    if len(shown) == 0:
        return float("nan")
    share = shown / shown.sum()
    return float(-(share * np.log2(share)).sum())


def novelty(item_rows: Rows, popularity: NDArray[np.float64]) -> PerQuery:
    """Return the mean of ``-log2(popularity share)`` of each answer, in bits: how little known its items are.

    The share is ``(likes + 1) / (all likes + I)``: one like more for each item keeps untouched items finite.

    Vargas and Castells: Rank and relevance in novelty and diversity metrics. RecSys 2011.

    Args:
        item_rows: (B, n)
        popularity: (I,) likes in the training data.
    """
    bits = -np.log2((popularity + 1) / (popularity.sum() + len(popularity)))
    return _mean_over_items(item_rows, bits)


def average_popularity(item_rows: Rows, popularity: NDArray[np.float64]) -> PerQuery:
    """Return the mean popularity (I,) of each answer's items."""
    return _mean_over_items(item_rows, popularity)


def popularity_lift(item_rows: Rows, histories: Ragged, popularity: NDArray[np.float64]) -> float:
    """Return how much more popular answers are than what the same people liked before: 0 for alike, 1 for twice.

    Only queries with an answer and a history count; NaN without any.

    Abdollahpouri et al.: The Unfairness of Popularity Bias in Recommendation. RMSE workshop, RecSys 2019.
    """
    answered = _mean_over_items(item_rows, popularity)
    lengths = histories.lengths
    sums = np.bincount(histories.row_of_value, weights=popularity[histories.values], minlength=len(histories))
    liked = _ratio(sums, lengths)
    both = np.isfinite(answered) & np.isfinite(liked)
    return float(answered[both].mean() / liked[both].mean() - 1) if liked[both].any() else float("nan")


def serendipity(item_rows: Rows, expected: Rows, targets: Ragged) -> PerQuery:
    """Return the share of each answer's items that are right and that nobody needed a recommender for.

    An item is expected if the popularity baseline recommends it to the same query.

    Ge, Delgado-Battenfeld and Jannach: Beyond accuracy: evaluating recommender systems by coverage and serendipity.
    RecSys 2010.

    Args:
        item_rows: (B, n)
        expected: (B, m) what the baseline recommends.
        targets: B rows; the right items.
    """
    size = 1 + max(item_rows.max(initial=0), expected.max(initial=0), targets.values.max(initial=0))
    query = np.arange(len(item_rows))[:, None] * int(size)
    right = np.isin(query + item_rows, targets.row_of_value * int(size) + targets.values)
    filled = item_rows != NO_ITEM
    known = np.isin(query + item_rows, (query + expected)[expected != NO_ITEM])
    return _ratio((right & ~known & filled).sum(axis=1), filled.sum(axis=1))


def intra_list_diversity(item_rows: Rows, features: Features) -> PerQuery:
    """Return the mean cosine distance (1 - cosine) over all pairs of each answer's items.

    Items without any feature are left out; NaN for an answer with fewer than two others. Needs B times D floats where
    the features are dense, so pass answers in blocks.

    Ziegler et al.: Improving recommendation lists through topic diversification. WWW 2005.

    Args:
        item_rows: (B, n)
        features: (I, D) dense or sparse, any length of row.
    """
    matrix = features if sparse.issparse(features) else np.asarray(features)
    lengths = sparse.linalg.norm(matrix, axis=1) if sparse.issparse(matrix) else np.linalg.norm(matrix, axis=1)
    inverse = np.divide(1.0, lengths, out=np.zeros(len(lengths)), where=lengths > 0)
    described = (item_rows != NO_ITEM) & (inverse[item_rows] > 0)
    row, place = np.nonzero(described)
    items = item_rows[row, place]
    chosen = sparse.csr_matrix((inverse[items], (row, items)), shape=(len(item_rows), len(inverse)))
    sums = chosen @ matrix  # (B, D) the sum of the items' unit vectors.
    squares = sums.power(2) if sparse.issparse(sums) else sums**2
    count = described.sum(axis=1)
    # The squared length of the sum is the count plus the cosines of all ordered pairs.
    return 1 - _ratio(np.asarray(squares.sum(axis=1)).ravel() - count, count * (count - 1))


def _mean_over_items(item_rows: Rows, values: NDArray[np.float64]) -> PerQuery:
    """Return the mean (B,) of the items' values (I,) over the filled places of each answer (B, n)."""
    filled = item_rows != NO_ITEM
    return _ratio(np.where(filled, values[item_rows], 0.0).sum(axis=1), filled.sum(axis=1))


def _ratio(sums: NDArray[np.floating] | NDArray[np.integer], counts: NDArray[np.integer]) -> PerQuery:
    """Divide (B,) by (B,), NaN where the count is 0."""
    ratio = np.full(len(counts), np.nan)
    np.divide(sums, counts, out=ratio, where=counts > 0)
    return ratio
