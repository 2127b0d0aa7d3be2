"""Intervals and tests against scipy, and against what is known of the normal distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genre.metrics.statistics import (
    bootstrap_interval,
    bootstrap_means,
    holm,
    paired_difference,
    ratio_change,
    seeds_interval,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_bootstrap_interval_is_close_to_that_of_scipy() -> None:
    values = rng(1).exponential(size=300)
    ours = bootstrap_interval(values, samples=4000, rng=rng())
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=rng(5))
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.08 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.08 * width)


def test_bootstrap_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    generator = rng(2)
    inside = 0
    for _ in range(400):
        interval = bootstrap_interval(generator.normal(size=80), samples=300, confidence=0.8, rng=generator)
        inside += interval.low <= 0 <= interval.high
    assert 0.73 < inside / 400 < 0.87


@pytest.mark.parametrize("values", [rng(3).random(2000), (rng(3).random(2000) < 0.2).astype(float)])
def test_bootstrap_means_have_the_standard_error_of_the_mean(values: np.ndarray) -> None:
    means = bootstrap_means(values, 5000, rng())
    assert means.shape == (5000,)
    assert means.std() == pytest.approx(values.std() / np.sqrt(2000), rel=0.05)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(2000 * 5000))


def test_bootstrap_is_the_same_for_the_same_seed() -> None:
    values = rng(4).random(50)
    assert bootstrap_interval(values, rng=rng(1)) == bootstrap_interval(values, rng=rng(1))
    assert bootstrap_interval(values, rng=rng(1)) != bootstrap_interval(values, rng=rng(2))


def test_bootstrap_leaves_out_what_is_not_a_number() -> None:
    values = np.array([1.0, np.nan, 3.0, np.nan])
    assert bootstrap_interval(values, rng=rng()) == bootstrap_interval(np.array([1.0, 3.0]), rng=rng())
    nothing = bootstrap_interval(np.array([np.nan]), rng=rng())
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Return two models' values on 200 queries, the first a little better."""
    generator = rng(6)
    second = generator.random(200)
    return second + generator.normal(0.03, 0.2, 200), second


def test_paired_t_and_wilcoxon_are_those_of_scipy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    by_t = paired_difference(*pair, test="t", rng=rng())
    by_ranks = paired_difference(*pair, test="wilcoxon", rng=rng())
    assert by_t.p_value == pytest.approx(stats.ttest_rel(*pair).pvalue)
    assert by_ranks.p_value == pytest.approx(stats.wilcoxon(*pair).pvalue)
    assert by_t.mean == pytest.approx(np.mean(pair[0] - pair[1]))
    assert (by_t.low, by_t.high) == (by_ranks.low, by_ranks.high)
    assert by_t.low < by_t.mean < by_t.high


def test_paired_bootstrap_agrees_with_the_t_test(pair: tuple[np.ndarray, np.ndarray]) -> None:
    by_bootstrap = paired_difference(*pair, test="bootstrap", samples=5000, rng=rng())
    assert by_bootstrap.p_value == pytest.approx(stats.ttest_rel(*pair).pvalue, abs=0.02)
    opposite = paired_difference(*pair[::-1], test="bootstrap", samples=5000, rng=rng())
    assert opposite.mean == pytest.approx(-by_bootstrap.mean)


@pytest.mark.parametrize("test", ["t", "wilcoxon", "bootstrap"])
def test_paired_tests_find_a_clear_difference_and_none_between_equals(test: str) -> None:
    values = rng(7).random(100)
    better = values + rng(8).normal(0.5, 0.1, 100)
    assert paired_difference(better, values, test=test, rng=rng()).p_value < 0.002
    same = paired_difference(values, values, test=test, rng=rng())
    assert (same.mean, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_a_constant_difference_and_a_single_query_have_a_p_value() -> None:
    assert paired_difference(np.full(5, 1.0), np.zeros(5), rng=rng()).p_value == 0
    assert paired_difference(np.ones(1), np.zeros(1), rng=rng()).p_value == 1
    assert paired_difference(np.empty(0), np.empty(0), rng=rng()).p_value == 1


def test_holm_worked_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1.0, 1.0])
    assert holm(np.empty(0)).shape == (0,)


def test_seeds_interval_is_student_s() -> None:
    values = np.array([0.50, 0.52, 0.51, 0.55])
    interval = seeds_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (interval.mean, interval.low, interval.high) == pytest.approx((values.mean(), low, high))
    alone = seeds_interval(np.array([0.5]))
    assert alone.mean == 0.5
    assert np.isnan([alone.low, alone.high]).all()


@pytest.mark.parametrize("relative", [False, True])
def test_the_change_of_a_ratio_is_close_to_that_of_scipy(relative: bool) -> None:
    lower = rng(1).integers(50, 400, 60)
    before = np.column_stack([lower * rng(2).normal(1.2, 0.2, 60), lower])
    after = np.column_stack([before[:, 0] * rng(3).normal(1.03, 0.02, 60), lower])

    def change(first: np.ndarray, same: np.ndarray, second: np.ndarray) -> float:
        was, now = first.sum() / same.sum(), second.sum() / same.sum()
        return float(now / was - 1 if relative else now - was)

    ours = ratio_change(before, after, relative=relative, samples=4000, rng=rng())
    parts = (before[:, 0], lower, after[:, 0])
    theirs = stats.bootstrap(
        parts, change, paired=True, vectorized=False, n_resamples=4000, method="percentile", rng=rng(5)
    )
    low, high = theirs.confidence_interval
    assert ours.mean == pytest.approx(change(*parts))
    assert ours.low == pytest.approx(low, abs=0.08 * (high - low))
    assert ours.high == pytest.approx(high, abs=0.08 * (high - low))


def test_a_share_of_nothing_is_no_number() -> None:
    nothing, something = np.array([[0.0, 1.0]] * 3), np.array([[0.5, 1.0]] * 3)
    assert np.isnan(ratio_change(nothing, something, relative=True, rng=rng()).mean)
    assert ratio_change(nothing, something, relative=False, rng=rng()).low == 0.5
