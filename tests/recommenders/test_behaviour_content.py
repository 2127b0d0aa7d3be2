"""The factored choice model: its gradient, what it recovers, and what it says of items and people it never met."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from genre.core.errors import DataError
from genre.core.interactions import Interactions
from genre.core.queries import Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.features.content import ContentConfig
from genre.recommenders.behaviour_content import (
    BehaviourContent,
    BehaviourContentConfig,
    Choices,
    loss_and_gradients,
)
from genre.recommenders.store import load_model, save_model
from tests.conftest import make_dataset

ALL_LABELS = ContentConfig(min_count=1)


def world(histories: list[list[int]], labels: list[list[str]], countries: list[str] | None = None) -> Dataset:
    """Return users with these likes, oldest first, of items with these labels."""
    items = pl.DataFrame({"item_id": [f"i{row}" for row in range(len(labels))], "genres": labels})
    users = pl.DataFrame({"user_id": [f"u{row}" for row in range(len(histories))]})
    if countries is not None:
        users = users.with_columns(country=pl.Series([[name] for name in countries]))
    return Dataset(
        Interactions.of(Ragged.of(histories)),
        Entities(Vocabulary(items["item_id"]), items, Roles(category=("genres",))),
        Entities(Vocabulary(users["user_id"]), users, Roles(category=("country",) if countries else ())),
    )


def fitted(data: Dataset, **settings: object) -> BehaviourContent:
    config = BehaviourContentConfig(content=ALL_LABELS, **{"steps": 300, "l2_behaviour": 0.1, **settings})
    return config.build({}).fit(data, RunContext())


def after(*items: int) -> Queries:
    """Ask for an unknown user who liked these items, oldest first."""
    return Queries.of(Interactions.of(Ragged.of([items])))


@pytest.mark.parametrize("sampled", [False, True])
def test_the_gradient_is_that_of_finite_differences(sampled: bool) -> None:
    rng = np.random.default_rng(0)
    size, items, width, content = 7, 6, 4, 3
    weights = rng.random(size)
    choices = Choices(
        rng.normal(size=(size, width)),
        rng.normal(size=(items, content)),
        rng.integers(0, items, size),
        weights / weights.sum(),
        np.log(rng.uniform(0.2, 1, items)) if sampled else np.zeros(items),
    )
    parts = [rng.normal(size=(items, width)), rng.normal(size=(content, width))]
    gradients = loss_and_gradients(*parts, choices)[1]
    for part, gradient in zip(parts, gradients, strict=True):
        for at in np.ndindex(part.shape):
            kept, step = part[at], 1e-6
            part[at] = kept + step
            above = loss_and_gradients(*parts, choices)[0]
            part[at] = kept - step
            below = loss_and_gradients(*parts, choices)[0]
            part[at] = kept
            assert gradient[at] == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-8)


def test_the_loss_is_that_of_the_product_of_both_softmaxes() -> None:
    rng = np.random.default_rng(1)
    theta, phi = rng.normal(size=(5, 3)), rng.normal(size=(2, 3))
    x, content, targets = rng.normal(size=(4, 3)), rng.normal(size=(5, 2)), np.array([0, 4, 2, 2])
    product = softmax(x @ theta.T, axis=1) * softmax(x @ (content @ phi).T, axis=1)
    likelihood = (product / product.sum(axis=1, keepdims=True))[np.arange(4), targets]
    loss, _ = loss_and_gradients(theta, phi, Choices(x, content, targets, np.full(4, 0.25), np.zeros(5)))
    assert loss == pytest.approx(-np.log(likelihood).mean())


def simulated(num_users: int, rng: np.random.Generator) -> tuple[Dataset, NDArray[np.float64]]:
    """Return two likes of each user, the second drawn from the model, and the model's logits (I, I) after each item."""
    labels = [[f"g{row % 4}"] for row in range(16)]
    content = np.eye(4)[np.arange(16) % 4]
    theta = rng.normal(size=(16, 4)) + rng.normal(size=(16, 1))
    logits = content @ (theta + content @ rng.normal(0, 1.5, (4, 4))).T
    first = rng.integers(0, 16, num_users)
    second = (logits[first] + rng.gumbel(size=(num_users, 16))).argmax(axis=1)
    return world(np.stack([first, second], axis=1).tolist(), labels), logits


