"""User-kNN against dense numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.user_knn import UserKnn, UserKnnConfig
from tests.conftest import make_dataset


def fit(data: Dataset, **settings: float) -> UserKnn:
    return UserKnnConfig(**settings).build({}).fit(data, RunContext())


def dense_scores(data: Dataset, queries: Queries, k: int, decay: float) -> NDArray[np.float64]:
    likes = data.interactions.to_binary_csr(data.num_items).toarray().astype(np.float64)
    scores = np.full((len(queries), data.num_items), -np.inf)
    for row in range(len(queries)):
        asked = np.zeros(data.num_items)
        for age, item in enumerate(queries.history.liked().items[row][::-1]):
            asked[item] += decay**age
        with np.errstate(invalid="ignore"):
            cosine = np.nan_to_num(likes @ asked / (np.linalg.norm(likes, axis=1) * np.linalg.norm(asked)))
        if queries.user_rows[row] >= 0:
            cosine[queries.user_rows[row]] = 0
        nearest = sorted(np.flatnonzero(cosine), key=lambda user: (-round(cosine[user], 6), user))[:k]
        liked = likes[nearest].any(axis=0)
        scores[row, liked] = (cosine[nearest] @ likes[nearest])[liked]
    return scores


@pytest.mark.parametrize("decay", [1.0, 0.7])
@pytest.mark.parametrize("k", [1, 7, 1000])
def test_scores_add_up_the_cosines_of_the_nearest_users(dataset: Dataset, k: int, decay: float) -> None:
    model = fit(dataset, k=k, history_decay=decay)
    known = dataset.queries()
    unknown = Queries.of(known.history)
    for queries in (known, unknown):
        np.testing.assert_allclose(model.score(queries), dense_scores(dataset, queries, k, decay), rtol=1e-4)


def test_who_asks_is_no_neighbour_of_their_own() -> None:
    log = Interactions.of(Ragged.of([[0, 1], [1, 2], [3]]))
    data = make_dataset(num_users=3, num_items=4).with_interactions(log)
    model = fit(data, k=1, history_decay=1)
    first = np.array([0])
    never = -np.inf
    np.testing.assert_allclose(model.score(data.queries(first)), [[never, 0.5, 0.5, never]], rtol=1e-6)
    np.testing.assert_allclose(model.score(Queries.of(log.take(first))), [[1, 1, never, never]], rtol=1e-6)


def test_a_history_that_shares_no_like_has_no_neighbours(dataset: Dataset) -> None:
    model = fit(dataset)
    untouched = dataset.num_items - 1
    scores = model.score(Queries.of(Interactions.of(Ragged.of([[untouched], []]))))
    assert (scores == -np.inf).all()
