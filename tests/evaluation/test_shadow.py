"""The newest events are held back, and established users are asked for them."""

from __future__ import annotations

import numpy as np
import pytest

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.shadow import Shadow, ask, hold_back, time_both
from genre.recommenders.popularity import Popularity, PopularityConfig
from tests.conftest import make_dataset

NEW = np.array([0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1], bool)


def data() -> Dataset:
    log = Interactions.of(
        Ragged.of([[0, 1, 2, 3, 4], [0, 1, 5, 1, 6], [7]]), np.array([1, 2, 3, 8, 9, 1, 2, 3, 7, 10, 11])
    )
    return make_dataset(num_users=3, num_items=9).with_interactions(log)


def held(**changes: object) -> Shadow:
    settings = {"share": 0.6, "established": 3, "most": 10, "repeats": False, "rng": np.random.default_rng(0)}
    return hold_back(data(), NEW, **(settings | changes))  # type: ignore[arg-type]


def test_the_newest_are_held_back_and_asked_of_those_who_were_there() -> None:
    found = held()
    assert np.flatnonzero(found.held).tolist() == [4, 9, 10]
    assert found.questions.queries.user_rows.tolist() == [0, 1]
    assert [list(found.questions.queries.history.items[row]) for row in (0, 1)] == [[0, 1, 2, 3], [0, 1, 5, 1]]
    assert [list(found.questions.targets[row]) for row in (0, 1)] == [[4], [6]]
    assert found.questions.queries.times.tolist() == [9, 10]
    assert found.audience.user_rows.tolist() == [0, 1]
    assert [list(found.audience.history.items[row]) for row in (0, 1)] == [[0, 1, 2, 3], [0, 1, 5, 1]]
    assert found.backing.tolist() == [0, 0.5, 0, 0.5, 0.5, 0, 0.5, 0, 0], "the newcomer's like of 7 counts for nothing"
    assert (found.newcomers.tolist(), found.num_newcomers) == ([0, 0, 0, 0, 0, 0, 0, 1, 0], 1)
    few = held(established=4)
    assert few.newcomers[[1, 3, 4, 6, 7]].tolist() == [1 / 3] * 5
    assert few.num_newcomers == 3


def test_who_counts_how_many_and_what_can_be_asked_for() -> None:
    assert held(established=0).questions.queries.user_rows.tolist() == [0, 1, 2]
    assert len(held(established=4).questions) == 0
    assert len(held(most=1).questions) == 1
    again = held(share=1.0, repeats=True)
    assert [list(again.questions.targets[row]) for row in (0, 1)] == [[3, 4], [1, 6]]
    assert [list(held(share=1.0).questions.targets[row]) for row in (0, 1)] == [[3, 4], [6]]


def test_a_model_is_asked_and_timed() -> None:
    model = PopularityConfig().build({}).fit(data(), RunContext())
    questions = held().questions
    found = ask(model, held(), 9, EvaluationConfig(ks=(2,), primary="NDCG@2"))
    answer = model.recommend(questions.queries, 9).item_rows
    assert answer[0, 0] == 1
    # Seen items are hidden; of the others all have one like, so that the lower rows come first.
    assert found.accuracy.tolist() == pytest.approx([1.0, 0.0])
    assert (found.shown.sum(), found.lists) == (4, 2)
    assert (found.unsound, found.empty) == (0, 0)
    first, second = time_both(model, model, questions, EvaluationConfig())
    assert 0 < first < 1
    assert 0 < second < 1


def test_scores_that_are_no_numbers_are_found() -> None:
    model = PopularityConfig().build({}).fit(data(), RunContext())
    assert isinstance(model, Popularity)
    model.scores[4] = np.nan
    assert ask(model, held(), 9, EvaluationConfig()).unsound == 2
    model.scores[:] = -np.inf
    nothing = ask(model, held(), 9, EvaluationConfig())
    assert (nothing.empty, nothing.shown.sum()) == (2, 0)
