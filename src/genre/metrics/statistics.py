"""How sure one can be of a mean over queries, of a difference between two models, and of a mean over seeds.

Shapes: B queries, S samples or seeds, V different values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PairedTest = Literal["t", "wilcoxon", "bootstrap"]
_CELLS = 1 << 22
"""Counts that are drawn at once (32 MiB)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and how far the true one may lie from it."""

    mean: float
    low: float
    high: float


def bootstrap_means(values: NDArray[np.floating], samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the means (S,) of resamples of the values (B,), as large as they are and drawn with replacement.

    Equal values need not be told apart: what is drawn is how often each different value comes up, so that a metric
    with few values (a hit rate has two) costs next to nothing.
    """
    different, counts = np.unique(values.astype(np.float64), return_counts=True)
    chunk = max(1, _CELLS // max(1, len(different)))
    shares = counts / len(values)
    sizes = [min(chunk, samples - start) for start in range(0, samples, chunk)]
    return np.concatenate([rng.multinomial(len(values), shares, size) @ different for size in sizes]) / len(values)


def bootstrap_sums(rows: NDArray[np.floating], samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the sums (S, V) of resamples of the rows (B, V), as many as there are and drawn with replacement.

    From these come intervals of ratios of sums, which are not means of rows.
    """
    count = len(rows)
    chunk = max(1, _CELLS // max(1, count))
    sizes = [min(chunk, samples - start) for start in range(0, samples, chunk)]
    return np.concatenate([rng.multinomial(count, np.full(count, 1 / count), size) @ rows for size in sizes])


def bootstrap_interval(
    values: NDArray[np.floating], *, samples: int = 1000, confidence: float = 0.95, rng: np.random.Generator
) -> Interval:
    """Return the mean of the values (B,) with its percentile bootstrap interval.

    Values that are NaN are left out; without any other, all three numbers are NaN. A thousand samples place a 95 %
    bound on 25 of them, which moves it by about a tenth of the interval's width from seed to seed.

    Efron and Tibshirani: An Introduction to the Bootstrap. 1993.
    """
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = _percentiles(bootstrap_means(known, samples, rng), confidence)
    return Interval(float(known.mean()), low, high)


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much the first of two models is better, on the same queries."""

    mean: float
    low: float
    high: float
    p_value: float
    """Probability of a difference at least as large, in either direction, if the models were equally good."""


def paired_difference(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    test: PairedTest = "t",
    samples: int = 1000,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> Difference:
    """Compare two models by their values (B,) on the same queries, in the same order.

    The interval is a percentile bootstrap interval of the mean difference. The p-value comes from Student's paired t
    test (the default: with hundreds of queries the mean is close to normal, and it agrees with the other two),
    Wilcoxon's signed-rank test, or the bootstrap with the differences shifted to mean 0. Models that differ on no query
    have p-value 1.

    Smucker, Allan and Carterette: A comparison of statistical significance tests for information retrieval
    evaluation. CIKM 2007.
    """
    difference = first.astype(np.float64) - second.astype(np.float64)
    if len(difference) == 0 or not difference.any():
        return Difference(0.0, 0.0, 0.0, 1.0)
    mean = float(difference.mean())
    means = bootstrap_means(difference, samples, rng)
    low, high = _percentiles(means, confidence)
    # The observed difference counts as one more sample, so that no bootstrap p-value is 0.
    at_least = 1 + int(np.count_nonzero(np.abs(means - mean) >= abs(mean)))
    return Difference(mean, low, high, at_least / (samples + 1) if test == "bootstrap" else _p_value(difference, test))


def ratio_change(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    *,
    relative: bool,
    samples: int = 1000,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> Interval:
    """Return how a ratio of two sums has changed, with a percentile bootstrap interval.

    The same rows are drawn of both, so that what makes a row difficult for both does not widen the interval.

    Args:
        before: (B, 2) what each row adds to the upper and to the lower sum.
        after: The same rows later, in the same order.
        relative: Whether the change is a share of the ratio before; NaN where that is 0.
        samples: Resamples of the rows.
        confidence: Probability that the interval holds the true change.
        rng: Draws the rows.
    """
    together = np.concatenate([before, after], axis=1).astype(np.float64)  # (B, 4)
    # (1 + S, 4), what was observed first.
    sums = np.concatenate([together.sum(0)[None], bootstrap_sums(together, samples, rng)])
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]
        changes = (second - first) / first if relative else second - first
    if not np.isfinite(changes[0]):
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = _percentiles(changes[np.isfinite(changes)], confidence)
    return Interval(float(changes[0]), low, high)


def holm(p_values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return p-values (S,) adjusted for being several: what is below 0.05 then holds for all at once at that level.

    Holm: A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 1979.
    """
    size = len(p_values)
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(size)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values)[order] * np.arange(size, 0, -1)))
    return adjusted


def seeds_interval(values: NDArray[np.floating], confidence: float = 0.95) -> Interval:
    """Return the mean over runs (S,) that differ in their seed, with Student's t interval; NaN bounds for one run."""
    from scipy import stats

    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(mean, mean - float(half), mean + float(half))


def _percentiles(means: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _p_value(difference: NDArray[np.float64], test: Literal["t", "wilcoxon"]) -> float:
    """Return the two-sided p-value of differences (B,) that are not all 0."""
    from scipy import stats

    if len(difference) < 2:
        return 1.0
    if test == "wilcoxon":
        return float(stats.wilcoxon(difference).pvalue)
    constant = np.ptp(difference) <= 1e-12 * np.abs(difference).max()
    return 0.0 if constant else float(stats.ttest_1samp(difference, 0.0).pvalue)
