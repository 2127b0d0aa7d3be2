"""Ranks against a reference that counts one item at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import rankdata

from genre.core.queries import NO_ITEM
from genre.core.ragged import Ragged
from genre.metrics.ranks import list_ranks, target_ranks

LEVELS = [-np.inf, -1.0, 0.0, 0.5, 2.0]


def reference(scores: NDArray[np.float32], targets: Ragged) -> list[float]:
    ranks = []
    for row in range(len(targets)):
        for item in targets[row]:
            own = scores[row, item]
            higher = sum(1 for other in scores[row] if other > own)
            equal = sum(1 for place, other in enumerate(scores[row]) if other == own and place != item)
            ranks.append(1 + higher + equal / 2 if own > -np.inf else np.inf)
    return ranks


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.float32], Ragged]:
    num_rows, num_items = draw(st.integers(0, 6)), draw(st.integers(1, 30))
    row = st.lists(st.sampled_from(LEVELS), min_size=num_items, max_size=num_items)
    scores = np.array([draw(row) for _ in range(num_rows)], np.float32).reshape(num_rows, num_items)
    items = st.lists(st.integers(0, num_items - 1), unique=True, max_size=5)
    return scores, Ragged.of([draw(items) for _ in range(num_rows)])


@given(cases())
def test_ranks_are_those_of_a_naive_count(case: tuple[NDArray[np.float32], Ragged]) -> None:
    scores, targets = case
    before = scores.copy()
    ranks = target_ranks(scores, targets)
    assert ranks.dtype == np.float32
    assert ranks.tolist() == reference(scores, targets)
    np.testing.assert_array_equal(scores, before)


def test_ranks_agree_with_scipy_over_many_cache_blocks() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 300, (150, 12_101)).astype(np.float32)
    targets = Ragged.of([rng.choice(12_101, rng.integers(1, 4), replace=False) for _ in range(150)])
    expected = [rankdata(-scores[row])[targets[row]] for row in range(150)]
    np.testing.assert_array_equal(target_ranks(scores, targets), np.concatenate(expected).astype(np.float32))


def test_one_target_a_row_in_a_block_that_is_not_contiguous() -> None:
    scores = np.random.default_rng(1).standard_normal((40, 60)).astype(np.float32)[::2, ::3]
    targets = Ragged.of([[row % 20] for row in range(20)])
    assert target_ranks(scores, targets).tolist() == reference(scores, targets)


def test_a_row_of_equal_scores_ranks_its_target_in_the_middle() -> None:
    assert target_ranks(np.zeros((1, 101), np.float32), Ragged.of([[7]])).tolist() == [51.0]


@pytest.mark.parametrize("targets", [[[0, 3], [5]], [[], [9]], [[], []]])
def test_list_ranks_are_places(targets: list[list[int]]) -> None:
    lists = np.array([[3, 1, 2, NO_ITEM], [5, 9, NO_ITEM, NO_ITEM]], np.int32)
    expected = [
        list(lists[row]).index(item) + 1 if item in lists[row] else np.inf
        for row, items in enumerate(targets)
        for item in items
    ]
    assert list_ranks(lists, Ragged.of(targets)).tolist() == expected
