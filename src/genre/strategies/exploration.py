"""Leave something to chance, and say how much: what is never shown is never learned about.

Each strategy gives every item of its answer its propensity, the probability with which it came to stand at its place
for this query. With it logged, `genre off-policy` can tell what another model would have been clicked.

An exploring strategy comes last: whatever moved items after it would make the propensities wrong. It draws from the
pool, so what rules forbid and what the model ranks below the pool is never shown; a longer pool explores further.

Shapes: B queries, P places of the pool, I items, S shown items, R simulated lists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.queries import NO_ITEM, Queries, Recommendations
from genre.data.dataset import Dataset, Impressions
from genre.strategies.base import StrategyConfig
from genre.strategies.rules import ColumnRuleConfig, HideSeenConfig

_DRAWS = 1 << 22
"""Draws that are held at once (64 MiB with their order)."""


def rng_for(seed: int, name: str) -> np.random.Generator:
    """Return the source of chance of one request: another one for each name, and the same for the same.

    Args:
        seed: Of the engine.
        name: What the answer is known by, such as its `list_id`; with it, an answer can be made again.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


class EpsilonConfig(Config):
    """At each place, with a small probability, show any item of the pool that is not above it yet.

    Simple, and its propensities are exact: what to log for off-policy estimates. Thompson sampling learns at a lower
    price.
    """

    kind: Literal["epsilon"] = "epsilon"
    epsilon: float = Field(default=0.1, ge=0, le=1)
    """With this probability a place is drawn; 0 leaves the list as it is, 1 shuffles the pool."""

    def build(self, data: Dataset) -> Epsilon:
        """Return the strategy."""
        return Epsilon(self.epsilon)


class Epsilon:
    """Goes down the list; with probability epsilon a place changes with one drawn evenly from it and all below.

    The item of rank i stands at place k (both from 1, P items in the pool) with probability::

        s(m) * (epsilon / (P - m + 1) + (1 - epsilon) * [i = k]),    m = min(i, k)
        s(m) = product over u < m of (1 - epsilon / (P - u + 1))

    Above both, the item must not have been drawn, nor the place been passed: s(m). An item that lost its own place
    lies anywhere below with equal probability, and stays so, since what is drawn from there is drawn evenly.
    """

    def __init__(self, epsilon: float) -> None:
        """Take the probability with which a place is drawn."""
        self._epsilon = epsilon

    def __call__(self, queries: Queries, recommendations: Recommendations, rng: np.random.Generator) -> Recommendations:
        """Change places, and say with which probability each item came to its own."""
        filled = recommendations.compact(recommendations.filled)  # Empty places are last, and stay there.
        counts, size = filled.filled.sum(axis=1), filled.n
        order = np.tile(np.arange(size), (len(filled), 1))
        explores = rng.random(order.shape) < self._epsilon
        drawn = rng.random(order.shape)
        everyone = np.arange(len(filled))
        for place in range(size):
            below = np.maximum(counts - place, 0)
            other = np.where(explores[:, place], place + (drawn[:, place] * below).astype(np.int64), place)
            here = order[:, place].copy()
            order[:, place] = order[everyone, other]
            order[everyone, other] = here
        mixed = filled.reorder(order)
        return _with(mixed, _swap_propensities(order, counts, self._epsilon))


class ThompsonConfig(Config):
    """Rank by one guess for each item of what it may be worth: the less an item was shown, the wider the guesses.

    Chapelle, Li: An Empirical Evaluation of Thompson Sampling. NIPS 2011. That the best n of the guesses are shown, and
    not the best one: Komiyama, Honda, Nakagawa: Optimal Regret Analysis of Thompson Sampling in Stochastic Multi-armed
    Bandit Problem with Multiple Plays. ICML 2015.
    """

    kind: Literal["thompson"] = "thompson"
    prior: float = Field(default=10.0, gt=0)
    """How many expected clicks the model's word is worth against what was seen; more explores less. An item that was
    never shown is guessed to be worth 1, give or take ``1 / sqrt(prior)``, times what its rank says."""
    samples: int = Field(default=1000, ge=1)
    """Simulated lists that the propensities are counted in. A propensity of 0.1 is then known to 0.01, one of 0.01 to
    0.003, and an answer from a pool of 100 takes some 15 ms longer. Where nobody
    logs them, as in a run that recommends to everybody at once, 1 will do."""

    def build(self, data: Dataset) -> Thompson:
        """Return the strategy, with what the impressions of the data tell of each item."""
        return Thompson(ItemClicks.of(data.impressions, data.num_items), self.prior, self.samples)


