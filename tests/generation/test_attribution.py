"""Which events raise an item, against the same worked out one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import Candidates, Queries, Recommendations
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.core.topn import top_n
from genre.data.dataset import Dataset
from genre.generation.attribution import attribute
from genre.recommenders.graph import GraphConfig
from genre.recommenders.item_knn import ItemKnnConfig

WEIGHTS = np.array([[0, 0, 3, 1, 0], [0, 0, -1, 2, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 2, 2, 0]], np.float32)


class Linear:
    """Scores are sums of weights of the history's items."""

    def score(self, queries: Queries) -> NDArray[np.float32]:
        found = np.zeros((len(queries), 5), np.float32)
        for row in range(len(queries)):
            found[row] = WEIGHTS[queries.history.items[row]].sum(0)
        return found


class Listing:
    """The same, by a list alone."""

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        scores = Linear().score(queries)
        (candidates or Candidates()).hide(scores)
        scores[scores <= 0] = -np.inf
        answer = Recommendations.empty(len(queries), min(n, 5))
        answer.item_rows[:], answer.scores[:] = top_n(scores, answer.n)
        return answer


def query(*items: int) -> Queries:
    return Queries.of(Interactions.of(Ragged.of([list(items)]), np.arange(len(items))))


@pytest.mark.parametrize("model", [Linear(), Listing()])
def test_attribution_by_hand(model: object) -> None:
    asked = query(0, 1, 4)
    seen = Candidates(excluded=asked.history.items)
    found = attribute(model, asked, 2, seen)  # type: ignore[arg-type]
    assert (found.score, found.rank) == (4.0, 2.0)
    assert found.places.tolist() == [0, 1, 2]
    assert found.drops.tolist() == [3.0, -1.0, 2.0]
    assert found.ranks.tolist() == [2.0, 1.0, 2.0]
    assert found.best_first.tolist() == [0, 2]


def test_an_item_that_is_no_answer_was_raised_by_nothing() -> None:
    asked = query(0, 1)
    found = attribute(Linear(), asked, 2, Candidates(allowed=np.array([True, True, False, True, True])))  # type: ignore[arg-type]
    assert found.rank == np.inf
    assert found.drops.tolist() == [0.0, 0.0]
    assert found.best_first.tolist() == []


def test_an_empty_history_has_nothing_to_leave_out() -> None:
    found = attribute(Linear(), query(), 3, Candidates())  # type: ignore[arg-type]
    assert (found.score, len(found.places), found.best_first.tolist()) == (0.0, 0, [])


@pytest.mark.parametrize("config", [ItemKnnConfig(), GraphConfig()])
def test_it_is_what_the_model_says_without_each_event(config: ItemKnnConfig | GraphConfig, dataset: Dataset) -> None:
    model = config.build({}).fit(dataset, RunContext())
    asked = dataset.queries(np.array([3]))
    candidates = Candidates(excluded=asked.history.items)
    item = int(model.recommend(asked, 3, candidates=candidates).item_rows[0, 2])
    found = attribute(model, asked, item, candidates)
    assert found.rank == 3
    for at, place in enumerate(found.places):
        kept = asked.history.item_rows != asked.history.item_rows[place]
        without = model.score(replace(asked, history=asked.history.where(kept)))
        assert found.score - found.drops[at] == pytest.approx(float(without[0, item]), rel=1e-5, abs=1e-7)
        candidates.hide(without)
        own = without[0, item]
        assert found.ranks[at] == 1 + (without[0] > own).sum() + (without[0, :item] == own).sum()
