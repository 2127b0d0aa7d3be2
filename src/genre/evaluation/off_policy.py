"""How often another model's lists would have been clicked, from lists that were shown with known probabilities.

Shapes: L lists, S shown items in all, K places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import DataError
from genre.core.queries import NO_ITEM, Queries, Recommendations
from genre.evaluation.logged import LoggedLists
from genre.metrics.off_policy import Estimates, effective_size, estimates

Order: TypeAlias = Literal["placed", "shuffled"]
"""What a propensity is: of the item at its `placed` position, or of being in a list whose order was `shuffled`."""
LEAST: Final = 100.0
"""Effective shown items below which nothing is estimated: with 100, an interval of a click-through of 0.1 spans about
0.06 on either side."""
FARTHEST: Final = 2.0
"""By which factor the mean weight may be off what it should be, 1."""
_BLOCK: Final = 1024
"""Lists that a model is asked for at once."""
_PRIOR: Final = 10.0
"""Expected clicks that a prediction's mean is worth against an item's own."""


@dataclass(frozen=True, eq=False)
class OffPolicy:
    """What a model would have been clicked, for each shown item, and on how much that rests."""

    estimates: Estimates
    num_lists: int
    num_shown: int
    num_same: int
    """Shown items that the model would have shown too: all that can be learned from."""


def judge_policy(
    lists: LoggedLists,
    answer: Callable[[Queries, int], Recommendations],
    *,
    order: Order = "placed",
    least: float = LEAST,
    limit: float | None = None,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> OffPolicy:
    """Estimate the click-through of what a model would have shown in these lists.

    Args:
        lists: What was shown.
        answer: Returns the model's n items for each query, and leaves nothing to chance (`Engine.without_chance`).
        order: What the propensities are. With `shuffled`, the estimate is for the model's items in a drawn order.
        least: Smallest effective number of shown items; see `LEAST`.
        limit: Largest weight of the clipped estimate; see `genre.metrics.off_policy.estimates`.
        samples: Resamples of people, for the intervals.
        confidence: Of the intervals.
        seed: Of these resamples.

    Raises:
        DataError: A propensity is missing or impossible, what was shown has too little in common with what the model
            would show, or the weights are far from 1 on average: propensities are not what they should be, or most of
            what the model would show was never shown to anybody.
    """
    _require_propensities(lists)
    place = lists.positions
    if order == "shuffled":
        place = np.arange(len(lists.lists)) - np.searchsorted(lists.lists, lists.lists)
    n = int(place.max(initial=-1)) + 1
    asked = _asked(lists.queries, answer, n)  # (L, K)
    mine = asked[lists.lists]  # (S, K)
    instead = mine[np.arange(len(place)), place]
    if order == "placed":
        same = instead == lists.item_rows
    else:
        lengths = np.bincount(lists.lists, minlength=len(lists))
        same = ((mine == lists.item_rows[:, None]) & (np.arange(n) < lengths[lists.lists, None])).any(axis=1)
        place = np.zeros_like(place)  # An order that was drawn says nothing of an item.
    same &= lists.item_rows != NO_ITEM
    weights = np.where(same, 1 / lists.propensities, 0.0)
    _require_overlap(effective_size(weights), least, int(same.sum()), len(same))
    found = estimates(
        lists.clicked,
        weights,
        lists.people[lists.lists],
        limit=limit,
        predicted=_predicted(lists, place, instead),
        samples=samples,
        confidence=confidence,
        rng=np.random.default_rng(seed),
    )
    _require_plausible(found, order)
    return OffPolicy(found, len(lists), len(same), int(same.sum()))


def _asked(queries: Queries, answer: Callable[[Queries, int], Recommendations], n: int) -> NDArray[np.int32]:
    """Return what the model would show (L, n), `NO_ITEM` where it has nothing to say."""
    rows = np.full((len(queries), n), NO_ITEM, np.int32)
    for start, block in queries.blocks(_BLOCK):
        found = answer(block, n).item_rows
        rows[start : start + len(block), : found.shape[1]] = found
    return rows


def _require_propensities(lists: LoggedLists) -> None:
    missing = int(np.isnan(lists.propensities).sum())
    if missing:
        raise DataError(
            f"{missing:,} of {len(lists.propensities):,} shown items have no propensity",
            place="impressions",
            remedy="Serve with a strategy that explores, such as `epsilon`, and log the propensity of each answer; "
            "leave out what was shown without.",
        )
    wrong = lists.propensities[(lists.propensities <= 0) | (lists.propensities > 1)]
    if len(wrong):
        raise DataError(
            f"{len(wrong):,} propensities are no probabilities above 0, such as {wrong[0]:g}",
            place="impressions",
            remedy="Log the probability with which each item came to its place, above 0 and at most 1.",
        )


def _require_overlap(size: float, least: float, same: int, shown: int) -> None:
    if size < least:
        raise DataError(
            f"of {shown:,} shown items the model would have shown {same:,}, which tell as much as {size:,.1f} of equal "
            f"weight; at least {least:g} are needed",
            place="impressions",
            remedy="Log more lists, explore more, or compare the models on users in an experiment.",
        )


def _require_plausible(found: Estimates, order: Order) -> None:
    weight = found.mean_weight
    if weight.low > FARTHEST or weight.high < 1 / FARTHEST:
        meant = "of the item at its position" if order == "placed" else "of being in a list whose order was drawn"
        raise DataError(
            f"weights are {weight.mean:.2g} on average ({weight.low:.2g} to {weight.high:.2g}), 1 is to be expected",
            place="impressions",
            remedy=f"Make sure that each propensity is that {meant}; if it is, most of what the model would show was "
            "never shown, and only an experiment can tell.",
        )


def _predicted(
    lists: LoggedLists, place: NDArray[np.int64], instead: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return predicted clicks (S,) of what was shown, and of what the model would have shown at the same places.

    People are divided into two halves, and each is predicted from the other: no click predicts itself.
    """
    shown, other = np.zeros(len(place)), np.zeros(len(place))
    half = lists.people[lists.lists] % 2
    for part in (0, 1):
        clicks = _Clicks(lists.item_rows, place, lists.clicked, half != part)
        here = half == part
        shown[here] = clicks.of(lists.item_rows[here], place[here])
        other[here] = np.where(instead[here] == NO_ITEM, 0.0, clicks.of(instead[here], place[here]))
    return shown, other


