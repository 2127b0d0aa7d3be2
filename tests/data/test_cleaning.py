"""Cleaning: what each rule takes, and that nothing goes unreported."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genre.core.errors import ConfigError, DataError
from genre.data.cleaning import CleaningConfig, CleaningReport, clean
from genre.data.tables import Tables

T0 = 1_600_000_000  # 2020-09-13 12:26:40 UTC
DAY = 86_400

events = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=60)


def log(rows: list[tuple], **more: list) -> pl.DataFrame:
    """Return interactions of (user, item, timestamp)."""
    frame = pl.DataFrame(
        rows, schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}, orient="row", strict=False
    )
    return frame.with_columns(**{name: pl.Series(values) for name, values in more.items()})


def drawn(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    return log([(f"u{user}", f"i{item}", T0 + time) for user, item, time in rows])


def dropped(report: CleaningReport, rule: str, table: str = "interactions") -> int:
    return sum(step.rows_dropped for step in report.steps if (step.rule, step.table) == (rule, table))


def only(**rules: object) -> CleaningConfig:
    """Return a config with all other rules off."""
    return CleaningConfig.model_validate({"times": None, "duplicates": "keep"} | rules)


def test_nothing_changes_without_rules() -> None:
    tables = Tables(log([("a", "x", None), ("a", "x", None), ("b", "y", -5)]))
    cleaned, report = clean(tables, only())
    assert cleaned.interactions.equals(tables.interactions)
    assert report.steps == ()


def test_impossible_times_go_and_unknown_times_stay() -> None:
    times = [-1, 0, 631_151_999, 631_152_000, T0, None, 4_000_000_000]  # The third and fourth frame 1990-01-01.
    tables = Tables(log([("a", str(row), time) for row, time in enumerate(times)]))
    cleaned, report = clean(tables, only(times={}))
    assert cleaned.interactions["timestamp"].to_list() == [631_152_000, T0, None]
    assert dropped(report, "times") == 4


def test_the_last_day_belongs_to_the_possible_times() -> None:
    day = T0 // DAY * DAY
    tables = Tables(log([("a", "x", day + DAY - 1), ("a", "y", day + DAY)]))
    cleaned, _ = clean(tables, only(times={"latest": date(2020, 9, 13)}))
    assert cleaned.interactions["item_id"].to_list() == ["x"]


def test_times_of_impressions_are_looked_at_too() -> None:
    shown = pl.DataFrame({"list_id": ["l", "l"], "item_id": ["x", "y"], "timestamp": [0, T0]})
    cleaned, report = clean(Tables(log([("a", "x", T0)]), impressions=shown), only(times={}))
    assert cleaned.impressions["item_id"].to_list() == ["y"]
    assert dropped(report, "times", "impressions") == 1


def test_a_wrong_unit_of_time_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match=r"no event is left.*time before 1990-01-01.*in the right unit"):
        clean(Tables(log([("a", "x", 17), ("b", "y", 18)])), CleaningConfig())


def test_exact_duplicates_agree_in_user_item_time_and_event() -> None:
    rows = [("a", "x", T0), ("a", "x", T0), ("a", "x", T0 + 1), ("b", "x", T0), ("a", "y", T0), ("a", "x", T0)]
    kinds = ["view", "view", "view", "view", "view", "buy"]
    cleaned, report = clean(Tables(log(rows, event=kinds)), only(duplicates="exact"))
    assert cleaned.interactions.rows() == [(*row, kind) for row, kind in zip(rows, kinds, strict=True)][:1] + [
        (*row, kind) for row, kind in zip(rows[2:], kinds[2:], strict=True)
    ]
    assert dropped(report, "duplicates") == 1


def test_position_tells_events_without_a_time_apart() -> None:
    rows = [("a", "x", None), ("a", "x", None), ("a", "x", T0), ("a", "x", T0)]
    cleaned, _ = clean(Tables(log(rows, position=[0, 1, 2, 3])), only(duplicates="exact"))
    assert cleaned.interactions["position"].to_list() == [0, 1, 2]
    cleaned, _ = clean(Tables(log(rows)), only(duplicates="exact"))
    assert len(cleaned.interactions) == 2


def test_repeats_leave_the_oldest_event_in_the_order_of_the_file() -> None:
    rows = [("a", "x", T0 + 9), ("b", "x", T0), ("a", "x", T0 + 1), ("a", "y", T0), ("a", "x", None)]
    cleaned, report = clean(Tables(log(rows)), only(duplicates="repeats"))
    assert cleaned.interactions.rows() == [rows[1], rows[2], rows[3]]
    assert dropped(report, "duplicates") == 2


def test_repeats_without_any_time_leave_the_first_position() -> None:
    rows = pl.DataFrame({"user_id": ["a", "a"], "item_id": ["x", "x"], "position": [7, 2]})
    cleaned, _ = clean(Tables(rows), only(duplicates="repeats"))
    assert cleaned.interactions["position"].to_list() == [2]
    cleaned, _ = clean(Tables(rows.drop("position")), only(duplicates="repeats"))
    assert len(cleaned.interactions) == 1


@settings(max_examples=40)
@given(events)
def test_exact_and_repeats_agree_with_plain_python(rows: list[tuple[int, int, int]]) -> None:
    frame = drawn(rows)
    cleaned, report = clean(Tables(frame), only(duplicates="exact"))
    assert cleaned.interactions.rows() == list(dict.fromkeys(frame.rows()))
    assert dropped(report, "duplicates") == len(frame) - len(cleaned.interactions)
    cleaned, _ = clean(Tables(frame), only(duplicates="repeats"))
    oldest: dict[tuple[str, str], tuple] = {}
    for row in frame.rows():
        if row[:2] not in oldest or row[2] < oldest[row[:2]][2]:
            oldest[row[:2]] = row
    assert sorted(cleaned.interactions.rows()) == sorted(oldest.values())


def test_one_row_is_left_of_each_item_and_user() -> None:
    items = pl.DataFrame({"item_id": ["x", "y", "x"], "title": ["first", "other", "second"]})
    users = pl.DataFrame({"user_id": ["a", "a"], "age": [1, 2]})
    cleaned, report = clean(Tables(log([("a", "x", T0)]), items, users), CleaningConfig())
    assert cleaned.items["title"].to_list() == ["first", "other"]
    assert cleaned.users["age"].to_list() == [1]
    assert dropped(report, "duplicates", "items") == dropped(report, "duplicates", "users") == 1


def test_bots_leave_every_table() -> None:
    rows = [("bot", f"i{n}", T0 + n) for n in range(4)] + [("man", f"i{n}", T0 + n * DAY) for n in range(4)]
    users = pl.DataFrame({"user_id": ["bot", "man"]})
    shown = pl.DataFrame({"list_id": ["l"] * 3, "user_id": ["bot", "man", None], "item_id": ["i0"] * 3})
    cleaned, report = clean(Tables(log(rows), users=users, impressions=shown), only(bots={"events_per_day": 3}))
    assert set(cleaned.interactions["user_id"]) == set(cleaned.users["user_id"]) == {"man"}
    assert cleaned.impressions["user_id"].to_list() == ["man", None]
    assert [dropped(report, "bots", table) for table in ("interactions", "users", "impressions")] == [4, 1, 1]
    assert "more than 3 events on one day (1 users)" in str(report)


def test_bots_are_also_told_by_all_their_events() -> None:
    rows = [("bot", f"i{n}", None) for n in range(4)] + [("man", f"i{n}", None) for n in range(3)]
    cleaned, _ = clean(Tables(log(rows)), only(bots={"events": 3}))
    assert set(cleaned.interactions["user_id"]) == {"man"}
    untouched, _ = clean(Tables(log(rows)), only(bots={"events_per_day": 1}))
    assert len(untouched.interactions) == 7


def core(rows: list[tuple[int, int, int]], user: int, item: int) -> list[tuple[int, int, int]]:
    """Return the k-core, one event at a time."""
    while True:
        users, items = Counter(row[0] for row in rows), Counter(row[1] for row in rows)
        kept = [row for row in rows if users[row[0]] >= user and items[row[1]] >= item]
        if len(kept) == len(rows):
            return kept
        rows = kept


@settings(max_examples=40)
@given(events, st.integers(1, 4), st.integers(1, 4))
def test_k_core_agrees_with_plain_python(rows: list[tuple[int, int, int]], user: int, item: int) -> None:
    expected = core(rows, user, item)
    tables = Tables(drawn(rows))
    config = only(k_core={"user": user, "item": item})
    if not expected:
        with pytest.raises(DataError, match=r"no event is left after looking for fewer than .* \(k_core\)"):
            clean(tables, config)
        return
    cleaned, report = clean(tables, config)
    assert cleaned.interactions.equals(drawn(expected))
    assert dropped(report, "k_core") == len(rows) - len(expected)


def test_a_core_that_unravels_one_by_one() -> None:
    # A chain u0-i0-u1-i1-... hangs on a square of two users and two items; it falls link by link.
    chain = [(f"u{n}", f"i{n}", T0) for n in range(50)] + [(f"u{n + 1}", f"i{n}", T0) for n in range(50)]
    square = [(user, item, T0) for user in "ab" for item in "xy"]
    cleaned, _ = clean(Tables(log([*chain, ("u50", "x", T0), *square])), only(k_core={"user": 2, "item": 2}))
    assert cleaned.interactions.rows() == square


@pytest.mark.parametrize(("prune", "left"), [(False, ["x", "rare", "new"]), (True, ["x"])])
def test_k_core_touches_the_catalogue_only_when_told(prune: bool, left: list[str]) -> None:
    rows = [("a", "x", T0), ("b", "x", T0), ("c", "rare", T0)]
    tables = Tables(log(rows), pl.DataFrame({"item_id": ["x", "rare", "new"]}), pl.DataFrame({"user_id": ["a", "c"]}))
    cleaned, report = clean(tables, only(k_core={"user": 1, "item": 2, "prune": prune}))
    assert cleaned.items["item_id"].to_list() == left
    assert cleaned.users["user_id"].to_list() == (["a"] if prune else ["a", "c"])
    assert dropped(report, "k_core", "items") == 3 - len(left)


def catalogue() -> Tables:
    items = pl.DataFrame(
        {
            "item_id": ["x", "y", "z"],
            "brand": ["Acme", None, "  "],
            "tags": [["a"], [], None],
            "price": [1.5, None, float("nan")],
            "pages": [1, None, 3],
        },
        schema_overrides={"price": pl.Float32},
    )
    return Tables(log([("a", "x", T0), ("a", "y", T0), ("b", "z", T0)]), items)


def test_an_item_with_an_empty_cell_goes_with_its_events() -> None:
    cleaned, report = clean(catalogue(), only(missing={"items.brand": "drop"}))
    assert cleaned.items["item_id"].to_list() == ["x"]
    assert cleaned.interactions["item_id"].to_list() == ["x"]
    assert dropped(report, "missing", "items") == dropped(report, "missing") == 2


def test_an_event_with_an_empty_cell_goes_alone() -> None:
    tables = Tables(log([("a", "x", T0), ("a", "y", None)]))
    cleaned, report = clean(tables, only(missing={"interactions.timestamp": "drop"}))
    assert cleaned.interactions["item_id"].to_list() == ["x"]
    assert dropped(report, "missing") == 1


def test_missing_becomes_a_category_or_a_value() -> None:
    rules = {
        "items.brand": "category",
        "items.tags": "category",
        "items.price": {"value": 0.1},
        "items.pages": {"value": 0},
    }
    cleaned, report = clean(catalogue(), only(missing=rules))
    assert cleaned.items["brand"].to_list() == ["Acme", "(missing)", "(missing)"]
    assert cleaned.items["tags"].to_list() == [["a"], ["(missing)"], ["(missing)"]]
    assert cleaned.items["price"].to_list() == pytest.approx([1.5, 0.1, 0.1])
    assert cleaned.items["pages"].to_list() == [1, 0, 3]
    assert [step.cells_filled for step in report.steps] == [2, 2, 2, 1]
    assert cleaned.items.schema == catalogue().items.schema


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"items.colour": "drop"}, r"'items.colour' is not in the data.*one of item_id, brand"),
        ({"users.age": "drop"}, r"'users.age' is not in the data.*no such table"),
        ({"items.price": "category"}, r"items.price: '\(missing\)' cannot stand in the column 'price' of type Float32"),
        ({"items.pages": {"value": 0.5}}, r"0.5 cannot stand in the column 'pages' of type Int64"),
        ({"items.brand": {"value": 5}}, r"5.0 cannot stand in the column 'brand' of type String"),
    ],
)
def test_a_wrong_treatment_of_the_missing_is_an_error(rules: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        clean(catalogue(), only(missing=rules))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"missing": {"price": "drop"}}, "'price' is not of the form table.column"),
        ({"missing": {"items.price": "mean"}}, "'drop' or 'category'"),
        ({"bots": {}}, "`bots` needs a limit"),
        ({"k_core": {"users": 5}}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_setting_is_an_error(rules: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CleaningConfig.model_validate(rules)


@settings(max_examples=40)
@given(events)
def test_the_report_accounts_for_every_row(rows: list[tuple[int, int, int]]) -> None:
    frame = drawn(rows)
    cleaned, report = clean(Tables(frame), CleaningConfig(k_core={"user": 1, "item": 1}, bots={"events": 100}))
    steps = [step for step in report.steps if step.table == "interactions"]
    assert [step.rule for step in steps] == ["times", "duplicates", "bots", "k_core"]
    for step, following in pairwise(steps):
        assert step.rows_before - step.rows_dropped == following.rows_before
    assert steps[0].rows_before == len(frame)
    assert steps[-1].rows_before - steps[-1].rows_dropped == len(cleaned.interactions)


def test_the_report_is_a_table_and_plain_values() -> None:
    _, report = clean(Tables(log([("a", "x", T0), ("a", "x", T0)])), CleaningConfig())
    lines = str(report).splitlines()
    assert lines[0].split() == ["rule", "table", "looked", "at", "rows", "before", "dropped", "filled"]
    assert lines[2].split() == [
        *("duplicates", "interactions", "same", "user,", "item,", "time", "and", "event", "before"),
        *("2", "1", "0"),
    ]
    assert json.loads(json.dumps(report.to_dict()))["steps"][1]["rows_dropped"] == 1


def test_cleaning_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match=r"no event"):
        clean(Tables(log([])), CleaningConfig())
