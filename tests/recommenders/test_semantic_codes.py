"""Codes of items, worked out by hand where that can be done."""

from __future__ import annotations

import numpy as np
import pytest

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.recommenders.semantic_codes import (
    ResidualQuantiser,
    collaborative_vectors,
    numbers_among_equals,
    ridge,
)

POINTS = np.array([[-1, 0], [1, 0], [9, 0], [11, 0]], np.float32)


def fitted(vectors: np.ndarray, levels: int = 2, size: int = 2) -> ResidualQuantiser:
    return ResidualQuantiser.fit(vectors.astype(np.float32), levels, size, np.random.default_rng(0))


def test_a_vector_is_the_sum_of_its_centres() -> None:
    found = fitted(POINTS)
    first, second = found.centres
    # By hand: the first level has the centres 0 and 10, which leave -1 and 1 over everywhere.
    assert sorted(first[:, 0].tolist()) == pytest.approx([0, 10])
    assert sorted(second[:, 0].tolist()) == pytest.approx([-1, 1])
    codes = found.codes(POINTS)
    np.testing.assert_allclose(first[codes[:, 0]] + second[codes[:, 1]], POINTS, atol=1e-6)
    assert codes[0, 0] == codes[1, 0] != codes[2, 0] == codes[3, 0]
    assert codes[0, 1] == codes[2, 1] != codes[1, 1] == codes[3, 1]


def test_a_new_vector_gets_the_codes_of_what_it_is_like() -> None:
    found = fitted(POINTS)
    np.testing.assert_array_equal(found.codes(np.array([[9.2, 0.5]], np.float32)), found.codes(POINTS[2:3]))
    assert found.codes(np.empty((0, 2), np.float32)).shape == (0, 2)


def test_more_codes_than_vectors() -> None:
    vectors = np.repeat(np.eye(3), 5, axis=0)
    found = fitted(vectors, levels=3, size=8)
    assert found.sizes == (3, 1, 1)
    assert len(np.unique(found.codes(vectors.astype(np.float32)), axis=0)) == 3


def test_of_many_vectors_some_are_looked_at() -> None:
    vectors = np.random.default_rng(0).normal(size=(2000, 3))
    assert fitted(vectors, levels=1, size=2).sizes == (2,)


def test_it_reads_the_same_after_saving() -> None:
    found = fitted(POINTS)
    again = ResidualQuantiser.restore({**found.state(), "other": POINTS})
    np.testing.assert_array_equal(again.codes(POINTS), found.codes(POINTS))


def test_equal_items_are_numbered_in_the_given_order() -> None:
    codes = np.array([[1, 2], [3, 4], [1, 2], [1, 3], [1, 2]])
    numbers = numbers_among_equals(codes, np.array([4, 1, 0, 3, 2]))
    assert numbers.tolist() == [1, 0, 2, 0, 0]
    assert numbers_among_equals(codes[:0], np.empty(0, np.int64)).tolist() == []


def test_items_liked_by_the_same_people_are_alike() -> None:
    log = Interactions.of(Ragged.of([[0, 1], [0, 1], [2], [2, 3]]))
    found = collaborative_vectors(log, 5, 64, np.random.default_rng(0))
    assert found.shape == (5, 4)
    np.testing.assert_allclose(found[0] @ found[1], 1, atol=1e-5)
    np.testing.assert_allclose(found[0] @ found[2], 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 1, 1, 0], atol=1e-5)


def test_ridge_says_outputs_by_inputs() -> None:
    inputs = np.eye(2, dtype=np.float32)
    # With 1 added to the diagonal, each of the two says half of its output.
    np.testing.assert_allclose(ridge(inputs, np.array([[2, 0], [0, 4]], np.float32)), [[1, 0], [0, 2]])
