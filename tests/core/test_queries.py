from __future__ import annotations

import numpy as np
import polars as pl

from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Queries, Recommendations, Source
from genre.core.ragged import Ragged


def test_hide_leaves_only_what_every_condition_allows() -> None:
    scores = np.arange(10, dtype=np.float32).reshape(2, 5)
    candidates = Candidates(
        allowed=np.array([True, True, True, True, False]),
        excluded=Ragged.of([[0], []]),
        only=Ragged.of([[0, 1, 4], [2, 3]]),
    )
    candidates.hide(scores)
    inf = np.inf
    np.testing.assert_array_equal(scores, [[-inf, 1, -inf, -inf, -inf], [-inf, -inf, 7, 8, -inf]])


def test_without_adds_to_what_is_excluded() -> None:
    once = Candidates().without(Ragged.of([[1], [2]]))
    twice = once.without(Ragged.of([[3], []]))
    assert twice.excluded is not None
    assert [twice.excluded[0].tolist(), twice.excluded[1].tolist()] == [[1, 3], [2]]


def test_taking_queries_takes_all_their_parts() -> None:
    history = Interactions.of(Ragged.of([[1], [2, 3], []]))
    queries = Queries(history, np.array([4, 5, -1], np.int32), np.array([7, 8, 9]), pl.DataFrame({"age": [1, 2, 3]}))
    taken = queries.take(np.array([2, 1]))
    assert taken.user_rows.tolist() == [-1, 5]
    assert taken.times.tolist() == [9, 8]
    assert taken.users is not None
    assert taken.users["age"].to_list() == [3, 2]
    assert taken.history.items[1].tolist() == [2, 3]


def test_blocks_cover_all_queries_once() -> None:
    queries = Queries.of(Interactions.of(Ragged.of([[row] for row in range(7)])))
    parts = [(start, block.history.item_rows.tolist()) for start, block in queries.blocks(3)]
    assert parts == [(0, [0, 1, 2]), (3, [3, 4, 5]), (6, [6])]


def test_compact_moves_what_is_kept_up_and_empties_the_rest() -> None:
    answer = Recommendations(
        np.array([[5, 6, 7]], np.int32), np.array([[3, 2, 1]], np.float32), np.zeros((1, 3), np.int8)
    )
    moved = answer.compact(np.array([[False, True, True]]))
    assert moved.item_rows.tolist() == [[6, 7, NO_ITEM]]
    assert moved.scores.tolist() == [[2, 1, -np.inf]]
    assert moved.sources.tolist() == [[0, 0, Source.NONE]]
    assert answer.item_rows.tolist() == [[5, 6, 7]], "the answer itself must not change"
