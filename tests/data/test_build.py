"""From tables to dense rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre.core.errors import ConfigError
from genre.core.queries import UNKNOWN_USER
from genre.data.build import build_dataset
from genre.data.feedback import FeedbackConfig
from genre.data.roles import ColumnRoles
from genre.data.tables import Tables

SCHEMA = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "position": pl.Int64}


def log_of(*rows: tuple[Any, ...], names: str = "user_id item_id timestamp") -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: SCHEMA[name] for name in names.split()}, orient="row")


def histories(tables: Tables) -> dict[str, list[tuple[str, int]]]:
    """Return each user's items and times, oldest first."""
    data = build_dataset(tables)
    log = data.interactions
    names = data.items.vocabulary.names(log.item_rows).to_list()
    events = list(zip(names, log.timestamps.tolist(), strict=True))
    return {user: events[log.offsets[row] : log.offsets[row + 1]] for row, user in enumerate(data.users.vocabulary.ids)}


def test_the_catalogue_comes_first_and_then_what_only_the_log_knows() -> None:
    items = pl.DataFrame({"item_id": ["z", "y", "x"], "title": ["Z", "Y", "X"]})
    data = build_dataset(Tables(log_of(("b", "new", 1), ("a", "y", 2), ("b", "newer", 3)), items=items))
    assert data.items.vocabulary.ids.to_list() == ["z", "y", "x", "new", "newer"]
    assert data.items.frame.to_dict(as_series=False) == {
        "item_id": ["z", "y", "x", "new", "newer"],
        "title": ["Z", "Y", "X", None, None],
    }
    assert data.items.title.to_list() == ["Z", "Y", "X", "new", "newer"]


def test_users_stand_as_they_first_appear_and_then_those_without_events() -> None:
    users = pl.DataFrame({"age": [9, 8], "user_id": ["silent", "a"]})
    data = build_dataset(Tables(log_of(("b", "x", 1), ("a", "x", 2), ("b", "y", 3)), users=users))
    assert data.users.frame.to_dict(as_series=False) == {"user_id": ["b", "a", "silent"], "age": [None, 8.0, 9.0]}
    assert data.interactions.lengths.tolist() == [2, 1, 0]


def test_the_first_of_two_rows_with_one_id_counts() -> None:
    items = pl.DataFrame({"item_id": ["x", "x"], "title": ["first", "second"]})
    assert build_dataset(Tables(log_of(("a", "x", 1)), items=items)).items.title.to_list() == ["first"]


def test_events_are_sorted_by_time_and_ties_stay_in_the_order_of_the_file() -> None:
    log = log_of(("a", "x", 5), ("b", "x", 1), ("a", "w", 3), ("a", "z", 5), ("a", "y", 3))
    assert histories(Tables(log)) == {"a": [("w", 3), ("y", 3), ("x", 5), ("z", 5)], "b": [("x", 1)]}


def test_positions_come_before_times() -> None:
    log = log_of(("a", "x", 9, 2), ("a", "y", 5, 0), ("a", "z", 1, 1), ("a", "w", 0, None), names=" ".join(SCHEMA))
    assert histories(Tables(log)) == {"a": [("y", 5), ("z", 1), ("x", 9), ("w", 0)]}


def test_a_missing_time_is_that_of_the_event_before_or_else_after() -> None:
    log = log_of(
        ("a", "v", None),
        ("a", "w", 7),
        ("b", "x", None),
        ("a", "x", None),
        ("a", "y", 3),
        ("a", "z", None),
        ("c", "x", 4),
    )
    assert histories(Tables(log)) == {
        "a": [("y", 3), ("z", 3), ("v", 7), ("w", 7), ("x", 7)],
        "b": [("x", 0)],
        "c": [("x", 4)],
    }


def test_missing_times_follow_the_positions_where_there_are_any() -> None:
    log = log_of(("a", "x", None, 1), ("a", "y", 8, 2), ("a", "z", 5, 0), names=" ".join(SCHEMA))
    assert histories(Tables(log)) == {"a": [("z", 5), ("x", 5), ("y", 8)]}


