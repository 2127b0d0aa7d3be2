"""Models that count agree with a fit on all events, whatever comes; networks learn, and remember."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre.core.errors import ModelError
from genre.core.interactions import Interactions
from genre.core.queries import Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.data.sequences import windows_to_learn
from genre.recommenders import item_knn
from genre.recommenders.base import Recommender
from genre.recommenders.boosted import BoostedConfig
from genre.recommenders.ease import EaseConfig
from genre.recommenders.fusion import FusionConfig
from genre.recommenders.graph import GraphConfig
from genre.recommenders.item_knn import ItemKnnConfig
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.updating import updated
from tests.conftest import make_dataset


def data_of(lists: list[list[int]], weights: list[float] | None = None) -> Dataset:
    data = make_dataset(num_users=max(1, len(lists)), num_items=9)
    log = Interactions.of(Ragged.of(lists))
    if weights is not None:
        log = replace(log, weights=np.array(weights, np.float32))
    return data.with_interactions(log)


@st.composite
def logs(draw: st.DrawFn) -> tuple[Dataset, np.ndarray]:
    """Return a log, and which of its events are new, some of them between old ones, some of them dislikes."""
    lists = draw(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=7), min_size=2, max_size=7))
    size = sum(map(len, lists))
    flags = st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0]), min_size=size, max_size=size)
    new = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    return data_of(lists, draw(flags)), np.array(new)


def fitted(config: ItemKnnConfig | GraphConfig | PopularityConfig, data: Dataset) -> Recommender:
    return config.build({}).fit(data, RunContext())


@settings(max_examples=150)
@given(log=logs(), k=st.integers(1, 4), shrinkage=st.sampled_from([0.0, 1.0, 10.0]), most=st.sampled_from([0.5, 2.0]))
@pytest.mark.slow
def test_neighbours_are_exactly_those_of_all_events(
    log: tuple[Dataset, np.ndarray], k: int, shrinkage: float, most: float
) -> None:
    data, new = log
    config = ItemKnnConfig(k=k, shrinkage=shrinkage)
    before = fitted(config, data.with_interactions(data.interactions.where(~new)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_knn, "_MOST", most)
        found, anew = before.update(data, new, RunContext()).similarity, fitted(config, data).similarity
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(found, part), getattr(anew, part))


@settings(max_examples=100)
@given(log=logs(), gap=st.integers(1, 5))
def test_edges_are_those_of_all_events(log: tuple[Dataset, np.ndarray], gap: int) -> None:
    data, new = log
    config = GraphConfig(max_gap=gap)
    before = fitted(config, data.with_interactions(data.interactions.where(~new)))
    found, anew = before.update(data, new, RunContext()), fitted(config, data)
    np.testing.assert_allclose(found.transitions.toarray(), anew.transitions.toarray(), rtol=1e-5, atol=1e-7)
    assert found.transitions.nnz == anew.transitions.nnz
    before.sums = None  # As in a run of an earlier version.
    np.testing.assert_array_equal(
        before.update(data, new, RunContext()).transitions.toarray(), anew.transitions.toarray()
    )


def test_windows_hold_the_new_likes_and_some_old_ones() -> None:
    data = data_of([[0, 1, 2, 3, 4, 5], [6, 7], [8, 0, 1], [3, 4]])
    new = np.zeros(13, bool)
    new[[4, 5, 7]] = True  # 4 and 5 of the first, 7 of the second.
    found = windows_to_learn(data.interactions, new, 2, context=5, replay=0, rng=np.random.default_rng(0))
    assert [list(found.items[row]) for row in range(len(found))] == [[2, 3], [3, 4, 5], [6, 7]]
    short = windows_to_learn(data.interactions, new, 3, context=1, replay=0, rng=np.random.default_rng(0))
    assert [list(short.items[row]) for row in range(len(short))] == [[3, 4, 5], [6, 7]]
    more = windows_to_learn(data.interactions, new, 2, context=5, replay=0.7, rng=np.random.default_rng(0))
    assert len(more) == 5
    old = {(1, 2, 3), (0, 1), (8, 0, 1), (3, 4)}
    assert {tuple(map(int, more.items[row])) for row in (3, 4)} <= old
    nothing = windows_to_learn(
        data.interactions, np.zeros(13, bool), 2, context=5, replay=1, rng=np.random.default_rng(0)
    )
    assert len(nothing) == 0


SMALL = SasrecConfig.model_validate(
    {"embedding_size": 16, "num_blocks": 1, "dropout": 0.0, "length": 5,
     "updating": {"epochs": 30, "learning_rate": 0.01},
     "training": {"epochs": 40, "patience": None, "learning_rate": 0.01, "tracker": "none"}}
)  # fmt: skip


def first(model: Recommender, history: list[int]) -> int:
    return int(model.recommend(Queries.of(Interactions.of(Ragged.of([history]))), 1).item_rows[0, 0])


def test_sasrec_learns_what_comes_next_now_and_remembers_what_came_before() -> None:
    old = [[0, 1], [2, 3]] * 8
    data = data_of(old + [[4, 5]] * 8)
    new = np.repeat([False, True], [32, 16])
    model = SMALL.build({}).fit(data.with_interactions(data.interactions.where(~new)), RunContext())
    assert not model.known[[4, 5]].any()
    found = model.update(data, new, RunContext())
    assert [first(found, [item]) for item in (0, 2, 4)] == [1, 3, 5]
    assert [first(model, [item]) for item in (0, 2)] == [1, 3]
    assert not model.known[[4, 5]].any(), "the old model has learned"
    assert len(found.curve) == 40 + 30
    assert found.update(data, np.zeros(48, bool), RunContext()).recommend(data.queries(), 3).filled.any()


def test_models_that_cannot_learn_on_are_fitted_anew_or_refused() -> None:
    data = make_dataset()
    new = data.interactions.steps_from_end == 0
    before = data.with_interactions(data.interactions.where(~new))
    ease = EaseConfig(regularization=10).build({}).fit(before, RunContext())
    found, how = updated(ease, data, new, RunContext())
    assert how == "fitted anew"
    anew = EaseConfig(regularization=10).build({}).fit(data, RunContext())
    np.testing.assert_array_equal(
        found.recommend(data.queries(), 5).item_rows, anew.recommend(data.queries(), 5).item_rows
    )
    boosted = BoostedConfig(members=("ease",)).build({"ease": ease})
    with pytest.raises(ModelError, match="cannot learn from new events"):
        updated(boosted, data, new, RunContext())


def test_a_fusion_takes_its_updated_members_and_keeps_its_weights() -> None:
    data = make_dataset()
    new = data.interactions.steps_from_end == 0
    before = data.with_interactions(data.interactions.where(~new))
    members = {
        name: config.build({}).fit(before, RunContext())
        for name, config in (("knn", ItemKnnConfig()), ("popularity", PopularityConfig()))
    }
    config = FusionConfig(members=("knn", "popularity"), weights={"knn": 1.0, "popularity": 0.25})
    fusion = config.build(members).fit(before, RunContext())
    found = fusion.update(data, new, RunContext())
    anew = {name: model.config.build({}).fit(data, RunContext()) for name, model in members.items()}
    wanted = config.build(anew).fit(data, RunContext())
    np.testing.assert_allclose(found.score(data.queries()), wanted.score(data.queries()), rtol=1e-5, atol=1e-6)
    given, how = updated(fusion, data, new, RunContext(), anew)
    assert how == "updated"
    assert given.members == list(anew.values())
    assert fusion.members == list(members.values())
