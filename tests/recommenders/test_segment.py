"""Popularity by segment: two kinds of users, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from genre.core.interactions import Interactions
from genre.core.queries import Queries, Source
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.segment import DAY, Segment, SegmentConfig
from tests.conftest import make_dataset

NEVER = -np.inf
LISTS = [[0, 1], [0, 1, 2], [1, 2], [3, 4], [3, 4], [4, 5, 3]]
"""Three users like items 0 to 2, three others 3 to 5; nobody likes 6."""


def two_kinds() -> Dataset:
    ages = np.array([10, 0, 10, 10, 0, 10, 0, 0, 0, 0, 0, 10, 10, 0])
    times = (1_700_000_000 - ages * DAY).astype(np.int64)
    return make_dataset(num_users=6, num_items=7).with_interactions(Interactions.of(Ragged.of(LISTS), times))


def fit(data: Dataset, **settings: float | None) -> Segment:
    return SegmentConfig(**settings).build({}).fit(data, RunContext())


def ask(model: Segment, *histories: list[int]) -> np.ndarray:
    return model.score(Queries.of(Interactions.of(Ragged.of(histories))))


def test_a_query_gets_what_its_kind_of_users_likes() -> None:
    model = fit(two_kinds(), num_segments=2, half_life_days=None)
    first, second = [2, 3, 2, NEVER, NEVER, NEVER, NEVER], [NEVER, NEVER, NEVER, 3, 3, 1, NEVER]
    np.testing.assert_allclose(ask(model, [0], [2, 1], [5], [3, 4]), [first, first, second, second])


def test_recent_likes_count_more() -> None:
    model = fit(two_kinds(), num_segments=2, half_life_days=10)
    # Item 0 was liked 10 days ago twice; item 1 now, now and 10 days ago; item 2 10 days ago and now.
    expected = np.zeros(7)
    ages = [(0, 10), (1, 0), (0, 10), (1, 10), (2, 0), (1, 10), (2, 0)]
    for item, age in ages:
        expected[item] += 0.5 ** (age / 10)
    expected[3:] = NEVER
    np.testing.assert_allclose(ask(model, [0])[0], expected, rtol=1e-6)


def test_one_segment_is_popularity(dataset: Dataset) -> None:
    model = fit(dataset, num_segments=1, half_life_days=None)
    counts = dataset.interactions.item_counts(dataset.num_items)
    np.testing.assert_allclose(ask(model, [0])[0], np.where(counts > 0, counts, NEVER), rtol=1e-6)


def test_who_likes_nothing_known_has_no_segment() -> None:
    model = fit(two_kinds(), num_segments=2)
    assert (ask(model, [], [6]) == NEVER).all()
    disliked = Interactions.of(Ragged.of([[0]]))
    disliked.weights[:] = 0
    assert (model.score(Queries.of(disliked)) == NEVER).all()


@pytest.mark.parametrize("num_segments", [3, 100])
def test_no_more_segments_than_different_users(num_segments: int) -> None:
    data = make_dataset(num_users=4, num_items=7).with_interactions(Interactions.of(Ragged.of([[0], [0], [1], []])))
    assert len(fit(data, num_segments=num_segments).centres) == 3


def test_answers_say_that_they_come_from_a_segment() -> None:
    answer = fit(two_kinds(), num_segments=2).recommend(two_kinds().queries(), 7)
    assert answer.filled.sum(axis=1).tolist() == [3] * 6
    assert (answer.sources[answer.filled] == Source.SEGMENT).all()
