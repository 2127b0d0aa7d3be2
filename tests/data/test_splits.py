"""Splits: cases worked out by hand, real data, and mistakes."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from genre.core.errors import ConfigError, DataError
from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER
from genre.core.ragged import offsets_of
from genre.data.dataset import Dataset, Entities, Impressions, Vocabulary
from tests.conftest import make_dataset
from tests.data.logs import NUM_ITEMS, Row, asked, config_of, dataset_of, events_of, likes, split_all, split_one


def test_leave_one_out_by_hand() -> None:
    # User 0 likes 0 1 2 3, and dislikes 4 before the last like and 5 after it; user 1 has too few likes.
    first = [(0, 1, 1.0), (1, 2, 2.0), (2, 3, 1.0), (4, 4, 0.0), (3, 5, 1.0), (5, 6, 0.0)]
    data = dataset_of([first, likes(0, 1, time=2), []])
    part = split_one(data, kind="leave_one_out")
    assert events_of(part.train.interactions, 0) == first[:2]
    assert events_of(part.train.interactions, 1) == likes(0, 1, time=2)
    assert asked(part.validation) == {0: (first[:2], [2])}
    assert asked(part.test) == {0: (first[:4], [3])}
    assert part.validation.queries.times.tolist() == [3]
    assert part.test.queries.times.tolist() == [5]
    assert part.test.queries.user_rows.tolist() == [0]
    assert part.train.num_users == 3
    assert part.train.num_items == NUM_ITEMS
    assert not part.cold_items.any()


def test_several_likes_of_each_user_are_left_out() -> None:
    data = dataset_of([likes(*range(5)), likes(*range(4))], num_items=5)
    part = split_one(data, kind="leave_one_out", targets=2)
    assert part.train.interactions.lengths.tolist() == [1, 4]
    assert asked(part.validation) == {0: (likes(0), [1, 2])}
    assert asked(part.test) == {0: (likes(0, 1, 2), [3, 4])}


def test_ratio_by_hand() -> None:
    data = dataset_of([likes(*range(10)), likes(7, 8, 9), likes(1, 2)], num_items=10)
    part = split_one(data, kind="ratio", validation=0.2, test=0.3)
    assert part.train.interactions.lengths.tolist() == [5, 1, 2]
    assert asked(part.validation) == {0: (likes(*range(5)), [5, 6]), 1: (likes(7), [8])}
    assert asked(part.test) == {0: (likes(*range(7)), [7, 8, 9]), 1: (likes(7, 8), [9])}


@pytest.mark.parametrize(
    "cuts",
    [
        {"validation_from": 0.6, "test_from": 0.8},
        {"validation_from": datetime(1970, 1, 1, 0, 0, 5), "test_from": "1970-01-01T00:00:07Z"},
    ],
)
def test_temporal_by_hand(cuts: dict[str, object]) -> None:
    old, crossing = likes(0, 1, 2, 3, time=1), likes(4, 5, 0, 1, time=4)
    late = likes(2, time=7)
    data = dataset_of([old, crossing, late])
    part = split_one(data, kind="temporal", **cuts)
    assert [events_of(part.train.interactions, user) for user in range(3)] == [old, crossing[:1], []]
    assert asked(part.validation) == {1: (crossing[:1], [5, 0])}
    assert asked(part.test) == {1: (crossing[:3], [1]), 2: ([], [2])}
    assert part.test.queries.user_rows.tolist() == [1, 2]
    assert part.test.queries.times.tolist() == [7, 7]
    without = split_one(data, kind="temporal", new_users=False, **cuts)
    assert asked(without.test) == {1: (crossing[:3], [1])}


def test_somebody_who_came_during_the_validation_part_has_a_history() -> None:
    data = dataset_of([likes(*range(6)), likes(0, 1, time=4), likes(5, 4, time=5)])
    part = split_one(
        data, kind="temporal", validation_from=datetime(1970, 1, 1, 0, 0, 4), test_from=datetime(1970, 1, 1, 0, 0, 6)
    )
    assert asked(part.test)[2] == (likes(5, time=5), [4])
    assert dict(zip(asked(part.test), part.test.queries.user_rows.tolist(), strict=True)) == {0: 0, 2: 2}


def test_an_event_without_a_time_has_the_time_of_the_one_before() -> None:
    row = [(0, 1, 1.0), (1, 2, 1.0), (2, 0, 1.0), (3, 8, 1.0), (4, 0, 1.0)]
    data = dataset_of([row, likes(0, 1, 2, time=4)])
    part = split_one(
        data, kind="temporal", validation_from=datetime(1970, 1, 1, 0, 0, 5), test_from=datetime(1970, 1, 1, 0, 0, 8)
    )
    assert events_of(part.train.interactions, 0) == row[:3]
    assert asked(part.test)[0] == (row[:3], [3, 4])
    leave_one_out = split_one(data, kind="leave_one_out")
    assert leave_one_out.test.queries.times[0] == 8


def test_k_fold_by_hand() -> None:
    data = dataset_of([likes(0, 1, 2, 3, 4) for _ in range(6)] + [likes(5)])
    parts = split_all(data, kind="k_fold", folds=3, target_share=0.4)
    assert len(parts) == 3
    for part, following in zip(parts, parts[1:] + parts[:1], strict=True):
        assert set(asked(part.validation)) == set(asked(following.test))
        held_out = set(asked(part.validation)) | set(asked(part.test))
        assert len(held_out) == 4
        for user in range(6):
            assert events_of(part.train.interactions, user) == ([] if user in held_out else likes(0, 1, 2, 3, 4))
        assert events_of(part.train.interactions, 6) == likes(5)
        assert all(question == (likes(0, 1, 2), [3, 4]) for question in asked(part.test).values())
        assert part.test.queries.user_rows.tolist() == [UNKNOWN_USER] * 2


def test_few_shot_by_hand() -> None:
    data = dataset_of([likes(0, 1, 2, 3) for _ in range(10)] + [likes(4, 5)] * 2)
    part = split_one(data, kind="few_shot", shots=2, validation_users=0.1, test_users=0.2)
    assert (len(part.validation), len(part.test)) == (1, 2)
    held_out = set(asked(part.validation)) | set(asked(part.test))
    assert len(held_out) == 3
    assert max(held_out) < 10
    assert all(question == (likes(0, 1), [2, 3]) for question in asked(part.test).values())
    assert set(np.flatnonzero(part.train.interactions.lengths == 0)) == held_out


def test_repeated_items_are_targets_only_when_told() -> None:
    row = likes(0, 1, 2, 1)
    part = split_one(dataset_of([row, likes(3, 4, 5)]), kind="leave_one_out")
    assert set(asked(part.test)) == {1}
    assert set(asked(part.validation)) == {0, 1}
    again = split_one(dataset_of([row, likes(3, 4, 5)]), kind="leave_one_out", repeats=True)
    assert asked(again.test)[0] == (row[:3], [1])


def test_a_target_stands_once() -> None:
    data = dataset_of([likes(0, 1, 2, 3, 3, 2, 3)])
    part = split_one(data, kind="ratio", validation=0.2, test=0.6)
    assert asked(part.test) == {0: (likes(0, 1, 2), [3])}
    again = split_one(data, kind="ratio", validation=0.2, test=0.6, repeats=True)
    assert asked(again.test) == {0: (likes(0, 1, 2), [3, 2])}


def test_ties_are_ordered_as_told() -> None:
    tied = [(2, 5, 1.0), (0, 5, 1.0), (1, 5, 1.0)]
    data = dataset_of([[*tied, (3, 6, 1.0)], tied])
    orders = {
        ties: split_one(data, kind="leave_one_out", ties=ties).test.queries.history.items[0].tolist()
        for ties in ("file", "item")
    }
    assert orders == {"file": [2, 0, 1], "item": [0, 1, 2]}
    shuffled = {
        tuple(split_one(data, seed, kind="leave_one_out", ties="shuffled").test.queries.history.items[0].tolist())
        for seed in range(40)
    }
    assert len(shuffled) == 6


def test_item_ties_go_by_id_and_not_by_row() -> None:
    data = dataset_of([[(2, 5, 1.0), (10, 5, 1.0), (3, 6, 1.0)]], num_items=11)
    part = split_one(data, kind="leave_one_out", ties="item")
    assert part.test.queries.history.items[0].tolist() == [10, 2]  # "i10" stands before "i2".


def test_events_without_a_time_are_never_shuffled() -> None:
    data = dataset_of([[(item, 0, 1.0) for item in range(6)]] * 3)
    part = split_one(data, kind="leave_one_out", ties="shuffled")
    assert all(question == ([(item, 0, 1.0) for item in range(5)], [5]) for question in asked(part.test).values())


def test_cold_items_are_nothing_but_targets() -> None:
    data = make_dataset(num_users=200)
    whole = split_one(data, kind="leave_one_out")
    part = split_one(data, kind="leave_one_out", cold_items=0.3)
    liked = data.interactions.liked().item_counts(data.num_items, np.ones(data.interactions.liked().num_events))
    assert part.cold_items.sum() == round(0.3 * (liked >= 5).sum())
    assert liked[part.cold_items].min() >= 5
    assert part.train.num_items == data.num_items
    for log in (part.train.interactions, part.validation.queries.history, part.test.queries.history):
        assert not part.cold_items[log.item_rows].any()
    assert part.cold_items[part.test.targets.values].any()
    np.testing.assert_array_equal(
        part.train.interactions.item_rows,
        whole.train.interactions.item_rows[~part.cold_items[whole.train.interactions.item_rows]],
    )
    other = split_one(data, 1, kind="leave_one_out", cold_items=0.3)
    assert (other.cold_items != part.cold_items).any()


def impressions_of(*shown: tuple[int, int, int]) -> Impressions:
    """Return impressions of (user, item, time)."""
    users, items, times = (np.array(column) for column in zip(*shown, strict=True))
    return Impressions(
        np.arange(len(shown), dtype=np.int32),
        users.astype(np.int32),
        items.astype(np.int32),
        times.astype(np.int64),
        np.zeros(len(shown), np.int32),
        np.ones(len(shown), bool),
        np.full(len(shown), np.nan, np.float32),
    )


def test_no_impression_tells_of_the_future() -> None:
    shown = impressions_of((0, 0, 1), (0, 2, 3), (0, 2, 0), (1, 5, 99), (-1, 1, 99), (0, 3, 4))
    data = dataset_of([likes(0, 1, 2, 3), likes(4, 5)], impressions=shown)
    kept = split_one(data, kind="leave_one_out").train.impressions
    # User 0 is asked at 3; when the third was shown is not known. User 1 and the unknown user are never asked.
    assert list(zip(kept.user_rows.tolist(), kept.timestamps.tolist(), strict=True)) == [(0, 1), (1, 99), (-1, 99)]
    assert kept.list_rows.tolist() == [0, 3, 4]
    temporal = split_one(data, kind="temporal", validation_from=0.5, test_from=0.7).train.impressions
    assert temporal.timestamps.max() < 2
    assert temporal.user_rows.tolist() == [0]


def test_impressions_of_held_out_users_and_cold_items_are_not_learned_from() -> None:
    rows = [likes(0, 1, 2)] * 9
    shown = impressions_of(*[(user, user % 3, 1) for user in range(9)])
    part = split_one(dataset_of(rows, impressions=shown), kind="few_shot", shots=1, cold_items=0.34)
    held_out = set(asked(part.test)) | set(asked(part.validation))
    assert set(part.train.impressions.user_rows.tolist()).isdisjoint(held_out)
    assert not part.cold_items[part.train.impressions.item_rows].any()
    assert len(part.train.impressions.user_rows) >= 9 - 3 - len(held_out)


REAL = Path(os.environ.get("GENRE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "amazon-beauty"


@pytest.mark.skipif(not REAL.exists(), reason="the data set is not here")
def test_leave_one_out_on_amazon_beauty_loses_nothing() -> None:
    log = pl.read_parquet(REAL / "interactions.parquet").sort("user_id", "position")
    ids = {name: log[name].unique(maintain_order=True) for name in ("user_id", "item_id")}
    lengths = log.group_by("user_id", maintain_order=True).len()["len"].to_numpy()
    items = Vocabulary(ids["item_id"])
    events = Interactions(
        offsets_of(lengths),
        items.rows(log["item_id"]),
        log["timestamp"].fill_null(0).to_numpy(),
        np.ones(len(log), np.float32),
    )
    tables = (Entities(Vocabulary(names), names.to_frame()) for names in (ids["item_id"], ids["user_id"]))
    part = split_one(Dataset(events, *tables), kind="leave_one_out")
    assert len(part.validation) == len(part.test) == 22_363
    assert part.train.num_events == 198_502 - 2 * 22_363
    np.testing.assert_array_equal(part.test.targets.values, events.item_rows[events.offsets[1:] - 1])


def test_users_without_columns_are_asked_too() -> None:
    data = dataset_of([likes(0, 1, 2)])
    bare = replace(data, users=Entities(data.users.vocabulary, data.users.frame.select("user_id")))
    assert split_one(bare, kind="leave_one_out").test.queries.users is None


# Mistakes


@pytest.mark.parametrize(
    ("rows", "strategy", "error", "message"),
    [
        (
            [likes(0, 1)],
            {"kind": "leave_one_out"},
            DataError,
            "'leave_one_out': a log of 2 events leaves nothing for the validation",
        ),
        ([[]], {"kind": "ratio"}, DataError, "leaves nothing for the training part"),
        ([[(0, 0, 1.0)] * 4], {"kind": "temporal"}, DataError, "the events have no time.*`leave_one_out`"),
        (
            [likes(0, 1, 2, 3)],
            {"kind": "temporal", "test_from": "2020-01-01"},
            ConfigError,
            "2020-01-01 00:00 leave a part empty",
        ),
        (
            [[(item, 7, 1.0) for item in range(5)]],
            {"kind": "temporal"},
            ConfigError,
            "1970-01-01 00:00.*Move `validation_from`",
        ),
        ([likes(0, 1, 2)] * 2, {"kind": "k_fold"}, DataError, "2 users with two likes cannot be dealt into 5 folds"),
        ([likes(0, 1, 2)], {"kind": "few_shot"}, DataError, "leaves nothing for the"),
        (
            [likes(0, 1, 2)],
            {"kind": "leave_one_out", "cold_items": 0.1},
            DataError,
            "no item has 5 likes, so no share of 0.1",
        ),
    ],
)
def test_a_log_that_cannot_be_split_is_an_error(
    rows: list[Row], strategy: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        split_all(dataset_of(rows), **strategy)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"kind": "ratio", "validation": 0.5, "test": 0.5}, "0.5 and test 0.5 leave nothing to learn from"),
        ({"kind": "few_shot", "validation_users": 0.5, "test_users": 0.6}, "0.6 leave nobody to learn from"),
        ({"kind": "temporal", "validation_from": 0.9, "test_from": 0.8}, "must be later than"),
        ({"kind": "temporal", "validation_from": "2020-02-01", "test_from": "2020-01-01"}, "must be later than"),
        ({"kind": "temporal", "validation_from": 1.5}, "1.5 is neither a share between 0 and 1 nor a date"),
        ({"kind": "leave_one_out", "min_likes": 2}, "greater than or equal to 3"),
        ({"kind": "k_fold", "folds": 2}, "greater than or equal to 3"),
        ({"kind": "leave_two_out"}, "leave_two_out"),
    ],
)
def test_a_wrong_setting_is_an_error(strategy: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config_of(**strategy)


def test_dates_are_in_utc_and_survive_a_round_trip() -> None:
    config = config_of(kind="temporal", validation_from="2020-01-01", test_from=datetime(2020, 2, 1, tzinfo=UTC))
    assert config_of(**config.model_dump(mode="json")) == config
    assert config.validation_from == datetime(2020, 1, 1)
