"""What another policy would have been clicked, from what one policy showed with known probabilities.

Each shown item counts with its weight: the probability with which the policy in question shows it there, divided by
that with which it was shown (its propensity). Every estimate assumes that the propensities are true and above 0
wherever the other policy shows anything, and that a click depends on who is asked, the item and its place, not on what
stands beside it (the item-position model).

- Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay, Wen: Offline Evaluation of Ranking Policies with Click Models.
  KDD 2018.
- Horvitz, Thompson: A Generalization of Sampling Without Replacement From a Finite Universe. JASA 1952.

Shapes: S shown items, G groups of them that are independent of each other (users).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre.metrics.statistics import Interval, bootstrap_sums


@dataclass(frozen=True, slots=True)
class Estimates:
    """Clicks for each shown item under another policy, each with its bootstrap interval."""

    ips: Interval
    """Inverse propensity scoring, ``mean(w * r)``: right on average, and far off where weights are large."""
    snips: Interval
    """Self-normalised, ``sum(w * r) / sum(w)``: a little biased, steadier, and never above the largest reward.
    Swaminathan, Joachims: The Self-Normalized Estimator for Counterfactual Learning. NIPS 2015."""
    clipped: Interval
    """IPS with weights cut off at `limit`: steadier, and too low. Ionides: Truncated Importance Sampling. 2008."""
    limit: float
    """Where weights were cut off."""
    doubly_robust: Interval | None
    """``mean(q(shown by the other) + w * (r - q(shown)))``: right if the weights or the predictions q are. Dudík,
    Langford, Li: Doubly Robust Policy Evaluation and Learning. ICML 2011."""
    logged: Interval
    """What was clicked of what was shown."""
    mean_weight: Interval
    """Near 1 if the propensities are true and cover all that the policy shows. Below, IPS is too low by as much."""
    effective_size: float
    """How many equally weighted shown items would tell as much; see `effective_size`."""


def effective_size(weights: NDArray[np.floating]) -> float:
    """Return ``sum(w)^2 / sum(w^2)`` of weights (S,): their number if they are equal, 0 without any above 0.

    Kish: Survey Sampling. 1965.
    """
    squares = float(np.square(weights, dtype=np.float64).sum())
    return float(weights.sum(dtype=np.float64)) ** 2 / squares if squares else 0.0


def estimates(
    rewards: NDArray[np.floating] | NDArray[np.bool_],
    weights: NDArray[np.floating],
    groups: NDArray[np.integer] | None = None,
    *,
    limit: float | None = None,
    predicted: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
    samples: int = 1000,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> Estimates:
    """Estimate what a policy would earn for each shown item.

    Args:
        rewards: (S,) what each shown item earned: 1 for a click.
        weights: (S,) the policy's probability of showing the item there, divided by the item's propensity.
        groups: (S,) which shown items belong together, from 0: a person's clicks resemble each other, and intervals
            that took them for independent would be too narrow. By default each stands for itself.
        limit: Largest weight of the clipped estimate; by default the root of S, as the paper has it.
        predicted: (S,) predicted rewards of what was shown, and (S,) of what the policy would show at the same places.
        samples: Resamples of groups.
        confidence: Probability that an interval holds the true value, as far as it is the luck of the draw.
        rng: Draws the groups.
    """
    earned, weight = np.asarray(rewards, np.float64), np.asarray(weights, np.float64)
    most = float(np.sqrt(len(earned))) if limit is None else limit
    columns = [np.ones(len(earned)), weight, weight * earned, np.minimum(weight, most) * earned, earned]
    if predicted is not None:
        columns.append(predicted[1] + weight * (earned - predicted[0]))
    table = np.stack(columns, axis=1)  # (S, 5 or 6)
    if groups is not None:
        which = np.unique(groups, return_inverse=True)[1]
        table = np.stack([np.bincount(which, column) for column in columns], axis=1)  # (G, 5 or 6)
    drawn = np.concatenate([table.sum(axis=0)[None], bootstrap_sums(table, samples, rng)])

    def interval(over: int, under: int) -> Interval:
        return _interval(drawn[:, over], drawn[:, under], confidence)

    return Estimates(
        ips=interval(2, 0),
        snips=interval(2, 1),
        clipped=interval(3, 0),
        limit=most,
        doubly_robust=None if predicted is None else interval(5, 0),
        logged=interval(4, 0),
        mean_weight=interval(1, 0),
        effective_size=effective_size(weight),
    )


def _interval(over: NDArray[np.float64], under: NDArray[np.float64], confidence: float) -> Interval:
    """Return the first of some ratios, what was observed, between the percentiles of the others."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = over / under
    known = ratios[1:][np.isfinite(ratios[1:])]
    if not np.isfinite(ratios[0]) or len(known) == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(ratios[0]), float(low), float(high))