@pytest.mark.parametrize("num_negatives", [2048, 4])
def test_it_recovers_the_likelihood_of_data_from_the_model(num_negatives: int) -> None:
    data, logits = simulated(6000, np.random.default_rng(2))
    model = fitted(data, l2_behaviour=0.01, l2_content=0.01, num_negatives=num_negatives, batch_size=512, steps=600)
    found = log_softmax(model.score(Queries.of(Interactions.of(Ragged.of([[row] for row in range(16)])))), axis=1)
    true = log_softmax(logits, axis=1)
    lost = (np.exp(true) * (true - found)).sum(axis=1)  # Kullback-Leibler divergence after each item
    by_popularity = np.exp(true).mean(axis=0)
    without = (np.exp(true) * (true - np.log(by_popularity))).sum(axis=1)
    assert lost.mean() < 0.03
    assert lost.mean() < 0.1 * without.mean()


def test_a_cold_item_ranks_high_where_its_content_fits_and_low_elsewhere() -> None:
    rng = np.random.default_rng(3)
    labels = [["western"] if row % 2 else ["horror"] for row in range(20)] + [["western"], ["horror"]]
    histories = [rng.permutation(np.arange(user % 2, 20, 2))[:6].tolist() for user in range(80)]
    model = fitted(world(histories, labels))
    western, horror = 20, 21
    assert not model.theta[[western, horror]].any()
    scores = model.score(after(1, 3))[0]
    rank = (scores > scores[western]).sum()
    assert rank < 12, "it stands among its kind"
    assert scores[western] > scores[np.arange(0, 20, 2)].max()
    assert scores[horror] < scores[np.arange(1, 20, 2)].min()


def test_an_empty_history_is_answered_by_popularity_and_user_columns() -> None:
    histories = [[0], [0], [0], [1]] * 10 + [[2], [2], [2], [1]] * 10
    data = world(histories, [["a"], ["a"], ["a"], ["a"]], ["CN"] * 40 + ["FR"] * 40)
    model = fitted(data)
    nothing = Interactions.empty(2)
    asked = Queries(nothing, np.full(2, -1, np.int32), np.zeros(2, np.int64), data.users.frame[[0, 40]])
    assert model.recommend(asked, 1).item_rows.ravel().tolist() == [0, 2]
    unknown = model.score(Queries.of(Interactions.empty(1)))[0]
    assert unknown[0] == pytest.approx(unknown[2], abs=0.2)


def test_newer_likes_count_more() -> None:
    histories = [[0, 1, 0, 1], [2, 3, 2, 3]] * 30
    model = fitted(world(histories, [["a"], ["a"], ["b"], ["b"]]), decay=0.3)
    first_a, first_b = model.score(after(0, 2))[0], model.score(after(2, 0))[0]
    assert first_a[[2, 3]].max() > first_a[[0, 1]].max()
    assert first_b[[0, 1]].max() > first_b[[2, 3]].max()


def test_likes_fade_with_time_where_a_half_life_is_given() -> None:
    histories = [[0, 1, 0, 1], [2, 3, 2, 3]] * 30
    data = world(histories, [["a"], ["a"], ["b"], ["b"]])
    model = fitted(data, decay=1.0, half_life_days=1.0)
    items = Ragged.of([[0, 0, 2]])

    def lead_of_b(days: int) -> float:
        times = np.array([0, 0, days * 86_400], np.int64)
        scores = model.score(Queries.of(Interactions.of(items, times)))[0]
        return float(scores[3] - scores[1])

    assert lead_of_b(0) < 0 < lead_of_b(5)


def test_a_high_penalty_on_behaviour_leaves_content_alone() -> None:
    histories = [[0, 1], [0, 1], [0, 1], [2, 3]] * 20
    model = fitted(world(histories, [["a"], ["b"], ["a"], ["b"]]), l2_behaviour=1e6)
    scores = model.score(after(0))[0]
    assert scores[1] == pytest.approx(scores[3], abs=0.05)
    assert scores[1] > scores[0] + 1


@pytest.mark.slow
def test_l1_sets_what_does_not_pay_to_zero() -> None:
    data, _ = simulated(500, np.random.default_rng(4))
    dense, sparse = (fitted(data, l1=penalty, steps=600) for penalty in (0.0, 20.0))
    share = [float((np.concatenate([model.theta, model.phi]) == 0).mean()) for model in (dense, sparse)]
    assert share[0] < 0.25, "features that nobody has stay at 0 in any case"
    assert share[1] > 0.5
    assert np.abs(sparse.weights).max() > 0.1, "what pays is kept"


def test_dislikes_are_not_learned_from(dataset: Dataset) -> None:
    log = dataset.interactions
    without = dataset.with_interactions(log.where(log.weights > 0))
    one, other = (fitted(data, steps=20).score(dataset.queries()) for data in (dataset, without))
    np.testing.assert_array_equal(one, other)


