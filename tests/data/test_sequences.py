"""Windows and altered copies of histories."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.data import sequences

Lists = st.lists(st.lists(st.integers(0, 30), max_size=15), max_size=8)


def log(lists: list[list[int]]) -> Interactions:
    items = Ragged.of(lists)
    return Interactions.of(items, np.arange(len(items.values)))


def lists(found: Interactions) -> list[list[int]]:
    return [found.items[row].tolist() for row in range(len(found))]


def test_windows_by_hand() -> None:
    found = sequences.windows(log([[1, 2, 3, 4, 5, 6], [7], [], [8, 9]]), 2)
    assert lists(found) == [[1, 2], [2, 3, 4], [4, 5, 6], [8, 9]]
    assert found.timestamps.tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 7, 8]


def test_windows_leave_dislikes_out() -> None:
    seen = log([[1, 2, 3]])
    weights = np.array([1, 0, 1], np.float32)
    found = sequences.windows(Interactions(seen.offsets, seen.item_rows, seen.timestamps, weights), 5)
    assert lists(found) == [[1, 3]]


@given(Lists, st.integers(1, 6))
def test_every_step_is_learned_once(rows: list[list[int]], length: int) -> None:
    found = lists(sequences.windows(log(rows), length))
    assert all(2 <= len(window) <= length + 1 for window in found)
    steps = [pair for window in found for pair in pairwise(window)]
    assert sorted(steps) == sorted(pair for row in rows for pair in pairwise(row))


@given(Lists, st.integers(0, 5))
def test_what_is_kept_was_there_in_this_order(rows: list[list[int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    given_rows = log(rows)
    for found in (
        sequences.crop(given_rows, rng, 0.6),
        sequences.prefix(given_rows, rng),
        sequences.mask(given_rows, rng, 0.5),
    ):
        for row, kept in enumerate(lists(found)):
            assert len(kept) >= min(2, len(rows[row]))
            left = iter(rows[row])
            assert all(item in left for item in kept)


def test_crop_keeps_a_stretch_of_the_share() -> None:
    rows = [list(range(10)), list(range(20, 25))]
    first, second = lists(sequences.crop(log(rows), np.random.default_rng(0), 0.6))
    assert first == list(range(first[0], first[0] + 6))
    assert second == list(range(second[0], second[0] + 3))


def test_mask_leaves_out_about_the_share() -> None:
    found = sequences.mask(log([list(range(1000))]), np.random.default_rng(0), 0.3)
    assert found.num_events == pytest.approx(700, abs=50)


@given(Lists, st.integers(0, 5))
def test_reorder_moves_within_the_row_and_keeps_the_times(rows: list[list[int]], seed: int) -> None:
    given_rows = log(rows)
    found = sequences.reorder(given_rows, np.random.default_rng(seed), 0.5)
    assert [sorted(row) for row in lists(found)] == [sorted(row) for row in rows]
    np.testing.assert_array_equal(found.timestamps, given_rows.timestamps)


def test_reorder_shuffles_only_a_stretch() -> None:
    rows = [list(range(100))]
    (found,) = lists(sequences.reorder(log(rows), np.random.default_rng(0), 0.2))
    moved = [place for place in range(100) if found[place] != place]
    assert 10 <= len(moved) <= 20
    assert max(moved) - min(moved) < 20


def test_substitutes_come_from_the_table() -> None:
    similar = np.stack([np.arange(30) + 100, np.full(30, -1)], axis=1).astype(np.int32)
    given_rows = log([list(range(30))] * 40)
    found = sequences.substitute(given_rows, np.random.default_rng(0), 0.5, similar)
    changed = found.item_rows != given_rows.item_rows
    np.testing.assert_array_equal(found.item_rows[changed], given_rows.item_rows[changed] + 100)
    assert changed.mean() == pytest.approx(0.25, abs=0.05)  # Half of the chosen ones have no substitute.


def test_histories_end_with_their_event() -> None:
    found = sequences.until(log([[1, 2, 3], [], [4, 5]]), np.array([1, 2, 3, 4]))
    assert lists(found) == [[1, 2], [1, 2, 3], [4], [4, 5]]


def test_merged_by_time_with_the_first_before_others_of_the_same_time() -> None:
    first = Interactions.of(Ragged.of([[1, 2, 3], [], [4]]), np.array([10, 20, 30, 0]))
    second = Interactions.of(Ragged.of([[5, 6], [7], [8, 9]]), np.array([20, 15, 1, 0, 0]))
    found = sequences.merged(first, second)
    assert [found.items[row].tolist() for row in range(3)] == [[1, 2, 5, 6, 3], [7], [4, 8, 9]]
    assert found.timestamps.tolist() == [10, 20, 20, 15, 30, 1, 0, 0, 0]
