"""Judging a model by lists that another one has shown: questions, estimates and refusals."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genre.core.errors import DataError
from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER, Queries, Recommendations, Source
from genre.data.build import build_dataset
from genre.data.dataset import Dataset
from genre.data.feedback import FeedbackConfig
from genre.data.sample.pages import show
from genre.data.tables import Tables
from genre.evaluation.logged import IMPRESSION, LoggedLists, shown_of_events
from genre.evaluation.off_policy import OffPolicy, judge_policy
from genre.serving.stores import events as stored
from genre.strategies.base import Strategy
from genre.strategies.exploration import Epsilon, ItemClicks, Thompson

POOL, PLACES = 8, 4
NOTICED = (1.0 + np.arange(PLACES)) ** -0.7
APPEAL = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])


def answering(order: list[int]) -> object:
    """Return a model that gives everybody this list."""

    def answer(queries: Queries, n: int) -> Recommendations:
        rows = np.tile(np.array(order, np.int32), (len(queries), 1))
        scores = np.tile(-np.arange(len(order), dtype=np.float32), (len(queries), 1))
        return Recommendations(rows, scores, np.full(rows.shape, Source.PERSONAL, np.int8)).first(n)

    return answer


def lists_of(items: np.ndarray, clicked: np.ndarray, propensities: np.ndarray, people: int = 200) -> LoggedLists:
    count, places = items.shape
    return LoggedLists(
        Queries.of(Interactions.empty(count)),
        np.arange(count) % people,
        np.repeat(np.arange(count), places),
        items.ravel().astype(np.int32),
        np.tile(np.arange(places), count),
        clicked.ravel(),
        propensities.ravel().astype(np.float64),
    )


def explored(count: int, strategy: Strategy | None = None, seed: int = 0) -> LoggedLists:
    """Return lists that a strategy made of the pool 0, 1, 2, ..., clicked by the position-based model."""
    rng = np.random.default_rng(seed)
    pool = answering(list(range(POOL)))(Queries.of(Interactions.empty(count)), POOL)
    shown = (strategy or Epsilon(0.6))(Queries.of(Interactions.empty(count)), pool, rng).first(PLACES)
    assert shown.propensities is not None
    clicked = rng.random(shown.item_rows.shape) < NOTICED * APPEAL[shown.item_rows]
    return lists_of(shown.item_rows, clicked, shown.propensities)


def all_of(found: OffPolicy) -> list[tuple[float, float, float]]:
    one = found.estimates
    assert one.doubly_robust is not None
    return [(i.low, i.mean, i.high) for i in (one.ips, one.snips, one.doubly_robust)]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [7, 6, 5, 4], [3, 0, 7, 1]])
def test_the_click_through_of_another_list_is_found(order: list[int]) -> None:
    truth = float((NOTICED * APPEAL[order]).mean())
    found = judge_policy(explored(6000), answering(order), samples=300)
    for low, mean, high in all_of(found):
        assert mean == pytest.approx(truth, abs=0.03)
        assert low < truth < high
    assert found.num_lists == 6000
    assert found.num_shown == 24_000
    assert 100 < found.estimates.effective_size <= found.num_same


def test_propensities_that_were_counted_do_too() -> None:
    # Some is known of two items, and little of the others.
    clicks = ItemClicks(np.array([4.0, 0, 0, 0, 9, 0, 0, 0]), np.array([9.0, 0, 0, 0, 4, 0, 0, 0]))
    lists = explored(3000, Thompson(clicks, prior=3, samples=1000))
    order = [4, 1, 0, 5]
    truth = float((NOTICED * APPEAL[order]).mean())
    found = judge_policy(lists, answering(order), samples=300, confidence=0.99)
    for low, mean, high in all_of(found):
        assert mean == pytest.approx(truth, abs=0.04)
        assert low < truth < high
    assert found.estimates.mean_weight.mean == pytest.approx(1, abs=0.1)


def test_lists_whose_order_was_drawn_are_judged_by_what_is_in_them() -> None:
    rng = np.random.default_rng(1)
    # Systematic sampling of 2 of 24 items, as in the sample world; one of four items is likelier than the others.
    views = np.tile(np.arange(24) % 4 == 0, (8000, 1)) * 3
    shown, chances = show(np.ones((8000, 24), bool), views, 2, rng)
    appeal = np.linspace(0.1, 0.9, 24)
    clicked = rng.random(shown.shape) < NOTICED[:2] * appeal[shown]
    found = judge_policy(lists_of(shown, clicked, chances), answering([4, 20]), order="shuffled", samples=300)
    truth = float(NOTICED[:2].mean() * appeal[[4, 20]].mean())
    for low, mean, high in all_of(found):
        assert mean == pytest.approx(truth, abs=0.04)
        assert low < truth < high


def test_propensities_of_another_kind_are_noticed() -> None:
    lists = explored(2000)
    lists.propensities[:] = np.minimum(1, lists.propensities * PLACES)
    with pytest.raises(DataError, match=r"weights are 0\.\d+ on average .* 1 is to be expected\. Make sure that each"):
        judge_policy(lists, answering([0, 5, 6, 7]), least=10)


def test_what_cannot_be_judged_is_refused() -> None:
    lists = explored(50)
    few = r"of 200 shown items the model would have shown \d+, which tell as much as .* at least 100 are needed\."
    with pytest.raises(DataError, match=few):
        judge_policy(lists, answering([7, 6, 5, 4]))
    lists.propensities[:3] = np.nan
    with pytest.raises(DataError, match=r"impressions: 3 of 200 shown items have no propensity\. Serve with"):
        judge_policy(lists, answering([0, 1, 2, 3]))
    lists.propensities[:3] = [0.0, 1.5, 0.5]
    with pytest.raises(DataError, match=r"2 propensities are no probabilities above 0, such as 0"):
        judge_policy(lists, answering([0, 1, 2, 3]))


EVENTS = pl.DataFrame(
    [
        ("u0", "i1", 3e9, "impression", "a", 0, 0.5),
        ("u0", "i2", 3e9, "impression", "a", 1, 0.25),
        ("u0", "i2", 3e9 + 5, "click", "a", 1, None),
        ("u0", "i2", 3e9 + 9, "hide", "a", None, None),
        ("u0", "i1", 3e9 + 9, "hide", "a", None, None),
        ("u0", "i9", 3e9 + 10, "click", None, None, None),
        ("new", "i3", 3e9 + 20, "impression", "b", None, 0.5),
        ("new", "gone", 3e9 + 20, "impression", "b", None, 0.5),
        ("new", "i3", 3e9 + 21, None, "b", None, None),
        ("u0", "i4", 3e9 + 30, "impression", "c", 0, 0.5),
        ("u0", "i4", 3e9 + 30, "impression", "c", 0, 0.5),
        ("new", "i5", 3e9 + 40, "impression", "d", 0, 0.5),
        ("u1", "i0", 1.6e9, "impression", "old", 0, 0.5),
    ],
    schema=["user_id", "item_id", "timestamp", "event", "list_id", "position", "propensity"],
    orient="row",
)


def test_clicks_are_found_by_list_and_item() -> None:
    shown = shown_of_events(EVENTS, clicks=["click"])
    assert shown.select("list_id", "item_id", "position", "clicked").rows() == [
        ("a", "i1", 0, False),
        ("a", "i2", 1, True),
        ("b", "i3", 0, False),
        ("b", "gone", 1, False),
        ("c", "i4", 0, False),
        ("d", "i5", 0, False),
        ("old", "i0", 0, False),
    ]
    assert shown_of_events(EVENTS)["clicked"].to_list() == [True, True, True, False, False, False, False]
    assert IMPRESSION == stored.IMPRESSION


def test_a_data_set_can_be_built_of_what_a_service_showed() -> None:
    tables = Tables(EVENTS.filter(pl.col("event") == "click").with_columns(pl.col("timestamp").cast(pl.Int64)),
                    impressions=shown_of_events(EVENTS, ["click"]))  # fmt: skip
    shown = build_dataset(tables).impressions
    assert shown is not None
    assert shown.timestamps.dtype == np.int64
    assert shown.clicked.sum() == 1
    assert shown.propensities.tolist() == [0.5, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert shown.positions.tolist() == [0, 1, 0, 1, 0, 0, 0]


def test_lists_are_asked_with_what_was_known_before(dataset: Dataset) -> None:
    lists = LoggedLists.of(dataset, shown_of_events(EVENTS), EVENTS)
    assert lists.num_learned == 1, "the list from before the data's end"
    assert lists.queries.user_rows.tolist() == [0, UNKNOWN_USER, 0, UNKNOWN_USER]
    assert lists.people.tolist() == [0, 1, 0, 1]
    assert lists.lists.tolist() == [0, 0, 1, 1, 2, 3]
    assert lists.item_rows.tolist() == [1, 2, 3, -1, 4, 5]
    before = dataset.interactions.take(np.array([0])).item_rows.tolist()
    history = lists.queries.history.items
    assert history[0].tolist() == before
    assert history[1].tolist() == []
    assert history[2].tolist() == [*before, 2, 2, 1, 9]
    assert history[3].tolist() == [3]
    assert lists.queries.times.tolist() == [3_000_000_000, 3_000_000_020, 3_000_000_030, 3_000_000_040]


def test_events_of_a_service_have_the_weights_of_their_types(dataset: Dataset) -> None:
    feedback = FeedbackConfig(events={"click": 2, "hide": 0})
    lists = LoggedLists.of(dataset, shown_of_events(EVENTS), EVENTS, feedback=feedback)
    assert lists.queries.history.take(np.array([2])).weights[-4:].tolist() == [2, 0, 0, 2]
    assert lists.queries.history.items[3].tolist() == [], "an event without a type has no weight"


def test_earlier_lists_count_only_on_demand(dataset: Dataset) -> None:
    old = shown_of_events(EVENTS.filter(pl.col("list_id") == "old"))
    with pytest.raises(DataError, match="all 1 lists were shown before the newest event of the model's data"):
        LoggedLists.of(dataset, old)
    lists = LoggedLists.of(dataset, old, also_learned=True)
    assert (lists.queries.history.timestamps < 1.6e9).all()
    with pytest.raises(DataError, match="nothing was shown"):
        LoggedLists.of(dataset, old.clear())


def test_people_are_found_under_their_pseudonyms(dataset: Dataset) -> None:
    shown = shown_of_events(EVENTS).with_columns(user_id=pl.col("user_id").replace("u0", "clear name"))
    lists = LoggedLists.of(dataset, shown, pseudonym=lambda name: "u0" if name == "clear name" else "nobody")
    assert lists.queries.user_rows.tolist() == [0, UNKNOWN_USER, 0, UNKNOWN_USER]