def test_many_features_are_reduced_to_the_rank() -> None:
    data = make_dataset(num_users=100, num_items=60)
    model = fitted(data, rank=3, steps=50)
    assert model.content.shape == (60, 3)
    assert model.user_projection.shape[1] == 3
    np.testing.assert_allclose(np.linalg.norm(model.content, axis=1), 1, rtol=1e-4)


def test_without_any_column_the_remedy_is_named(dataset: Dataset) -> None:
    def bare(entities: Entities) -> Entities:
        return replace(entities, frame=entities.frame[:, :1], roles=Roles())

    data = replace(dataset, items=bare(dataset.items), users=bare(dataset.users))
    with pytest.raises(DataError, match=r"items have the columns \['item_id'\].*leave this model out"):
        fitted(data)


def test_a_saved_model_answers_the_same(dataset: Dataset, tmp_path: Path) -> None:
    model = fitted(dataset, steps=20)
    save_model(model, tmp_path)
    again = load_model(tmp_path, BehaviourContentConfig, {})
    assert isinstance(again, BehaviourContent)
    np.testing.assert_array_equal(again.score(dataset.queries()), model.score(dataset.queries()))


def test_a_score_is_the_behaviour_part_plus_the_content_part_worked_by_hand() -> None:
    rng = np.random.default_rng(5)
    labels = [["a"], ["a", "b"], ["b"], ["c"], ["c", "b"], ["a"]]
    data = world(rng.integers(0, 6, (30, 4)).tolist(), labels, ["CN", "FR"] * 15)
    model = fitted(data, decay=0.5, half_life_days=2, history_length=3, steps=50)
    half = np.sqrt(0.5)
    content = np.array(  # Labels a, b and c, and whether they are missing.
        [[1, 0, 0, 0], [half, half, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, half, half, 0], [1, 0, 0, 0]]
    )
    history = Interactions(  # Item 0 is too old to count, and item 3 was disliked.
        np.array([0, 5]),
        np.array([0, 2, 4, 3, 1], np.int32),
        np.array([1, 4, 6, 7, 8]) * 86_400,
        np.array([1, 1, 2, 0, 1], np.float32),
    )
    query = Queries(history, np.array([-1], np.int32), history.end_times, pl.DataFrame({"country": [["FR"]]}))
    profile = content[1] + 2 * 0.5 * 0.5 * content[4] + 0.5**2 * 0.25 * content[2]
    x = np.concatenate([[1], profile / np.linalg.norm(profile), [0, 1, 0]])
    expected = [model.theta[item] @ x + content[item] @ model.phi @ x for item in range(6)]
    assert np.abs(model.theta[:, 1:]).max() > 0.01
    assert np.abs(model.phi).max() > 0.01
    np.testing.assert_allclose(model.score(query)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_likelihood_of_the_training_choices_rises_above_that_of_the_model_that_made_them() -> None:
    data, logits = simulated(1000, np.random.default_rng(6))
    first, second = data.interactions.item_rows.reshape(-1, 2).T
    seconds = Queries.of(Interactions.of(Ragged.of(first[:, None])))
    found = []
    for steps in (1, 20, 400):
        model = fitted(data, l2_behaviour=0.01, l2_content=0.01, steps=steps)
        found.append(log_softmax(model.score(seconds), axis=1)[np.arange(1000), second].mean())
    assert found[1] - found[0] > 0.01
    assert found[2] - found[1] > 0.01
    assert found[2] > log_softmax(logits, axis=1)[first, second].mean()


def test_the_behaviour_part_tells_items_of_equal_content_apart() -> None:
    labels = [["a"], ["b"], ["a"], ["a"]]
    scores = [fitted(world([[0, 2], [1, 3]] * 60, labels)).score(after(item))[0] for item in (0, 1)]
    assert scores[0][2] > scores[0][3] + 1
    assert scores[1][3] > scores[1][2] + 1


def test_a_new_item_without_content_is_not_scored() -> None:
    model = fitted(world([[0, 1], [1, 0]] * 10, [["a"], ["b"], ["a"], []]), steps=20)
    np.testing.assert_array_equal(model.score(after(0))[0] == -np.inf, [False, False, False, True])


def test_another_seed_draws_other_items_and_batches() -> None:
    data, _ = simulated(300, np.random.default_rng(7))
    config = BehaviourContentConfig(steps=20, num_negatives=4, batch_size=8)
    weights = [config.build({}).fit(data, RunContext(seed=seed)).weights for seed in (7, 7, 8)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
