"""How well scores tell clicks from other impressions, how true predicted probabilities are, and how right classes are.

Shapes: S shown items, G groups of them, N bins, P labelled pairs, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def auc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Return the probability that a positive scores higher than a negative, equal scores counting half.

    NaN where there are no positives or no negatives. Both arguments are (S,).
    """
    return float(auc_of_groups(scores, labels, np.zeros(len(scores), np.int64), 1)[0])


def gauc(
    scores: NDArray[np.floating], labels: NDArray[np.bool_], groups: NDArray[np.integer], num_groups: int
) -> float:
    """Return the mean AUC of groups (users, or lists shown together), weighted by their number of shown items.

    Only groups with a positive and a negative count; NaN without any. What shifts all scores of a group changes
    nothing, unlike in `auc`: this is what an order of items within a page can achieve.

    Zhou et al.: Deep Interest Network for Click-Through Rate Prediction. KDD 2018.
    """
    values = auc_of_groups(scores, labels, groups, num_groups)
    sizes = np.bincount(groups, minlength=num_groups)
    defined = np.isfinite(values)
    return float(np.average(values[defined], weights=sizes[defined])) if defined.any() else float("nan")


def auc_of_groups(
    scores: NDArray[np.floating], labels: NDArray[np.bool_], groups: NDArray[np.integer], num_groups: int
) -> NDArray[np.float64]:
    """Return the AUC (G,) of each group, NaN for one without positives or without negatives.

    Args:
        scores: (S,)
        labels: (S,) true for a positive.
        groups: (S,) from 0 to G - 1, in any order.
        num_groups: G.
    """
    order = np.lexsort((scores, groups))
    group, score, positive = groups[order], scores[order], labels[order].astype(np.float64)
    starts = np.ones(len(order), bool)
    starts[1:] = (group[1:] != group[:-1]) | (score[1:] != score[:-1])
    run = np.cumsum(starts) - 1  # Equal scores of one group share a run.
    group_of_run = group[starts]
    positives = np.bincount(run, weights=positive)
    negatives = np.bincount(run, weights=1 - positive)
    below = np.cumsum(negatives) - negatives
    of_group = np.bincount(group_of_run, weights=negatives, minlength=num_groups)
    below -= (np.cumsum(of_group) - of_group)[group_of_run]  # Negatives of this group with lower scores.
    won = np.bincount(group_of_run, weights=positives * (below + negatives / 2), minlength=num_groups)
    pairs = of_group * np.bincount(group_of_run, weights=positives, minlength=num_groups)
    values = np.full(num_groups, np.nan)
    np.divide(won, pairs, out=values, where=pairs > 0)
    return values


def log_loss(probabilities: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Return the mean of ``-log(probability of what happened)``, in nats; NaN without data.

    Probabilities (S,) are kept 1e-15 away from 0 and 1, so that one wrong certainty does not make the loss infinite.
    """
    if len(probabilities) == 0:
        return float("nan")
    sure = np.clip(probabilities.astype(np.float64), 1e-15, 1 - 1e-15)
    return float(-np.log(np.where(labels, sure, 1 - sure)).mean())


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """What was predicted against what happened, in bins of predicted probability; empty bins are left out."""

    predicted: NDArray[np.float64]
    """(N,) mean probability of the bin."""
    observed: NDArray[np.float64]
    """(N,) share of positives in the bin."""
    sizes: NDArray[np.int64]
    """(N,) shown items in the bin."""

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of ``|predicted - observed|``, weighted by the bins' sizes.

        Naeini, Cooper and Hauskrecht: Obtaining Well Calibrated Probabilities Using Bayesian Binning. AAAI 2015.
        """
        total = int(self.sizes.sum())
        return float(np.abs(self.predicted - self.observed) @ self.sizes / total) if total else float("nan")


def calibration_curve(
    probabilities: NDArray[np.floating], labels: NDArray[np.bool_], num_bins: int = 10
) -> CalibrationCurve:
    """Sort shown items (S,) into bins of equal width and compare prediction and outcome.

    Ten bins are what papers report; more make the expected calibration error higher, since each holds less.
    """
    bins = np.minimum((probabilities * num_bins).astype(np.int64), num_bins - 1)
    sizes = np.bincount(bins, minlength=num_bins)
    filled = sizes > 0
    predicted = np.bincount(bins, weights=probabilities, minlength=num_bins)[filled] / sizes[filled]
    observed = np.bincount(bins, weights=labels, minlength=num_bins)[filled] / sizes[filled]
    return CalibrationCurve(predicted, observed, sizes[filled])


@dataclass(frozen=True, eq=False)
class ClassScores:
    """How right predicted classes are, class by class. A share of nothing counts as 0."""

    precision: NDArray[np.float64]
    """(C,) of what was said to be of a class, the share that is."""
    recall: NDArray[np.float64]
    """(C,) of what is of a class, the share that was said to be."""
    sizes: NDArray[np.int64]
    """(C,) pairs that are of a class."""
    said: NDArray[np.int64]
    """(C,) pairs that were said to be of a class."""
    accuracy: float
    """Share of the pairs that are right; NaN without any."""

    @property
    def f1(self) -> NDArray[np.float64]:
        """(C,) the harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return np.asarray(2 * self.precision * self.recall / np.where(both > 0, both, 1))

    def macro(self, values: NDArray[np.float64]) -> float:
        """Return the mean of `values` (C,) over the classes that are there or were said to be; NaN without any."""
        there = (self.sizes > 0) | (self.said > 0)
        return float(values[there].mean()) if there.any() else float("nan")


def class_scores(labels: NDArray[np.integer], predicted: NDArray[np.integer], num_classes: int) -> ClassScores:
    """Compare labels (P,) and predictions (P,), both from 0 to C - 1."""
    sizes, said = (np.bincount(part, minlength=num_classes) for part in (labels, predicted))
    right = np.bincount(labels[labels == predicted], minlength=num_classes)
    accuracy = float(right.sum() / len(labels)) if len(labels) else float("nan")
    return ClassScores(right / np.maximum(said, 1), right / np.maximum(sizes, 1), sizes, said, accuracy)
