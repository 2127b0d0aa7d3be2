from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8)


def interactions(lists: list[list[int]], weights: list[float] | None = None) -> Interactions:
    items = Ragged.of(lists)
    size = len(items.values)
    values = np.ones(size, np.float32) if weights is None else np.array(weights, np.float32)
    return Interactions(items.offsets, items.values, np.arange(size, dtype=np.int64), values)


@given(LISTS)
def test_ragged_keeps_its_lists(lists: list[list[int]]) -> None:
    ragged = Ragged.of(lists)
    assert [ragged[row].tolist() for row in range(len(ragged))] == lists
    assert ragged.lengths.tolist() == [len(row) for row in lists]


@given(LISTS, st.data())
def test_take_gathers_rows_in_any_order(lists: list[list[int]], data: st.DataObject) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=9) if lists else st.just([])), int)
    assert [row.tolist() for row in _rows(Ragged.of(lists).take(rows))] == [lists[row] for row in rows]
    taken = interactions(lists).take(rows)
    assert [row.tolist() for row in _rows(taken.items)] == [lists[row] for row in rows]


@given(LISTS)
def test_joined_rows_stand_one_after_the_other(lists: list[list[int]]) -> None:
    other = [row[::-1] for row in lists]
    joined = Ragged.of(lists).joined(Ragged.of(other))
    assert [row.tolist() for row in _rows(joined)] == [a + b for a, b in zip(lists, other, strict=True)]


@given(LISTS, st.integers(0, 7))
def test_last_keeps_the_newest(lists: list[list[int]], n: int) -> None:
    kept = interactions(lists).last(n)
    assert [row.tolist() for row in _rows(kept.items)] == [row[len(row) - min(n, len(row)) :] for row in lists]


def test_steps_from_end_count_back_from_the_newest() -> None:
    assert interactions([[5, 6, 7], [], [8]]).steps_from_end.tolist() == [2, 1, 0, 0]


def test_end_times_are_those_of_the_newest_events() -> None:
    assert interactions([[5, 6, 7], [], [8]]).end_times.tolist() == [2, 0, 3]


def test_disliked_events_are_seen_but_not_liked() -> None:
    log = interactions([[0, 1], [1]], weights=[1, 0, 2])
    assert log.items[0].tolist() == [0, 1]
    assert log.liked().items[0].tolist() == [0]
    assert log.to_csr(3).toarray().tolist() == [[1, 0, 0], [0, 2, 0]]
    assert log.item_counts(3).tolist() == [1, 2, 0]


def test_repeated_events_add_up_in_the_matrix_and_count_once_in_the_binary_one() -> None:
    log = interactions([[1, 1, 0]], weights=[1, 2, 0])
    assert log.to_csr(2).toarray().tolist() == [[0, 3]]
    assert log.to_binary_csr(2).toarray().tolist() == [[0, 1]]


def test_other_values_can_take_the_place_of_weights() -> None:
    log = interactions([[1, 0]], weights=[1, 0])
    assert log.to_csr(2, np.array([0.5, 9.0])).toarray().tolist() == [[0, 0.5]]
    assert log.item_counts(2, np.array([0.5, 9.0])).tolist() == [0, 0.5]


@pytest.mark.parametrize("rows", [0, 3])
def test_empty_interactions_have_rows_without_events(rows: int) -> None:
    empty = Interactions.empty(rows)
    assert len(empty) == rows
    assert empty.num_events == 0
    assert empty.to_csr(4).shape == (rows, 4)


def _rows(ragged: Ragged) -> list[np.ndarray]:
    return [ragged[row] for row in range(len(ragged))]
