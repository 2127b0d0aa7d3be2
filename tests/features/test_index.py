"""The vector index against sorting all inner products, exact and with Faiss."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from genre.core.errors import DataError, DependencyError, ModelError
from genre.core.queries import NO_ITEM, Candidates
from genre.core.ragged import Ragged
from genre.core.topn import top_n
from genre.features import index as module
from genre.features.index import VectorIndex

KINDS = ["exact", "faiss"]
NUM, SIZE = 4_000, 48


def mixtures(num: int, seed: int, *, size: int = SIZE) -> NDArray[np.float32]:
    """Return vectors of length 1 near the middle of two of 100 topics."""
    topics = np.random.default_rng(0).standard_normal((100, size))
    rng = np.random.default_rng(seed)
    pairs = topics[rng.integers(100, size=(num, 2))].sum(axis=1) + 0.3 * rng.standard_normal((num, size))
    return (pairs / np.linalg.norm(pairs, axis=1, keepdims=True)).astype(np.float32)


def reference(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], n: int, candidates: Candidates | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    scores = np.stack([vectors @ query for query in queries]) if len(queries) else np.empty((0, len(vectors)))
    scores = scores.astype(np.float32)
    (candidates or Candidates()).hide(scores)
    return top_n(scores, n)


def recall(found: NDArray[np.int32], expected: NDArray[np.int32]) -> float:
    hits = [np.isin(row, wanted[wanted != NO_ITEM]).sum() for row, wanted in zip(found, expected, strict=True)]
    return float(np.sum(hits) / np.count_nonzero(expected != NO_ITEM))


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return mixtures(NUM, seed=1)


@pytest.fixture(scope="module")
def queries() -> NDArray[np.float32]:
    return mixtures(20, seed=2)


@pytest.fixture(scope="module", params=KINDS)
def index(request: pytest.FixtureRequest, vectors: NDArray[np.float32]) -> VectorIndex:
    made = VectorIndex.build(vectors, kind=request.param)
    assert made.kind == request.param
    return made


def ragged_strategy(num_rows: int, num_items: int) -> st.SearchStrategy[Ragged]:
    items = st.lists(st.integers(0, num_items - 1), max_size=8) if num_items else st.just([])
    return st.lists(items, min_size=num_rows, max_size=num_rows).map(Ragged.of)


@given(st.data())
def test_exact_search_is_what_sorting_gives(data: st.DataObject) -> None:
    num, split, num_queries = data.draw(st.integers(0, 30)), data.draw(st.integers(0, 30)), data.draw(st.integers(0, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    # Whole numbers: their products are exact in any order, and many are equal.
    vectors = rng.integers(-2, 3, (num, 3)).astype(np.float32)
    asked = rng.integers(-2, 3, (num_queries, 3)).astype(np.float32)
    candidates = Candidates(
        data.draw(
            st.none() | st.lists(st.booleans(), min_size=num, max_size=num).map(lambda mask: np.array(mask, bool))
        ),
        data.draw(st.none() | ragged_strategy(num_queries, num)),
        data.draw(st.none() | ragged_strategy(num_queries, num)),
    )
    n = data.draw(st.integers(0, 40))
    index = VectorIndex.build(vectors[:split]).add(vectors[split:])
    for got, expected in zip(
        index.search(asked, n, candidates=candidates), reference(vectors, asked, n, candidates), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype


def test_many_queries_are_taken_in_blocks(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SCORE_BYTES", 3 * 4 * NUM)
    excluded = Ragged.of([[row, row + 1] for row in range(20)])
    rows, scores = VectorIndex.build(vectors).search(queries, 10, candidates=Candidates(excluded=excluded))
    expected_rows, expected = reference(vectors, queries, 10, Candidates(excluded=excluded))
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 10, 100])
def test_the_best_are_found_with_their_inner_products(
    index: VectorIndex, vectors: NDArray[np.float32], queries: NDArray[np.float32], n: int
) -> None:
    rows, scores = index.search(queries, n)
    assert recall(rows, reference(vectors, queries, n)[0]) >= (0.9 if index.kind == "faiss" else 1.0)
    np.testing.assert_allclose(scores, np.einsum("bd,bnd->bn", queries, vectors[rows]), rtol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32


def test_vectors_of_different_lengths_are_found_by_their_products(queries: NDArray[np.float32]) -> None:
    lengths = np.random.default_rng(3).uniform(0.2, 5, (NUM, 1)).astype(np.float32)
    vectors = mixtures(NUM, seed=1) * lengths
    rows, _ = VectorIndex.build(vectors, kind="faiss").search(queries, 50)
    assert recall(rows, reference(vectors, queries, 50)[0]) >= 0.9


@pytest.mark.parametrize("share", [0.7, 0.3, 0.05])
def test_what_may_not_be_seen_is_never_found(
    index: VectorIndex, vectors: NDArray[np.float32], queries: NDArray[np.float32], share: float
) -> None:
    best, _ = index.search(queries, 300)
    candidates = Candidates(
        np.random.default_rng(4).random(NUM) < share,
        Ragged.of([row[: 20 * at] for at, row in enumerate(best[:, :290])]),
    )
    rows, _ = index.search(queries, 50, candidates=candidates)
    assert (rows != NO_ITEM).all()
    assert candidates.allowed is not None
    assert candidates.allowed[rows].all()
    assert candidates.excluded is not None
    assert not any(np.isin(row, candidates.excluded[at]).any() for at, row in enumerate(rows))
    expected, _ = reference(vectors, queries, 50, candidates)
    # One in twenty is so few that every allowed item is looked at.
    assert recall(rows, expected) >= (0.9 if index.kind == "faiss" and share > 0.1 else 1.0)


def test_only_these_are_scored_one_by_one(
    index: VectorIndex, vectors: NDArray[np.float32], queries: NDArray[np.float32]
) -> None:
    rng = np.random.default_rng(5)
    only = Ragged.of([rng.integers(NUM, size=3 * at).tolist() for at in range(20)])
    candidates = Candidates(
        rng.random(NUM) < 0.8, Ragged.of([row[:1].tolist() for row in map(only.__getitem__, range(20))]), only
    )
    rows, scores = index.search(queries, 30, candidates=candidates)
    expected_rows, expected = reference(vectors, queries, 30, candidates)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_an_answer_that_codes_do_not_fill_is_completed(index: VectorIndex, queries: NDArray[np.float32]) -> None:
    rows, scores = index.search(queries[:2], NUM + 5)
    assert (np.sort(rows[:, :NUM], axis=1) == np.arange(NUM)).all()
    assert (rows[:, NUM:] == NO_ITEM).all()
    assert (scores[:, NUM:] == -np.inf).all()


def test_added_items_are_found_at_once_and_the_old_index_stays(
    index: VectorIndex, queries: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = index.search(queries, 5)
    monkeypatch.setattr(module, "_MAX_FRESH", 30)
    more = index.add(queries[:10]).add(queries[10:])
    settled = more.add(mixtures(50, seed=6))
    for grown, num in ((more, NUM + 20), (settled, NUM + 70)):
        assert len(grown) == num
        rows, scores = grown.search(queries, 5)
        assert rows[:, 0].tolist() == list(range(NUM, NUM + 20))
        np.testing.assert_allclose(scores[:, 0], 1, rtol=1e-5)
        allowed = np.arange(num) < NUM
        np.testing.assert_array_equal(grown.search(queries, 5, candidates=Candidates(allowed))[0], before[0])
        own = Ragged.of([[NUM + at] for at in range(20)])
        assert not (grown.search(queries, 5, candidates=Candidates(excluded=own))[0][:, 0] == rows[:, 0]).any()
        np.testing.assert_array_equal(grown.search(queries, 5, candidates=Candidates(only=own))[0][:, 0], rows[:, 0])
    assert len(settled.fresh) == 0
    assert len(index) == NUM
    for got, expected in zip(index.search(queries, 5), before, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_another_dimension_is_an_error(index: VectorIndex) -> None:
    with pytest.raises(ModelError, match=r"the queries have dimension 3, those of the index 48"):
        index.search(np.eye(3), 2)
    with pytest.raises(ModelError, match=r"the vectors to add have dimension 3, those of the index 48"):
        index.add(np.eye(3))


def test_what_is_no_finite_matrix_is_an_error() -> None:
    with pytest.raises(DataError, match=r"the vectors have the shape \(3,\)\. Give a matrix"):
        VectorIndex.build(np.ones(3))
    broken = np.ones((4, 3), np.float32)
    broken[[1, 3], [0, 2]] = np.nan, np.inf
    with pytest.raises(DataError, match=r"the queries hold 2 that are not finite, the first in row 1\. Look for NaN"):
        VectorIndex.build(np.eye(3)).search(broken, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_index_answers_nothing_and_grows(kind: str) -> None:
    empty = VectorIndex.build(np.empty((0, 3)), kind=kind)
    assert (empty.search(np.eye(3), 2)[0] == NO_ITEM).all()
    assert (len(empty), empty.dimension) == (0, 3)
    assert empty.add(np.eye(3)).search(np.eye(3), 1)[0].ravel().tolist() == [0, 1, 2]


def test_vectors_of_length_zero_score_zero(index: VectorIndex) -> None:
    rows, scores = index.search(np.zeros((1, SIZE)), 10)
    assert len(set(rows[0].tolist())) == 10
    assert (scores == 0).all()
    blank = VectorIndex.build(np.zeros((NUM, SIZE)), kind=index.kind)
    assert (blank.search(np.ones((2, SIZE)), 3)[1] == 0).all()
    assert index.search(np.empty((0, SIZE)), 3)[0].shape == (0, 3)
    assert index.search(np.ones((2, SIZE)), 0)[0].shape == (2, 0)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_small_dimensions_have_codes_too(size: int) -> None:
    vectors, queries = mixtures(NUM, seed=7, size=size), mixtures(10, seed=8, size=size)
    rows, scores = VectorIndex.build(vectors, kind="faiss").search(queries, 5)
    np.testing.assert_allclose(scores, reference(vectors, queries, 5)[1], rtol=1e-3)
    assert (rows != NO_ITEM).all()


def test_the_same_seed_gives_the_same_codes(vectors: NDArray[np.float32]) -> None:
    faiss = pytest.importorskip("faiss")
    codes = [VectorIndex.build(vectors, kind="faiss", seed=seed).codes for seed in (1, 1, 2)]
    first, again, other = (faiss.serialize_index(code.index) for code in codes if code is not None)
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_faiss_is_taken_from_the_threshold_on_where_it_is_installed(
    vectors: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert VectorIndex.build(vectors).kind == "exact"
    assert VectorIndex.build(vectors, threshold=NUM + 1).kind == "exact"
    coded = VectorIndex.build(vectors, threshold=NUM)
    assert coded.kind == "faiss"
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "faiss" else find_spec(name))
    assert VectorIndex.build(vectors, threshold=NUM).kind == "exact"
    remedy = r"vector index: needs the library 'faiss'.*genre-rec\[faiss\]"
    with pytest.raises(DependencyError, match=remedy):
        VectorIndex.build(vectors, kind="faiss")