def test_a_log_without_times_keeps_the_order_of_the_file() -> None:
    log = log_of(("a", "x"), ("b", "x"), ("a", "w"), names="user_id item_id")
    assert histories(Tables(log)) == {"a": [("x", 0), ("w", 0)], "b": [("x", 0)]}
    log = log_of(("a", "x", 1), ("a", "w", 0), names="user_id item_id position")
    assert histories(Tables(log)) == {"a": [("w", 0), ("x", 0)]}


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from("wxyz"),
            st.none() | st.integers(0, 3) | st.integers(-(2**62), 2**62),
        ),
        max_size=25,
    )
)
def test_sorting_is_that_of_python(rows: list[tuple[str, str, int | None]]) -> None:
    expected: dict[str, list[tuple[str, int]]] = {}
    for user in dict.fromkeys(row[0] for row in rows):
        own = [(item, time) for name, item, time in rows if name == user]
        known = next((time for _, time in own if time is not None), 0)
        filled = []
        for item, time in own:
            known = known if time is None else time
            filled.append((item, known))
        expected[user] = sorted(filled, key=lambda event: event[1])
    assert histories(Tables(log_of(*rows))) == expected


def test_weights_follow_their_events() -> None:
    log = log_of(("a", "x", 5), ("b", "x", 1), ("a", "w", 3)).with_columns(value=pl.Series([1.0, 2.0, 3.0]))
    data = build_dataset(Tables(log), FeedbackConfig(use_value=True, like_at=2))
    assert data.interactions.weights.tolist() == [3.0, 0.0, 2.0]
    assert data.interactions.weights.dtype == np.float32
    assert data.interactions.item_rows.dtype == np.int32
    assert data.interactions.timestamps.dtype == np.int64


def test_an_empty_log_is_a_data_set_without_events() -> None:
    data = build_dataset(Tables(log_of(), items=pl.DataFrame({"item_id": ["x"]})))
    assert (data.num_users, data.num_items, data.num_events) == (0, 1, 0)


def test_impressions_get_the_same_rows() -> None:
    shown = pl.DataFrame(
        {
            "list_id": ["q", "p", "q"],
            "user_id": ["a", None, "stranger"],
            "item_id": ["y", "x", "shown only"],
            "timestamp": [5, None, 6],
            "position": [1, 0, None],
            "clicked": [True, False, True],
            "propensity": [0.5, None, 1.0],
        }
    )
    data = build_dataset(Tables(log_of(("a", "x", 1), ("a", "y", 1)), impressions=shown))
    assert data.items.vocabulary.ids.to_list() == ["x", "y", "shown only"]
    found = data.impressions
    assert found is not None
    assert found.list_rows.tolist() == [0, 1, 0]
    assert found.user_rows.tolist() == [0, UNKNOWN_USER, UNKNOWN_USER]
    assert found.item_rows.tolist() == [1, 0, 2]
    assert found.timestamps.tolist() == [5, 0, 6]
    assert found.positions.tolist() == [1, 0, 0]
    assert found.clicked.tolist() == [True, False, True]
    np.testing.assert_array_equal(found.propensities, np.array([0.5, np.nan, 1.0], np.float32))


def test_roles_are_deduced_or_given() -> None:
    items = pl.DataFrame({"item_id": ["x", "y"], "title": ["One", "Two"], "genres": ["a|b", "b"]})
    tables = Tables(log_of(("a", "x", 1)), items=items)
    found = build_dataset(tables).items
    assert (found.roles.text, found.roles.category) == (("title",), ("genres",))
    assert found.frame["genres"].to_list() == [["a", "b"], ["b"]]
    given = build_dataset(tables, item_roles=ColumnRoles(category=("title",))).items
    assert (given.roles.text, given.roles.category) == ((), ("title",))
    assert given.frame["genres"].to_list() == ["a|b", "b"]


def test_a_wrong_role_is_an_error_that_names_the_setting() -> None:
    tables = Tables(log_of(("a", "x", 1)), users=pl.DataFrame({"user_id": ["a"], "age": [3]}))
    with pytest.raises(ConfigError, match=r"data\.user_columns\.number: there is no column 'agee'"):
        build_dataset(tables, user_roles=ColumnRoles(number=("agee",)))


def test_the_tables_are_not_changed() -> None:
    log = log_of(("a", "x", None), ("a", "y", 2))
    before = log.clone()
    build_dataset(Tables(log))
    assert log.equals(before)
