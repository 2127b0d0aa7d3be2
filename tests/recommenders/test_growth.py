from __future__ import annotations

import numpy as np

from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.data.growth import extended
from genre.recommenders.base import Scorer, Similar
from genre.recommenders.ease import EaseConfig
from genre.recommenders.growth import Unaware, UnawareScorer, grown


def longer(dataset: Dataset) -> UnawareScorer:
    model = EaseConfig(regularization=10).build({}).fit(dataset, RunContext())
    items = extended(dataset.items, [{"item_id": "new"}])
    found = grown(model, items, dataset.num_items, RunContext())
    assert isinstance(found, UnawareScorer)
    return found


def test_what_is_new_is_neither_read_nor_scored(dataset: Dataset) -> None:
    new = dataset.num_items
    model = longer(dataset)
    with_new, without = (Queries.of(Interactions.of(Ragged.of([row]))) for row in ([1, new, 2], [1, 2]))
    np.testing.assert_array_equal(model.score(with_new), model.score(without))
    assert model.score(with_new)[0, new] == -np.inf
    candidates = Candidates(
        allowed=np.arange(new + 1) >= 3, excluded=Ragged.of([[3, new]]), only=Ragged.of([[0, 3, 4, 5, new]])
    )
    answer = model.recommend(with_new, 4, candidates=candidates)
    assert set(answer.item_rows[0].tolist()) == {4, 5, NO_ITEM}


def test_similarity_to_and_from_a_new_item_is_none(dataset: Dataset) -> None:
    model = longer(dataset)
    assert isinstance(model, Similar)
    assert isinstance(model, Scorer)
    found = model.similar(np.array([0, dataset.num_items]))
    assert np.isfinite(found[0]).any()
    assert found[0, -1] == -np.inf
    assert (found[1] == -np.inf).all()


def test_a_catalogue_may_grow_again(dataset: Dataset) -> None:
    model = longer(dataset)
    items = extended(extended(dataset.items, [{"item_id": "new"}]), [{"item_id": "newer"}])
    again = grown(model, items, dataset.num_items + 1, RunContext())
    assert isinstance(again, Unaware)
    assert again.num_known == dataset.num_items
    assert again.recommend(dataset.queries(), 3).item_rows.max() < dataset.num_items
