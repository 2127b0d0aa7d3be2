"""Cells as ids, numbers, labels and truth values."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.data import cells


@pytest.mark.parametrize("word", ["", "  ", "NaN", "nan", "NULL", "None", "NaT", "<NA>", "\\N"])
def test_words_for_nothing_are_no_ids(word: str) -> None:
    found = cells.ids(pl.Series([word, "a"]))
    assert found.values.to_list() == [None, "a"]
    assert found.wrong.to_list() == [True, False]


@pytest.mark.parametrize("name", ["nancy", "nullify", "0", "none of these", "\\Na", "影评"])
def test_ids_that_only_begin_like_nothing_stay(name: str) -> None:
    assert cells.ids(pl.Series([name])).values.to_list() == [name]


def test_ids_lose_the_decimals_that_a_missing_value_gave_them() -> None:
    found = cells.ids(pl.Series([7.0, float("nan"), 12.0]))
    assert found.values.to_list() == ["7", None, "12"]
    assert found.wrong.to_list() == [False, True, False]


def test_true_fractions_stay_ids_as_they_are() -> None:
    assert cells.ids(pl.Series([7.5, 12.0])).values.to_list() == ["7.5", "12.0"]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_whole_number_ids_are_their_digits(numbers: list[int]) -> None:
    assert cells.ids(pl.Series(numbers, dtype=pl.Int64)).values.to_list() == [str(number) for number in numbers]


def test_numbers_are_read_from_text_and_from_numbers() -> None:
    found = cells.numbers(pl.Series(["1", " 2.5 ", "1e3", "", "null", "five", "inf", None]))
    assert found.values.to_list() == [1.0, 2.5, 1000.0, None, None, None, None, None]
    assert found.wrong.to_list() == [False, False, False, False, False, True, True, False]
    assert cells.numbers(pl.Series([1, None, 3])).values.to_list() == [1.0, None, 3.0]
    assert cells.numbers(pl.Series([float("nan"), 2.0])).values.to_list() == [None, 2.0]
    assert not cells.numbers(pl.Series([float("nan"), 2.0])).wrong.any()


def test_whole_numbers_refuse_fractions() -> None:
    found = cells.whole_numbers(pl.Series(["1", "2.0", "2.5", ""]))
    assert found.values.to_list() == [1, 2, None, None]
    assert found.wrong.to_list() == [False, False, True, False]


def test_truth_is_read_from_what_programs_write() -> None:
    found = cells.truth(pl.Series(["1", "0", "True", "FALSE", "yes", "1.0", "2", ""]))
    assert found.values.to_list() == [True, False, True, False, True, True, None, None]
    assert found.wrong.to_list() == [False] * 6 + [True, True]
    assert cells.truth(pl.Series([1, 0])).values.to_list() == [True, False]
    assert cells.truth(pl.Series([True, None])).wrong.to_list() == [False, True]


def test_labels_may_be_missing() -> None:
    found = cells.labels(pl.Series(["view", "", None]))
    assert found.values.to_list() == ["view", None, None]
    assert not found.wrong.any()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (["1", "2", None], pl.Series([1, 2, None])),
        (["1", "2.5"], pl.Series([1.0, 2.5])),
        (["1", "NaN"], pl.Series([1, None], dtype=pl.Int64)),
        (["01", "2"], pl.Series(["01", "2"])),
        (["1", "x"], pl.Series(["1", "x"])),
        ([None, None], pl.Series([None, None], dtype=pl.String)),
    ],
)
def test_text_columns_become_numbers_where_all_cells_are(text: list[str | None], expected: pl.Series) -> None:
    found = cells.typed(pl.Series(text, dtype=pl.String))
    assert found.dtype == expected.dtype
    assert found.to_list() == expected.to_list()


def test_a_word_far_down_keeps_a_column_text() -> None:
    assert cells.typed(pl.Series(["1"] * 5000 + ["x"])).dtype == pl.String


def test_lists_and_records_become_json() -> None:
    lists = cells.as_text(pl.Series("tags", [["a", "b"], None]))
    assert (lists.name, lists.to_list()) == ("tags", ['["a","b"]', None])
    assert cells.as_text(pl.Series([{"a": 1}])).to_list() == ['{"a":1}']
