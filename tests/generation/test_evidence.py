"""The one event that a reason names is the one that the model would miss most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genre.core.interactions import Interactions
from genre.core.queries import Candidates, Queries, Recommendations, Source
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.generation.evidence import cited
from genre.generation.reasons import Reasons
from genre.recommenders.graph import GraphConfig
from genre.recommenders.item_knn import ItemKnnConfig
from tests.generation.test_attribution import Linear


def answer_of(items: list[list[int]], source: Source = Source.PERSONAL) -> Recommendations:
    found = Recommendations.empty(len(items), max(map(len, items)))
    for row, some in enumerate(items):
        found.item_rows[row, : len(some)], found.sources[row, : len(some)] = some, source
        found.scores[row, : len(some)] = 1.0
    return found


def queries_of(*histories: list[int]) -> Queries:
    return Queries.of(Interactions.of(Ragged.of([*histories])))


def named(queries: Queries) -> list[list[int]]:
    return [queries.history.items[row].tolist() for row in range(len(queries))]


def test_the_event_is_named_without_which_the_item_stands_lowest() -> None:
    # The events of the test model raise item 2 by 3, by -1 and by 2: see test_attribution.
    asked = queries_of([0, 1, 4], [1], [])
    found, one = cited(Linear(), asked, answer_of([[2], [2], [2]]), Candidates())  # type: ignore[arg-type]
    assert named(found) == [[0], [], []]
    assert one.item_rows.tolist() == [[2], [2], [2]]


def test_neither_a_dislike_nor_the_item_itself_is_a_reason() -> None:
    asked = queries_of([0, 4])
    asked = replace(asked, history=replace(asked.history, weights=np.array([0, 1], np.float32)))
    assert named(cited(Linear(), asked, answer_of([[2]]), Candidates())[0]) == [[4]]  # type: ignore[arg-type]
    assert named(cited(Linear(), queries_of([0, 2]), answer_of([[2]]), Candidates())[0]) == [[0]]  # type: ignore[arg-type]


def test_nothing_is_asked_where_nothing_was_answered() -> None:
    found, one = cited(Linear(), queries_of([0]), Recommendations.empty(1, 3), Candidates())  # type: ignore[arg-type]
    assert (len(found), one.item_rows.shape) == (0, (0, 1))


@pytest.mark.parametrize("config", [ItemKnnConfig(), GraphConfig()])
def test_without_the_named_event_an_item_loses_more_than_without_another(
    config: ItemKnnConfig | GraphConfig, dataset: Dataset
) -> None:
    model = config.build({}).fit(dataset, RunContext())
    asked = dataset.queries(np.arange(dataset.num_users))
    seen = Candidates(excluded=asked.history.items)
    answer = model.recommend(asked, 3, candidates=seen)
    found, one = cited(model, asked, answer, seen)
    rows, _ = np.nonzero(answer.filled)
    told, shares = 0, []
    for at, row in enumerate(rows):
        history, item = asked.history.items[row], int(one.item_rows[at, 0])
        losses = {}
        for other in np.unique(history[history != item]):
            kept = history != other
            without = asked.take(np.array([row]))
            scores = model.score(replace(without, history=without.history.where(kept)))
            seen.take(np.array([row])).hide(scores)
            own = scores[0, item]
            losses[int(other)] = int((scores[0] > own).sum() + (scores[0, :item] == own).sum())
        event = found.history.items[at]
        told += len(event)
        shares += [np.mean(np.array(list(losses.values())) <= losses[int(raised)]) for raised in event]
    # Not 1: of an event without which the score rises, though others rise more, nobody says that it raised the item.
    assert np.mean(shares) > 0.95
    assert told > 0.9 * len(rows)


def test_what_is_proven_is_named_even_where_no_fact_links_it(dataset: Dataset) -> None:
    reasons = Reasons(dataset)
    nothing = answer_of([[1]])
    (plain,) = reasons.proven(queries_of([0]), nothing)
    assert plain.because == dataset.items.vocabulary.ids[0]
    (unknown,) = reasons.proven(queries_of([]), nothing)
    assert unknown.because is None
    (popular,) = reasons.proven(queries_of([0]), answer_of([[1]], Source.POPULAR))
    assert popular.because is None
