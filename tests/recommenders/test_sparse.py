"""Answers from sparse evidence against sorting every row, and against dense scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Queries, Source
from genre.core.ragged import Ragged
from genre.core.topn import top_n
from genre.recommenders import sparse as module
from genre.recommenders.base import from_evidence
from genre.recommenders.sparse import best_of_rows, decayed_likes, in_blocks, keep_best, recommend_from_evidence


def random_matrix(num_rows: int, num_columns: int, num_values: int, density: float, seed: int) -> sparse.csr_matrix:
    """Return a matrix in scipy's own, unsorted order, with few different values, some of them minus infinity."""
    rng = np.random.default_rng(seed)
    stored = rng.random((num_rows, num_columns)) < density * rng.random((num_rows, 1))
    offsets = np.append(0, np.cumsum(stored.sum(axis=1)))
    columns = np.concatenate([rng.permutation(np.flatnonzero(row)) for row in stored]) if num_rows else np.empty(0, int)
    values = rng.integers(0, num_values, len(columns)) / 7
    values[rng.random(len(columns)) < 0.1] = -np.inf
    return sparse.csr_matrix((values.astype(np.float32), columns.astype(np.int32), offsets), (num_rows, num_columns))


def reference(matrix: sparse.csr_matrix, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    columns = np.full((matrix.shape[0], k), NO_ITEM, np.int32)
    values = np.full((matrix.shape[0], k), -np.inf, np.float32)
    for row in range(matrix.shape[0]):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        cells = sorted((-value, column) for value, column in zip(matrix.data[part], matrix.indices[part], strict=True))
        best = [(column, -value) for value, column in cells if value < np.inf][:k]
        if best:
            columns[row, : len(best)], values[row, : len(best)] = zip(*best, strict=True)
    return columns, values


@given(
    num_rows=st.integers(0, 5),
    num_columns=st.integers(1, 400),
    num_values=st.sampled_from([1, 3, 100]),
    k=st.sampled_from([1, 2, 10, 500]),
    seed=st.integers(0, 1000),
)
def test_the_best_of_rows_are_those_of_sorting(
    num_rows: int, num_columns: int, num_values: int, k: int, seed: int
) -> None:
    matrix = random_matrix(num_rows, num_columns, num_values, 1.0, seed)
    before = matrix.copy()
    columns, values = best_of_rows(matrix, k)
    expected_columns, expected_values = reference(matrix, k)
    np.testing.assert_array_equal(columns, expected_columns)
    np.testing.assert_array_equal(values, expected_values)
    assert columns.dtype == np.int32
    assert values.dtype == np.float32
    np.testing.assert_array_equal(matrix.data, before.data)


def test_a_matrix_keeps_the_best_of_its_rows() -> None:
    matrix = random_matrix(20, 50, 10, 1.0, seed=1)
    kept = keep_best(matrix, 4)
    columns, values = reference(matrix, 4)
    expected = np.zeros((20, 50), np.float32)
    rows, places = np.nonzero(columns != NO_ITEM)
    expected[rows, columns[rows, places]] = values[rows, places]
    np.testing.assert_array_equal(kept.toarray(), expected)
    assert np.diff(kept.indptr).max() == 4


def test_blocks_cover_all_rows_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_CELLS", 300)
    blocks = in_blocks(lambda block: range(block.start, block.stop), 1001, 100)
    assert [len(block) for block in blocks] == [3] * 333 + [2]
    assert [row for block in blocks for row in block] == list(range(1001))
    assert in_blocks(len, 0, 100) == []


def test_an_error_in_a_block_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_CELLS", 1)

    def fail(block: slice) -> None:
        raise ArithmeticError(f"at {block.start}")

    with pytest.raises(ArithmeticError, match="at 0"):
        in_blocks(fail, 10, 10)


def test_likes_decay_with_newer_likes_and_not_with_dislikes() -> None:
    history = Interactions.of(Ragged.of([[0, 1, 2, 1], [], [3]]))
    history.weights[2] = 0  # Item 2 was disliked: likes are 0, 1, 1 from old to new.
    decayed = decayed_likes(history, 4, 0.5).toarray()
    np.testing.assert_array_equal(decayed, [[0.25, 1.5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("cells", [50, 1 << 22])
@pytest.mark.parametrize(
    "candidates",
    [
        lambda _: None,
        lambda seen: Candidates(excluded=seen),
        lambda seen: Candidates(allowed=np.arange(30) % 3 > 0, excluded=seen),
        lambda seen: Candidates(only=Ragged.of([range(5, 25)] * len(seen)), excluded=seen),
    ],
    ids=["all", "unseen", "allowed", "only"],
)
def test_recommendations_are_those_of_dense_scores(
    candidates: Callable[[Ragged], Candidates | None], cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_CELLS", cells)
    links = random_matrix(30, 30, 10, 0.5, seed=2)
    links.data[links.data == -np.inf] = 0.5
    rng = np.random.default_rng(0)
    queries = Queries.of(Interactions.of(Ragged.of([rng.permutation(30)[: row % 6] for row in range(100)])))

    def evidence(asked: Queries) -> sparse.csr_matrix:
        return asked.history.to_binary_csr(30) @ links

    hidden = candidates(queries.history.items)
    answer = recommend_from_evidence(evidence, queries, 8, hidden, 30)
    scores = from_evidence(evidence(queries))
    if hidden is not None:
        hidden.hide(scores)
    rows, best = top_n(scores, 8)
    np.testing.assert_array_equal(answer.item_rows, rows)
    np.testing.assert_array_equal(answer.scores, best)
    np.testing.assert_array_equal(answer.sources, np.where(rows == NO_ITEM, Source.NONE, Source.PERSONAL))
    assert 0 < answer.filled.mean() < 1
