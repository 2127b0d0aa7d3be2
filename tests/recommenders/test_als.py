"""ALS against solving the same equations in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.als import Als, AlsConfig

Matrix = NDArray[np.float64]


def fit(data: Dataset, seed: int = 0, **settings: float) -> Als:
    return AlsConfig(**settings).build({}).fit(data, RunContext(seed=seed))


def solve(confidence: Matrix, vectors: Matrix, regularization: float) -> Matrix:
    """Return the row vectors that minimise the weighted squares; confidence 0 stands for no event."""
    rows = []
    for row in confidence:
        weights = np.where(row > 0, row, 1)
        system = (vectors.T * weights) @ vectors + regularization * np.eye(vectors.shape[1])
        rows.append(np.linalg.solve(system, vectors.T @ row))
    return np.array(rows)


def loss(confidence: Matrix, users: Matrix, items: Matrix, regularization: float) -> float:
    errors = np.where(confidence > 0, confidence, 1) * ((confidence > 0) - users @ items.T) ** 2
    return float(errors.sum() + regularization * ((users**2).sum() + (items**2).sum()))


def test_a_query_is_answered_by_solving_for_its_history(dataset: Dataset) -> None:
    model = fit(dataset, embedding_size=8, history_decay=0.5, confidence=4, regularization=0.5)
    history = Interactions.of(Ragged.of([[0, 1, 2, 1], [5], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]]))
    history.weights[:4] = [2, 0, 1, 1]  # Of the first history item 0 is liked twice as much, item 1 disliked first.
    confidence = np.zeros((3, dataset.num_items))
    confidence[0, [0, 2, 1]] = 4 * np.array([2 * 0.25, 0.5, 1])
    confidence[1, 5] = 4
    confidence[2, 1:12] = 4 * 0.5 ** np.arange(10, -1, -1)
    vectors = model.vectors.astype(np.float64)
    expected = solve(confidence, vectors, 0.5) @ vectors.T
    expected[:, ~model.known] = -np.inf
    np.testing.assert_allclose(model.score(Queries.of(history)), expected, rtol=1e-3, atol=1e-4)


def test_fitting_comes_as_low_as_exact_alternating_least_squares(dataset: Dataset) -> None:
    model = fit(dataset, embedding_size=4, confidence=5, regularization=1, epochs=30)
    confidence = 5 * dataset.interactions.to_csr(dataset.num_items).toarray().astype(np.float64)
    items = model.vectors.astype(np.float64)
    found = loss(confidence, solve(confidence, items, 1), items, 1)

    items = np.random.default_rng(0).normal(size=(dataset.num_items, 4))
    for _ in range(30):
        users = solve(confidence, items, 1)
        items = solve(confidence.T, users, 1)
    exact = loss(confidence, users, items, 1)
    guess = loss(confidence, np.zeros_like(users), np.zeros_like(items), 1)
    assert exact < 0.5 * guess
    assert found < exact + 0.03 * guess


def test_likes_of_unknown_items_alone_are_no_ground_for_an_answer(dataset: Dataset) -> None:
    model = fit(dataset)
    unknown = int(np.flatnonzero(~model.known)[0])
    scores = model.score(Queries.of(Interactions.of(Ragged.of([[unknown], [0, unknown]]))))
    assert not np.isfinite(scores[0]).any()
    np.testing.assert_array_equal(np.isfinite(scores[1]), model.known)


def test_similar_items_are_those_with_the_smallest_angle(dataset: Dataset) -> None:
    model = fit(dataset)
    found = model.similar(np.arange(dataset.num_items))
    vectors = model.vectors[model.known].astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ vectors.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(found[np.ix_(model.known, model.known)], cosines, atol=1e-5)
    assert (found[~model.known] == -np.inf).all()
    assert (found[:, ~model.known] == -np.inf).all()


def test_another_seed_starts_elsewhere(dataset: Dataset) -> None:
    assert not np.array_equal(fit(dataset, seed=1).vectors, fit(dataset, seed=2).vectors)
