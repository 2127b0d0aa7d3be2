"""The best n against sorting every row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from genre.core.queries import NO_ITEM
from genre.core.topn import cache_blocks, top_n


def reference(scores: NDArray[np.float32], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Sort each row by falling score and rising item, and drop what is minus infinity."""
    rows = np.full((len(scores), n), NO_ITEM, np.int32)
    best = np.full((len(scores), n), -np.inf, np.float32)
    for row, values in enumerate(scores):
        order = sorted(range(len(values)), key=lambda item: (-values[item], item))
        kept = [item for item in order if values[item] > -np.inf][:n]
        rows[row, : len(kept)], best[row, : len(kept)] = kept, values[kept]
    return rows, best


def assert_exact(scores: NDArray[np.float32], n: int) -> None:
    before = scores.copy()
    rows, best = top_n(scores, n)
    expected_rows, expected_best = reference(scores, n)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(best, expected_best)
    assert rows.dtype == np.int32
    assert best.dtype == np.float32
    np.testing.assert_array_equal(scores, before)


@given(
    num_rows=st.integers(0, 5),
    num_items=st.integers(0, 400),
    n=st.integers(0, 40),
    levels=st.integers(1, 50),
    share_without_score=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    seed=st.integers(0, 1000),
)
def test_top_n_is_exact_among_ties_and_items_without_a_score(
    num_rows: int, num_items: int, n: int, levels: int, share_without_score: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-levels, levels + 1, (num_rows, num_items)).astype(np.float32)
    scores[rng.random(scores.shape) < share_without_score] = -np.inf
    assert_exact(scores, n)


@pytest.mark.parametrize("kind", ["random", "popular", "constant", "sparse", "rising", "falling"])
@pytest.mark.parametrize("n", [1, 10, 100])
def test_top_n_is_exact_over_many_cache_blocks(kind: str, n: int) -> None:
    rng = np.random.default_rng(7)
    shape = (50, 12_101)
    rising = np.arange(12_101, dtype=np.float32)
    scores = {
        "random": rng.standard_normal(shape).astype(np.float32),
        "popular": np.tile(np.floor(rng.pareto(1, 12_101)).astype(np.float32), (50, 1)),
        "constant": np.zeros(shape, np.float32),
        "sparse": np.where(rng.random(shape) < 0.02, rng.random(shape), -np.inf).astype(np.float32),
        "rising": np.tile(rising, (50, 1)),
        "falling": np.tile(-rising, (50, 1)),
    }[kind]
    rows, best = top_n(scores, n)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    np.testing.assert_array_equal(best, np.take_along_axis(scores, order, 1))
    np.testing.assert_array_equal(rows, np.where(best > -np.inf, order, NO_ITEM))


def test_n_beyond_the_number_of_items_leaves_empty_places() -> None:
    rows, best = top_n(np.array([[1.0, 3.0]], np.float32), 4)
    assert rows.tolist() == [[1, 0, NO_ITEM, NO_ITEM]]
    assert best.tolist() == [[3.0, 1.0, -np.inf, -np.inf]]


def test_infinite_and_lowest_scores_are_ordered_too() -> None:
    lowest = np.finfo(np.float32).min
    assert_exact(np.array([[lowest, np.inf, -np.inf, 0.0, np.inf, lowest]], np.float32), 6)


def test_scores_that_are_not_contiguous() -> None:
    assert_exact(np.random.default_rng(2).integers(0, 9, (30, 500)).astype(np.float32)[::3, ::2], 7)


def test_cache_blocks_cover_all_rows() -> None:
    starts = cache_blocks(100, 12_101)
    assert starts[0] == 0
    assert 1 <= starts.step < 100
    assert starts[-1] + starts.step >= 100
    assert list(cache_blocks(3, 10**9)) == [0, 1, 2]
    assert list(cache_blocks(3, 0)) == [0]
