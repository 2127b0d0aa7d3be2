"""New events take the place of their time, and nothing that was there moves."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre.core.errors import ConfigError, DataError
from genre.data.appending import appended
from genre.data.build import build_dataset
from genre.data.dataset import Dataset
from genre.data.feedback import DAY, LEAST_DECAY, FeedbackConfig
from genre.data.tables import Tables

ITEMS = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["one", "two", "three"]})


def built(rows: list[tuple[str, str, int]], feedback: FeedbackConfig | None = None) -> Dataset:
    return build_dataset(Tables(logged(rows), ITEMS), feedback)


def logged(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}, orient="row")


def histories(data: Dataset) -> dict[str, list[tuple[str, int]]]:
    log, ids = data.interactions, data.items.vocabulary.ids
    return {
        user: [(ids[int(item)], int(time)) for item, time in zip(part.item_rows, part.timestamps, strict=True)]
        for row, user in enumerate(data.users.vocabulary.ids)
        for part in [log.take(np.array([row]))]
    }


def test_events_stand_where_their_times_are_and_new_users_behind() -> None:
    data = built([("ann", "a", 10), ("ann", "b", 20), ("bob", "a", 5)])
    events = pl.DataFrame(
        {"user_id": ["zoe", "ann", "ann", "bob"], "item_id": ["c", "c", "b", "x"], "timestamp": [7.9, 15.0, 20.0, 30.0]}
    )
    found = appended(data, events)
    assert histories(found.data) == {
        "ann": [("a", 10), ("c", 15), ("b", 20)],
        "bob": [("a", 5)],
        "zoe": [("c", 7)],
    }
    assert found.new.tolist() == [False, True, False, False, True]
    assert found.account() == {"added": 2, "known": 1, "of_unknown_items": 1, "of_unknown_kinds": 0}
    assert histories(data)["ann"] == [("a", 10), ("b", 20)], "the old data set has changed"


def test_new_items_join_and_known_ones_are_left_alone() -> None:
    data = built([("ann", "a", 10)])
    rows = [{"item_id": "a", "title": "another"}, {"item_id": "new", "title": "four"}]
    found = appended(data, pl.DataFrame({"user_id": ["ann"], "item_id": ["new"], "timestamp": [11]}), items=rows).data
    assert found.items.title.to_list() == ["one", "two", "three", "four"]
    assert histories(found)["ann"] == [("a", 10), ("new", 11)]


def test_weights_are_those_of_the_feedback_and_unknown_kinds_are_left_out() -> None:
    data = built([("ann", "a", 10)])
    events = pl.DataFrame(
        {"user_id": "ann", "item_id": ["b", "c", "a", "b"], "timestamp": [11, 12, 13, 14]}
    ).with_columns(pl.Series("event", ["view", "hide", "typo", None]))
    found = appended(data, events, FeedbackConfig(events={"view": 0.5, "hide": 0}))
    assert found.data.interactions.weights.tolist() == [1, 0.5, 0]
    assert found.of_unknown_kinds == 2
    rated = pl.DataFrame({"user_id": ["ann"], "item_id": ["b"], "timestamp": [11], "value": [2.0]})
    assert appended(data, rated, FeedbackConfig(like_at=3)).data.interactions.weights.tolist() == [1, 0]
    with pytest.raises(ConfigError, match="needs a column `value`"):
        appended(data, events, FeedbackConfig(like_at=3))


def test_users_are_hashed_as_the_data_was() -> None:
    data = built([("ANN", "a", 10)])
    events = pl.DataFrame({"user_id": ["ann"], "item_id": ["b"], "timestamp": [11]})
    assert list(histories(appended(data, events, pseudonym=str.upper).data)) == ["ANN"]


def test_without_times_events_go_to_the_end_and_none_counts_as_known() -> None:
    data = build_dataset(Tables(pl.DataFrame({"user_id": ["ann"] * 2, "item_id": ["b", "a"]}), ITEMS))
    found = appended(data, pl.DataFrame({"user_id": ["ann"] * 2, "item_id": ["a", "c"]}))
    assert [item for item, _ in histories(found.data)["ann"]] == ["b", "a", "a", "c"]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ({"user_id": ["ann"]}, "no column `item_id`"),
        ({"user_id": ["ann", None], "item_id": ["a", "a"]}, "`user_id` is missing in 1 of 2"),
        ({"user_id": ["ann"], "item_id": ["a"], "timestamp": ["noon"]}, "column `timestamp`"),
    ],
)
def test_what_cannot_be_used_is_told(events: dict[str, list[object]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        appended(built([("ann", "a", 10)]), pl.DataFrame(events))


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cem", "dag"]), st.sampled_from("abcx"), st.integers(1, 9)), max_size=12
)


@settings(max_examples=60)
@given(old=EVENTS.filter(lambda rows: any(item != "x" for _, item, _ in rows)), new=EVENTS)
def test_the_same_as_building_from_all_events(old: list[tuple[str, str, int]], new: list[tuple[str, str, int]]) -> None:
    old = list(dict.fromkeys(row for row in old if row[1] != "x"))
    data = built(old)
    frame = logged(new)
    found = appended(data, frame)
    kept = list(dict.fromkeys(row for row in new if row[1] != "x" and row not in old))
    assert histories(found.data) == histories(built([*old, *kept]))
    assert found.account() == {
        "added": len(kept),
        "known": sum(row[1] != "x" for row in new) - len(kept),
        "of_unknown_items": sum(row[1] == "x" for row in new),
        "of_unknown_kinds": 0,
    }
    rest = found.data.interactions.where(~found.new)
    np.testing.assert_array_equal(rest.item_rows, data.interactions.item_rows)
    again = appended(found.data, frame)
    assert again.data.fingerprint() == found.data.fingerprint(), "the same events count twice"


FADING = FeedbackConfig(half_life=10)


def test_old_events_fade_as_new_ones_come_and_late_ones_come_faded() -> None:
    data = built([("ann", "a", 1 * DAY), ("bob", "b", 21 * DAY)], FADING)
    assert data.interactions.weights.tolist() == [0.25, 1]
    later = appended(data, logged([("ann", "c", 51 * DAY), ("bob", "c", 11 * DAY)]), FADING).data
    assert [item for item, _ in histories(later)["bob"]] == ["c", "b"]
    assert later.interactions.weights.tolist() == [2.0**-5, 1, 2.0**-4, 2.0**-3]
    assert data.interactions.weights.tolist() == [0.25, 1], "the old data set has changed"
    late = appended(data, logged([("ann", "c", 11 * DAY)]), FADING).data
    assert late.interactions.weights.tolist() == [0.25, 0.5, 1], "nothing is newer than before"
    timeless = pl.DataFrame({"user_id": ["ann"] * 2, "item_id": ["b", "c"], "timestamp": [None, 31 * DAY]})
    assert appended(data, timeless, FADING).data.interactions.weights.tolist() == [0.125, 0.5, 1, 0.5]


def test_two_batches_a_hundred_days_apart() -> None:
    data = built([("ann", "a", DAY)], FADING)
    found = appended(data, logged([("ann", "b", 101 * DAY)]), FADING).data
    assert found.interactions.weights.tolist() == [LEAST_DECAY, 1]
    for day in range(200, 2000, 100):
        found = appended(found, logged([("ann", "c", (1 + day) * DAY)]), FADING).data
    assert found.interactions.weights.tolist() == [LEAST_DECAY] * 19 + [1], "what cannot fade more goes on fading"


def test_events_without_a_time_fade_as_the_oldest() -> None:
    log = pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["a", "b"], "timestamp": [None, 11 * DAY]})
    data = build_dataset(Tables(log, ITEMS), FADING)
    found = appended(data, logged([("bob", "c", 21 * DAY)]), FADING).data
    assert (data.interactions.weights.tolist(), found.interactions.weights.tolist()) == ([1, 1], [0.5, 0.5, 1])


def test_a_like_next_to_nothing_stays_one() -> None:
    config = FeedbackConfig(events={"view": 1e-38, "hide": 0}, half_life=1)
    log = logged([("ann", "a", 1), ("ann", "b", 1)]).with_columns(event=pl.Series(["view", "hide"]))
    data = build_dataset(Tables(log, ITEMS), config)
    new = logged([("ann", "c", 100 * DAY)]).with_columns(event=pl.lit("view"))
    assert (appended(data, new, config).data.interactions.weights > 0).tolist() == [True, False, True]


BATCHES = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["ann", "bob", "cem"]), st.sampled_from("abc"), st.integers(0, 300)), max_size=5
    ),
    min_size=2,
    max_size=5,
).filter(lambda batches: bool(batches[0]))


@settings(max_examples=60)
@given(batches=BATCHES, half_life=st.sampled_from([3.0, 40.0]))
def test_batches_weigh_the_same_as_all_at_once(batches: list[list[tuple[str, str, int]]], half_life: float) -> None:
    config = FeedbackConfig(half_life=half_life)
    batches = [[(user, item, 1 + day * DAY) for user, item, day in rows] for rows in batches]
    data = built(list(dict.fromkeys(batches[0])), config)
    for rows in batches[1:]:
        data = appended(data, logged(rows), config).data
    whole = built(list(dict.fromkeys(row for rows in batches for row in rows)), config)
    assert histories(data) == histories(whole)
    np.testing.assert_allclose(data.interactions.weights, whole.interactions.weights, rtol=1e-5)