@dataclass(frozen=True, eq=False)
class ItemClicks:
    """How often each item was clicked, and how often an average item would have been at the same places.

    A click counts for more at the bottom of a page, where few look: clicks are held against expected clicks, not
    against times shown (Agarwal, Chen, Elango: Spatio-Temporal Models for Estimating Click-through Rate. WWW 2009).
    """

    clicks: NDArray[np.float64]
    """(I,)"""
    expected: NDArray[np.float64]
    """(I,)"""

    @classmethod
    def of(cls, impressions: Impressions | None, num_items: int) -> Self:
        """Count what was shown; without impressions, nothing is known of any item."""
        if impressions is None or len(impressions.item_rows) == 0:
            return cls(np.zeros(num_items), np.zeros(num_items))
        known = impressions.item_rows >= 0
        items, clicked = impressions.item_rows[known], impressions.clicked[known]
        places, at = np.unique(impressions.positions[known], return_inverse=True)
        rates = np.bincount(at, clicked, minlength=len(places)) / np.bincount(at, minlength=len(places))
        return cls(
            np.bincount(items, clicked, minlength=num_items).astype(np.float64),
            np.bincount(items, rates[at], minlength=num_items).astype(np.float64),
        )


class Thompson:
    """Ranks by ``d(r) * w(i)``: what the rank r in the pool is worth, times a draw of the item's own worth.

    ``d(r) = 1 / log2(1 + r)``, the discount of NDCG: scores of a filled list do not compare, and ranks do. ``w(i)`` is
    drawn from the posterior of clicks that are ``Poisson(w(i) * expected clicks)``::

        Gamma(shape = prior + clicks(i), rate = prior + expected(i))

    A Beta posterior of the click-through rate would take places for merit: see `ItemClicks`.

    Propensities have no closed form: they are counted in S lists that are simulated beside the one that is shown, which
    counts too. So none is 0, and the inverse, which estimates use, is right on average, ``(1 - (1 - p)^(S + 1)) / p``,
    but for what is shown with a probability far below one in S.
    """

    def __init__(self, clicks: ItemClicks, prior: float, samples: int) -> None:
        """Take what is known of the items, the weight of the prior, and the number of simulated lists."""
        self._shape = prior + clicks.clicks
        self._rate = prior + clicks.expected
        self._samples = samples

    def __call__(self, queries: Queries, recommendations: Recommendations, rng: np.random.Generator) -> Recommendations:
        """Rank by one draw, and count how often others come to the same."""
        filled = recommendations.compact(recommendations.filled)
        orders = np.empty(filled.item_rows.shape, np.int64)
        chances = np.empty(filled.item_rows.shape)
        for row, items in enumerate(filled.item_rows):
            known = items[items != NO_ITEM]
            orders[row] = np.arange(filled.n)
            orders[row, : len(known)] = order = self._orders(known, 1, rng)[0]
            chances[row, : len(known)] = self._chances(known, order, rng)
        return _with(filled.reorder(orders), chances)

    def _orders(self, items: NDArray[np.int32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the places of the pool (count, P) in the order of so many draws."""
        worth = rng.standard_gamma(self._shape[items], (count, len(items))) / self._rate[items]
        return np.argsort(-worth / np.log2(np.arange(2, len(items) + 2)), axis=1)

    def _chances(
        self, items: NDArray[np.int32], order: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return how often (P,) each place of the pool comes to where this order has it."""
        same: NDArray[np.float64] = np.ones(len(items))
        size = max(1, _DRAWS // max(1, len(items)))
        for start in range(0, self._samples, size):
            simulated = self._orders(items, min(size, self._samples - start), rng)
            same += (simulated == order).sum(axis=0)
        return same / (self._samples + 1)


EXPLORING = (EpsilonConfig, ThompsonConfig)
"""Strategies that leave something to chance."""


def check_order(shaping: Sequence[StrategyConfig]) -> None:
    """Refuse rules and strategies of which one that explores is not the last to act on the list.

    Raises:
        ValueError: Another strategy would move what it has placed. Rules act before ranking, and may stand anywhere.
    """
    acting = [config for config in shaping if not isinstance(config, (HideSeenConfig, ColumnRuleConfig))]
    for config in acting[:-1]:
        if isinstance(config, EXPLORING):
            raise ValueError(
                f"{acting[-1].kind!r} would move what {config.kind!r} has placed, and its propensities "
                f"would be wrong: put {config.kind!r} last, and only one strategy that explores"
            )


def _with(answer: Recommendations, chances: NDArray[np.float64]) -> Recommendations:
    """Return the answer with its propensities (B, P)."""
    known = np.where(answer.filled, chances, np.nan).astype(np.float32)
    return Recommendations(answer.item_rows, answer.scores, answer.sources, known)


def _swap_propensities(order: NDArray[np.int64], counts: NDArray[np.int64], epsilon: float) -> NDArray[np.float64]:
    """Return the propensities (B, P) of the ranks (B, P) at their places, where B lists hold so many items (B,)."""
    places = np.arange(order.shape[1])
    left = np.maximum(counts[:, None] - places, 1)  # (B, P) items not placed yet; P - u + 1 with u from 1.
    stays = np.cumprod(1 - epsilon / left, axis=1)
    untouched = np.concatenate([np.ones((len(order), 1)), stays[:, :-1]], axis=1) if order.size else stays
    first = np.minimum(order, places)
    drawn = np.take_along_axis(untouched, first, 1) * epsilon / np.take_along_axis(left, first, 1)
    kept = np.take_along_axis(untouched, first, 1) * (1 - epsilon)
    chances: NDArray[np.float64] = drawn + np.where(order == places, kept, 0.0)
    return chances
