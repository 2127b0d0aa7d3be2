"""Item-kNN against dense numpy, against the library `implicit`, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from implicit.nearest_neighbours import CosineRecommender
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders import sparse
from genre.recommenders.item_knn import ItemKnn, ItemKnnConfig
from tests.conftest import make_dataset


def fit(data: Dataset, **settings: float) -> ItemKnn:
    return ItemKnnConfig(**settings).build({}).fit(data, RunContext())


def dense_similarity(data: Dataset, shrinkage: float) -> NDArray[np.float64]:
    """Return the shrunk cosines, minus infinity for an item and itself and for items without a common user."""
    likes = data.interactions.to_binary_csr(data.num_items).toarray().astype(np.float64)
    both = likes.T @ likes
    norms = np.linalg.norm(likes, axis=0)
    with np.errstate(invalid="ignore"):
        similarity = np.where(both > 0, both / (np.outer(norms, norms) + shrinkage), -np.inf)
    np.fill_diagonal(similarity, -np.inf)
    return similarity


@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
@pytest.mark.parametrize("k", [1, 5, 1000])
def test_the_k_nearest_by_cosine_are_kept(dataset: Dataset, k: int, shrinkage: float) -> None:
    found = fit(dataset, k=k, shrinkage=shrinkage).similar(np.arange(dataset.num_items))
    expected = dense_similarity(dataset, shrinkage)
    kept = found > -np.inf
    np.testing.assert_allclose(found[kept], expected[kept], rtol=1e-5)
    best = np.sort(expected, axis=1)[:, ::-1][:, :k]
    np.testing.assert_allclose(np.sort(found, axis=1)[:, ::-1][:, :k], best, rtol=1e-5)
    assert kept.sum() == (best > -np.inf).sum()


def test_of_equally_near_items_the_first_are_kept() -> None:
    data = make_dataset(num_users=2, num_items=6).with_interactions(Interactions.of(Ragged.of([[5, 3, 1, 4, 2], [0]])))
    assert fit(data, k=2).similarity[3].indices.tolist() == [1, 2]


def test_many_small_blocks_give_the_same_neighbours(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(dataset, k=5).similarity
    monkeypatch.setattr(sparse, "BLOCK_CELLS", 3 * dataset.num_items)
    assert (fit(dataset, k=5).similarity != whole).nnz == 0


@pytest.mark.filterwarnings("ignore:Method expects CSR input")  # It passes something else to itself.
def test_neighbours_are_as_near_as_those_of_implicit() -> None:
    data = make_dataset(num_users=300, num_items=150, seed=1)
    model = CosineRecommender(K=21, num_threads=1)  # It counts the item itself.
    model.fit(data.interactions.to_binary_csr(data.num_items).astype(np.float64), show_progress=False)
    theirs = model.similarity.toarray()
    np.fill_diagonal(theirs, 0)
    ours = fit(data, k=20, shrinkage=0).similarity.toarray()
    # Equally near items at the edge may differ, their similarities may not.
    np.testing.assert_allclose(np.sort(ours, axis=1), np.sort(theirs, axis=1), rtol=1e-5)


def test_scores_add_up_similarities_and_older_likes_count_less() -> None:
    log = Interactions.of(Ragged.of([[0, 1, 2], [0, 1], [1, 2, 3]]))
    data = make_dataset(num_users=3, num_items=5).with_interactions(log)
    model = fit(data, k=10, shrinkage=0, history_decay=0.5)
    scores = model.score(Queries.of(Interactions.of(Ragged.of([[0, 2], [3], [4], []]))))
    # Likes of items 0 to 3: 2, 3, 2, 1. Common users: (0, 1): 2, (0, 2): 1, (1, 2): 2, (1, 3): 1, (2, 3): 1.
    zero_one, zero_two, one_two = 2 / 6**0.5, 1 / 2, 2 / 6**0.5
    one_three, two_three = 1 / 3**0.5, 1 / 2**0.5
    never = -np.inf
    expected = [
        [zero_two, one_two + 0.5 * zero_one, 0.5 * zero_two, two_three, never],
        [never, one_three, two_three, never, never],
        [never] * 5,
        [never] * 5,
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_dislikes_bring_no_item_near(dataset: Dataset) -> None:
    log = dataset.interactions
    liked = dataset.with_interactions(log.liked())
    assert (fit(dataset).similarity != fit(liked).similarity).nnz == 0
    disliked = Interactions(log.offsets, log.item_rows, log.timestamps, np.zeros_like(log.weights))
    assert not np.isfinite(fit(dataset).score(Queries.of(disliked))).any()
