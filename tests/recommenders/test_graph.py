"""The transition graph by hand, and against counting pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.graph import Graph, GraphConfig
from tests.conftest import make_dataset


def fit(data: Dataset, **settings: float) -> Graph:
    return GraphConfig(**settings).build({}).fit(data, RunContext())


def counted(data: Dataset, config: GraphConfig) -> NDArray[np.float64]:
    """Return the edges, found by looking at every pair of likes of every user."""
    edges = np.zeros((data.num_items, data.num_items))
    likes = data.interactions.liked()
    for user in range(len(likes)):
        items = likes.items[user]
        for late in range(len(items)):
            for early in range(max(0, late - config.max_gap), late):
                weight = config.gap_decay ** (late - early - 1)
                edges[items[early], items[late]] += weight
                edges[items[late], items[early]] += weight * config.reverse_weight
    np.fill_diagonal(edges, 0)
    return edges / np.maximum(edges.sum(axis=1, keepdims=True), 1e-9)


THREE_USERS = Interactions.of(Ragged.of([[0, 1, 2], [1, 0], [3]]))


def test_three_users_by_hand() -> None:
    model = fit(make_dataset(num_users=3, num_items=4).with_interactions(THREE_USERS))
    # Forward: 0 to 1 and 1 to 2 at gap 1, 0 to 2 at gap 2 (0.8), and 1 to 0 of the second user. Backward: half of each.
    edges = np.array([[0, 1 + 0.5, 0.8, 0], [1 + 0.5, 0, 1, 0], [0.4, 0.5, 0, 0], [0, 0, 0, 0]])
    edges[:3] /= edges[:3].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.transitions.toarray(), edges, rtol=1e-6)

    scores = model.score(Queries.of(Interactions.of(Ragged.of([[0, 1], [3], []]))))
    never = -np.inf
    expected = [[edges[1, 0], edges[0, 1] / 2, edges[1, 2] + edges[0, 2] / 2, never], [never] * 4, [never] * 4]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    np.testing.assert_allclose(model.similar(np.array([2])), [[edges[2, 0], edges[2, 1], never, never]], rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_gap": 1},
        {"max_gap": 3, "gap_decay": 0.5, "reverse_weight": 1.0},
        {"reverse_weight": 0.0, "gap_decay": 1.0},
    ],
)
def test_edges_are_those_of_counting_every_pair(dataset: Dataset, settings: dict[str, float]) -> None:
    model = fit(dataset, **settings)
    np.testing.assert_allclose(model.transitions.toarray(), counted(dataset, model.config), rtol=1e-5, atol=1e-8)
    assert model.transitions.data.min() > 0, "an edge of weight 0 is none"


def test_without_going_back_the_order_decides() -> None:
    data = make_dataset(num_users=3, num_items=4).with_interactions(Interactions.of(Ragged.of([[0, 1], [0, 2], [3]])))
    scores = fit(data, reverse_weight=0).score(Queries.of(Interactions.of(Ragged.of([[0], [1]]))))
    np.testing.assert_allclose(scores, [[-np.inf, 0.5, 0.5, -np.inf], [-np.inf] * 4])


def test_an_item_liked_again_does_not_lead_to_itself() -> None:
    data = make_dataset(num_users=1, num_items=4).with_interactions(Interactions.of(Ragged.of([[0, 0, 1, 0]])))
    assert not fit(data).transitions.diagonal().any()


def test_a_dislike_between_two_likes_does_not_part_them() -> None:
    log = Interactions.of(Ragged.of([[0, 3, 1]]))
    log.weights[1] = 0
    data = make_dataset(num_users=1, num_items=4).with_interactions(log)
    assert fit(data, max_gap=1).transitions.nonzero()[1].tolist() == [1, 0]
