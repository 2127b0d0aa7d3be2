"""The strategies that act on a ranked list: caps, diversity, and the fallback."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Queries, Recommendations, Source
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.ease import EaseConfig
from genre.recommenders.popularity import PopularityConfig
from genre.strategies.caps import Cap, CapConfig
from genre.strategies.diversity import Diversify, DiversifyConfig
from genre.strategies.fallback import fill

RNG = np.random.default_rng(0)


def ranked(*rows: list[int]) -> Recommendations:
    items = np.array(rows, np.int32)
    scores = np.where(items == NO_ITEM, -np.inf, -np.arange(items.shape[1], dtype=np.float32)).astype(np.float32)
    sources = np.where(items == NO_ITEM, Source.NONE, Source.PERSONAL).astype(np.int8)
    return Recommendations(items, scores, sources)


def nobody(count: int = 1) -> Queries:
    return Queries.of(Interactions.empty(count))


def test_cap_leaves_out_what_exceeds_the_limit() -> None:
    cap = Cap([["a"], ["a", "b"], ["b"], ["a"], None, "c"], most=1)
    answer = cap(nobody(2), ranked([0, 1, 2, 3, 4, 5], [1, 2, 5, NO_ITEM, NO_ITEM, NO_ITEM]), RNG)
    assert answer.item_rows.tolist() == [[0, 2, 4, 5, -1, -1], [1, 5, -1, -1, -1, -1]]


def test_cap_reads_label_lists_and_plain_columns(dataset: Dataset) -> None:
    by_genre = CapConfig(column="genres", most=1).build(dataset)
    assert by_genre(nobody(), ranked([0, 4, 1, 5, 2]), RNG).item_rows.tolist() == [[0, 1, 2, -1, -1]]
    by_price = CapConfig(column="price", most=1).build(dataset)  # Items 1 and 8 cost the same.
    assert by_price(nobody(), ranked([1, 8, 2]), RNG).item_rows.tolist() == [[1, 2, -1]]


def test_diversify_follows_the_formula() -> None:
    features = sparse.csr_matrix(np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32))
    # Relevance 1, .75, .5, .25. After item 0: item 1 has .375 - .5, item 2 has .25 - 0, item 3 has .125 - .3.
    # After items 0 and 2: item 1 still -.125, item 3 now .125 - .4.
    answer = Diversify(features, strength=0.5)(nobody(), ranked([0, 1, 2, 3]), RNG)
    assert answer.item_rows.tolist() == [[0, 2, 1, 3]]


def test_diversify_of_strength_zero_keeps_the_order_and_empty_places_last() -> None:
    features = sparse.csr_matrix(np.eye(4, dtype=np.float32))
    answer = Diversify(features, strength=0.0)(nobody(), ranked([3, 1, 0, NO_ITEM]), RNG)
    assert answer.item_rows.tolist() == [[3, 1, 0, NO_ITEM]]
    full = Diversify(features, strength=1.0)(nobody(), ranked([3, NO_ITEM, 0, NO_ITEM]), RNG)
    assert full.item_rows[0, 2:].tolist() == [NO_ITEM, NO_ITEM]


def test_diversify_mixes_genres_of_a_catalogue(dataset: Dataset) -> None:
    one_genre_first = ranked([0, 4, 8, 12, 1, 5, 2, 3])
    answer = DiversifyConfig(strength=0.9).build(dataset)(nobody(), one_genre_first, RNG)
    assert {row % 4 for row in answer.item_rows[0, :4]} == {0, 1, 2, 3}


def test_fallback_fills_what_is_empty_and_names_its_source(dataset: Dataset) -> None:
    popularity = PopularityConfig().build({}).fit(dataset, RunContext())
    answer = fill(nobody(2), ranked([7, NO_ITEM, NO_ITEM], [7, 8, 9]), [popularity], Candidates())
    best = popularity.recommend(nobody(), 3).item_rows[0]
    expected = [7, *[item for item in best if item != 7][:2]]
    assert answer.item_rows.tolist() == [expected, [7, 8, 9]]
    assert answer.sources[0].tolist() == [Source.PERSONAL, Source.POPULAR, Source.POPULAR]


def test_fallback_obeys_the_candidates_and_goes_down_the_chain(dataset: Dataset) -> None:
    ease = EaseConfig(regularization=10).build({}).fit(dataset, RunContext())
    popularity = PopularityConfig().build({}).fit(dataset, RunContext())
    queries = dataset.queries(np.arange(3))
    candidates = Candidates(allowed=np.arange(dataset.num_items) < 6).without(queries.history.items)
    empty = Recommendations.empty(3, 4)
    answer = fill(queries, empty, [ease, popularity], candidates)
    assert not empty.filled.any(), "what was given must not change"
    for row in range(3):
        items = answer.item_rows[row][answer.filled[row]]
        assert len(items) == len(set(items)) == min(4, 6 - len(set(queries.history.items[row]) & set(range(6))))
        assert set(items) <= set(range(6)) - set(queries.history.items[row])


@pytest.mark.parametrize("n", [0, 3])
def test_an_empty_chain_changes_nothing(n: int) -> None:
    empty = Recommendations.empty(2, n)
    assert fill(nobody(2), empty, [], Candidates()) is empty