class _Clicks:
    """Predicts a click: the place's click-through, times what the item got of the clicks that its places let expect."""

    def __init__(
        self,
        item_rows: NDArray[np.int32],
        place: NDArray[np.int64],
        clicked: NDArray[np.bool_],
        learn: NDArray[np.bool_],
    ) -> None:
        places, items = int(place.max(initial=0)) + 1, int(item_rows.max(initial=0)) + 1
        mean = float(clicked[learn].mean()) if learn.any() else 0.0
        seen = np.bincount(place[learn], minlength=places)
        self._rates = (np.bincount(place[learn], clicked[learn], minlength=places) + mean * _PRIOR) / (seen + _PRIOR)
        known = learn & (item_rows >= 0)
        got = np.bincount(item_rows[known], clicked[known], minlength=items)
        expected = np.bincount(item_rows[known], self._rates[place[known]], minlength=items)
        self._worth = np.append((got + _PRIOR) / (expected + _PRIOR), 1.0)  # The last: an item never shown.

    def of(self, item_rows: NDArray[np.int32], place: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return predictions (S,) for items at places."""
        unknown = (item_rows < 0) | (item_rows >= len(self._worth) - 1)
        worth = self._worth[np.where(unknown, len(self._worth) - 1, item_rows)]
        clicked: NDArray[np.float64] = np.minimum(self._rates[place] * worth, 1.0)
        return clicked
