"""Reasons that name what the model goes by are told from reasons that only sound good."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from genre.core.interactions import Interactions
from genre.core.queries import Candidates, Queries, Recommendations, Source
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Vocabulary
from genre.generation.attribution import attribute
from genre.generation.faithfulness import Faithfulness, faithfulness
from genre.generation.reasons import Reason, Reasons
from genre.recommenders.item_knn import ItemKnnConfig
from tests.generation.test_attribution import Linear, Listing

IDS = Vocabulary(pl.Series(["a", "b", "c", "d", "e"]))


def answer(*items: int) -> Recommendations:
    found = Recommendations.empty(len(items), 1)
    found.item_rows[:, 0], found.scores[:], found.sources[:] = items, 0.0, Source.PERSONAL
    return found


def judged(histories: list[list[int]], cited: list[str | None], model: object) -> Faithfulness:
    """Item c (row 2) is recommended to everybody; the toy model scores it by 3 for a, -1 for b, 1 for d, 2 for e."""
    items = Ragged.of(histories)
    queries = Queries.of(Interactions.of(items, np.arange(len(items.values))))
    reasons = [[Reason("", name, (), 0, 0)] for name in cited]
    seen = Candidates(excluded=items)
    return faithfulness(
        model, queries, answer(*[2] * len(histories)), reasons, IDS, seen, rng=np.random.default_rng(0), samples=100
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [Linear(), Listing()])
def test_what_raises_the_item_most_costs_most(model: object) -> None:
    found = judged([[0, 3, 4], [3, 0, 4]], ["a", "a"], model)
    assert (found.reasons, found.coverage, found.cases, found.share.mean) == (2, 1, 2, 1)
    assert judged([[0, 3, 4]], ["d"], model).share.mean == 0
    assert judged([[4, 0, 4]], ["a"], model).share.mean == 1  # One event of the other item goes at a time.


def test_reasons_that_cannot_be_tested_are_counted_and_left_out() -> None:
    found = judged([[0, 3], [0], [0, 3]], [None, "a", "a"], Linear())
    assert (found.reasons, found.cases) == (3, 1)
    assert found.coverage == pytest.approx(2 / 3)
    nothing = judged([[0]], [None], Linear())
    assert (nothing.cases, nothing.coverage) == (0, 0)
    assert math.isnan(nothing.share.mean)


def test_equal_costs_are_chance() -> None:
    class Even:
        def score(self, queries: Queries) -> np.ndarray:
            return np.tile(np.float32(queries.history.lengths)[:, None], 5)

    assert judged([[0, 1, 3, 4]], ["a"], Even()).share.mean == 0.5


@pytest.mark.parametrize("name", ["best", "worst"])
def test_the_strongest_and_the_weakest_event_of_a_real_model(name: str, dataset: Dataset) -> None:
    model = ItemKnnConfig().build({}).fit(dataset, RunContext())
    queries = dataset.queries(np.arange(20))
    seen = Candidates(excluded=queries.history.items)
    shown = model.recommend(queries, 1, candidates=seen)
    reasons, ids = [], dataset.items.vocabulary.ids
    for row in range(20):
        one = queries.take(np.array([row]))
        found = attribute(model, one, int(shown.item_rows[row, 0]), seen.take(np.array([row])))
        liked = one.history.weights[found.places] > 0
        order = np.lexsort((-found.drops, -found.ranks, ~liked))
        place = found.places[order[0 if name == "best" else int(liked.sum()) - 1]]
        reasons.append([Reason("", ids[int(one.history.item_rows[place])], (), 0, 0)])
    judge = faithfulness(
        model, queries, shown, reasons, dataset.items.vocabulary, seen, rng=np.random.default_rng(0), samples=100
    )
    assert judge.cases > 10
    assert judge.share.mean > 0.8 if name == "best" else judge.share.mean < 0.3
    again = faithfulness(
        model, queries, shown, reasons, dataset.items.vocabulary, seen, rng=np.random.default_rng(0), samples=100
    )
    assert judge == again


def test_it_takes_reasons_as_they_are_given(dataset: Dataset) -> None:
    model = ItemKnnConfig().build({}).fit(dataset, RunContext())
    queries = dataset.queries()
    seen = Candidates(excluded=queries.history.items)
    shown = model.recommend(queries, 3, candidates=seen)
    reasons = Reasons(dataset).explain(queries, shown)
    found = faithfulness(
        model, queries, shown, reasons, dataset.items.vocabulary, seen, rng=np.random.default_rng(0), samples=100
    )
    assert found.reasons == shown.filled.sum()
    assert 0 < found.coverage <= 1
    assert found.share.low <= found.share.mean <= found.share.high
