"""EASE against one ridge regression for each item."""

from __future__ import annotations

import numpy as np
import pytest

from genre.core.errors import ModelError
from genre.core.interactions import Interactions
from genre.core.queries import Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders import ease, sparse
from genre.recommenders.ease import Ease, EaseConfig
from tests.conftest import make_dataset


def fit(data: Dataset, regularization: float = 20.0) -> Ease:
    return EaseConfig(regularization=regularization, history_decay=1).build({}).fit(data, RunContext())


@pytest.mark.parametrize("regularization", [5.0, 250.0])
def test_each_column_is_the_ridge_regression_on_the_other_items(dataset: Dataset, regularization: float) -> None:
    likes = dataset.interactions.to_binary_csr(dataset.num_items).toarray().astype(np.float64)
    expected = np.zeros((dataset.num_items, dataset.num_items))
    for item in range(dataset.num_items):
        others = np.arange(dataset.num_items) != item
        predictors = likes[:, others]
        system = predictors.T @ predictors + regularization * np.eye(others.sum())
        expected[others, item] = np.linalg.solve(system, predictors.T @ likes[:, item])
    weights = fit(dataset, regularization).weights
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    assert weights.dtype == np.float32
    assert weights.flags.c_contiguous, "the rows of a history are read one after the other"


def test_scores_add_up_the_rows_of_the_liked_items(dataset: Dataset) -> None:
    model = fit(dataset)
    history = Interactions.of(Ragged.of([[1, 2, 2], [0, 4]]))
    history.weights[-1] = 0  # Item 4 was disliked.
    expected = np.stack([model.weights[1] + model.weights[2], model.weights[0]])
    expected[:, ~model.known] = -np.inf
    np.testing.assert_allclose(model.score(Queries.of(history)), expected, rtol=1e-5, atol=1e-7)


def test_older_likes_count_less(dataset: Dataset) -> None:
    model = EaseConfig(regularization=20, history_decay=0.5).build({}).fit(dataset, RunContext())
    expected = 0.25 * model.weights[3] + 0.5 * model.weights[1] + model.weights[2]
    expected[~model.known] = -np.inf
    scores = model.score(Queries.of(Interactions.of(Ragged.of([[3, 1, 2]]))))
    np.testing.assert_allclose(scores[0], expected, rtol=1e-5, atol=1e-7)


def test_what_nobody_liked_is_not_scored(dataset: Dataset) -> None:
    model = fit(dataset)
    untouched = dataset.interactions.item_counts(dataset.num_items) == 0
    assert untouched.any()
    scores = model.score(Queries.of(Interactions.of(Ragged.of([[0], [int(np.flatnonzero(untouched)[0])]]))))
    np.testing.assert_array_equal(scores[0] == -np.inf, untouched)
    assert (scores[1] == -np.inf).all()


def test_many_small_blocks_give_the_same_weights(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(dataset).weights
    monkeypatch.setattr(sparse, "BLOCK_CELLS", 3 * dataset.num_items)
    np.testing.assert_array_equal(fit(dataset).weights, whole)


def test_too_little_regularization_is_an_error_with_a_remedy() -> None:
    twins = Interactions.of(Ragged.of([[0, 1]] * 3))  # Two items liked by the same users cannot be told apart.
    data = make_dataset(num_users=3, num_items=2).with_interactions(twins)
    with pytest.raises(ModelError, match=r"ease: .* inverted with regularization 1e-30. Raise `regularization`"):
        fit(data, 1e-30)


def test_a_matrix_too_large_for_lapack_is_inverted_block_by_block(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(dataset).weights
    monkeypatch.setattr(ease, "LARGEST_FOR_LAPACK", 7)
    blocks = fit(dataset).weights
    np.testing.assert_allclose(blocks, whole, atol=1e-6)
    assert blocks.flags.c_contiguous
