"""Measures beyond accuracy against tables worked by hand and slow references."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats
from sklearn.metrics.pairwise import cosine_distances

from genre.core.queries import NO_ITEM
from genre.core.ragged import Ragged
from genre.metrics.beyond import (
    average_popularity,
    coverage,
    entropy,
    exposure,
    gini,
    intra_list_diversity,
    novelty,
    popularity_lift,
    serendipity,
)

X = NO_ITEM
LISTS = np.array([[0, 1, 2], [0, 3, X], [X, X, X]], np.int32)


def test_exposure_and_coverage_count_filled_places() -> None:
    assert exposure(LISTS, 6).tolist() == [2, 1, 1, 1, 0, 0]
    assert coverage(exposure(LISTS, 6)) == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("exposures", "expected"), [([5, 5, 5, 5], 0.0), ([0, 0, 0, 8], 0.75), ([1, 2, 3], 2 / 9), ([3, 1, 2], 2 / 9)]
)
def test_gini_worked_by_hand(exposures: list[int], expected: float) -> None:
    assert gini(np.array(exposures)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_gini_is_half_the_relative_mean_difference_and_entropy_that_of_scipy(exposures: list[int]) -> None:
    counts = np.array(exposures)
    if counts.sum() == 0:
        assert np.isnan(gini(counts))
        assert np.isnan(entropy(counts))
        return
    differences = np.abs(counts[:, None] - counts[None, :]).mean()
    assert gini(counts) == pytest.approx(differences / 2 / counts.mean())
    assert entropy(counts) == pytest.approx(float(stats.entropy(counts, base=2)), abs=1e-12)


def test_novelty_is_the_mean_number_of_bits_of_an_answer() -> None:
    popularity = np.array([3.0, 1.0, 0.0, 0.0])  # Shares 4/8, 2/8, 1/8, 1/8.
    values = novelty(LISTS, popularity)
    assert values[:2].tolist() == [pytest.approx((1 + 2 + 3) / 3), pytest.approx((1 + 3) / 2)]
    assert np.isnan(values[2])


def test_average_popularity_leaves_out_empty_places() -> None:
    values = average_popularity(LISTS, np.array([9.0, 3.0, 0.0, 1.0]))
    np.testing.assert_allclose(values, [4.0, 5.0, np.nan])


def test_popularity_lift_compares_answers_with_histories() -> None:
    popularity = np.array([9.0, 3.0, 0.0, 1.0, 2.0])
    histories = Ragged.of([[4, 4], [3], [0]])
    assert popularity_lift(LISTS, histories, popularity) == pytest.approx((4 + 5) / (2 + 1) - 1)
    assert np.isnan(popularity_lift(LISTS, Ragged.of([[], [], []]), popularity))


def test_serendipity_counts_right_items_that_popularity_would_not_have_shown() -> None:
    expected = np.array([[1, 5], [X, X], [0, 1]], np.int32)
    targets = Ragged.of([[1, 2, 4], [5], [0]])
    values = serendipity(LISTS, expected, targets)
    np.testing.assert_allclose(values, [1 / 3, 0.0, np.nan])  # 1 is right but expected; 2 is right; 5 was not shown.
    np.testing.assert_allclose(serendipity(LISTS[:1], np.full((1, 1), X, np.int32), Ragged.of([[1, 2]])), [2 / 3])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_diversity_is_the_mean_cosine_distance_of_all_pairs(kind: type) -> None:
    rng = np.random.default_rng(0)
    features = rng.random((30, 8)) * (rng.random((30, 8)) < 0.5)
    features[4] = 0  # Nothing is known of this item.
    lists = rng.permuted(np.tile(np.arange(30, dtype=np.int32), (12, 1)), axis=1)[:, :6]
    lists[3, 4:] = X
    lists[5, 1:] = X
    values = intra_list_diversity(lists, kind(features))
    distances = cosine_distances(features)
    for value, row in zip(values, lists, strict=True):
        described = [item for item in row if item != X and features[item].any()]
        pairs = [distances[pair] for pair in combinations(described, 2)]
        assert value == pytest.approx(np.mean(pairs) if pairs else np.nan, nan_ok=True)
    assert np.isnan(values[5])


def test_diversity_is_0_for_equal_items_and_1_for_items_with_nothing_in_common() -> None:
    features = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    values = intra_list_diversity(np.array([[0, 1], [0, 2]], np.int32), features)
    np.testing.assert_allclose(values, [0.0, 1.0], atol=1e-12)
