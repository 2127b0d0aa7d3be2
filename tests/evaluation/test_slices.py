"""Groups worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genre.core.errors import ConfigError
from genre.core.interactions import Interactions
from genre.core.queries import Holdout, Queries
from genre.core.ragged import Ragged
from genre.evaluation.config import SliceConfig
from genre.evaluation.slices import Gap, gap_of, make_groups
from genre.metrics.statistics import Interval

POPULARITY = np.array([30.0, 20.0, 10.0, 20.0, 5.0, 5.0, 0.0])


def make_questions(users: pl.DataFrame | None = None) -> Holdout:
    """Return histories of 0, 1, 2 and 5 likes; the third has a dislike too."""
    history = Interactions.of(Ragged.of([[], [0], [0, 1, 2], [0, 1, 2, 3, 4]]))
    weights = history.weights.copy()
    weights[3] = 0
    queries = replace(Queries.of(replace(history, weights=weights)), users=users)
    return Holdout(queries, Ragged.of([[0, 6], [1], [2, 3], [5]]))


def groups_of(config: SliceConfig, users: pl.DataFrame | None = None) -> dict[str, dict[str, list[bool]]]:
    found: dict[str, dict[str, list[bool]]] = {}
    for group in make_groups(make_questions(users), POPULARITY, config):
        found.setdefault(group.slice, {})[group.name] = group.keep.tolist()
    return found


def test_histories_are_binned_by_likes() -> None:
    groups = groups_of(SliceConfig(history_lengths=(0, 1, 3), cold_history=1))
    assert groups["history_length"] == {
        "0": [True, True, False, False, False, False],
        "1-2": [False, False, True, True, True, False],
        "3 or more": [False, False, False, False, False, True],
    }
    assert groups["cold_users"] == {
        "at most 1 likes": [True, True, True, False, False, False],
        "more than 1 likes": [False, False, False, True, True, True],
    }


def test_targets_are_grouped_by_thirds_of_all_likes_and_by_never_having_been_liked() -> None:
    # Of 90 likes, the first item has 30, the next two (in order of items) 40, the rest 20.
    assert groups_of(SliceConfig())["item_popularity"] == {
        "head": [True, False, False, False, False, False],
        "torso": [False, False, True, False, True, False],
        "tail": [False, False, False, True, False, True],
        "never liked": [False, True, False, False, False, False],
    }


def test_labels_of_user_columns_are_groups_and_missing_ones_are_named() -> None:
    users = pl.DataFrame(
        {
            "user_id": ["a", "b", "c", "d"],
            "country": [["FR"], ["CN", "FR"], [], None],
            "name": ["Ann", "Bo", "Cy", "Di"],
        },
        schema_overrides={"country": pl.List(pl.String)},
    )
    groups = groups_of(SliceConfig(), users)
    assert groups["user.country"] == {
        "FR": [True, True, True, False, False, False],
        "unknown": [False, False, False, True, True, True],
        "CN": [False, False, True, False, False, False],
    }
    assert "user.name" not in groups
    assert list(groups_of(SliceConfig(max_groups=2), users)["user.country"]) == ["FR", "unknown"]
    assert list(groups_of(SliceConfig(user_columns=("name",)), users)["user.name"]) == ["Ann", "Bo", "Cy", "Di"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([20, 20, 30, None], {"20": [0, 1], "30": [2], "unknown": [3]}),
        ([1.0, float("nan"), 2.0, 1.0], {"1": [0, 3], "2": [2], "unknown": [1]}),
        ([None, None, None, None], {"unknown": [0, 1, 2, 3]}),
    ],
)
def test_few_different_numbers_are_groups(values: list[float | None], expected: dict[str, list[int]]) -> None:
    users = pl.DataFrame({"user_id": list("abcd"), "age": pl.Series(values, dtype=pl.Float64, strict=False)})
    query = make_questions().targets.row_of_value
    groups = groups_of(SliceConfig(), users)["user.age"]
    assert {name: sorted(set(query[np.array(keep)])) for name, keep in groups.items()} == expected


def test_many_different_numbers_are_grouped_by_quarters() -> None:
    count = 40
    users = pl.DataFrame({"user_id": [str(row) for row in range(count)], "age": np.arange(count, dtype=np.float64)})
    queries = replace(Queries.of(Interactions.empty(count)), users=users)
    groups = make_groups(Holdout(queries, Ragged.of([[0]] * count)), POPULARITY, SliceConfig(user_columns=("age",)))
    ages = {group.name: np.flatnonzero(group.keep).tolist() for group in groups if group.slice == "user.age"}
    assert ages == {
        "up to 9.75": list(range(10)),
        "9.75 to 19.5": list(range(10, 20)),
        "19.5 to 29.25": list(range(20, 30)),
        "above 29.25": list(range(30, 40)),
    }


def test_a_user_column_that_is_not_there_is_named_with_those_that_are() -> None:
    users = pl.DataFrame({"user_id": list("abcd"), "age": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(ConfigError, match=r"there is no user column 'sex'. Choose from \['age'\]"):
        groups_of(SliceConfig(user_columns=("sex",)), users)
    with pytest.raises(ConfigError, match="The data has no user columns"):
        groups_of(SliceConfig(user_columns=("sex",)))


def test_the_gap_is_between_the_best_and_the_worst_of_the_large_groups() -> None:
    groups = {
        "a": (Interval(0.3, 0.2, 0.4), 50),
        "b": (Interval(0.1, 0.0, 0.2), 40),
        "c": (Interval(0.9, 0.8, 1.0), 3),
    }
    assert gap_of(groups, 30) == Gap(pytest.approx(0.2), "a", "b")
    assert gap_of(groups, 45) is None
