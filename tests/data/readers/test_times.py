"""Times in all the forms that files have."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.data.readers.times import to_seconds

MOMENT = 1_588_687_728
"""2020-05-05T14:08:48Z"""
MIDNIGHT = 1_588_636_800


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(1, "seconds"), (10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_numbers_are_told_by_their_size(factor: int, unit: str, as_text: bool) -> None:
    numbers = pl.Series([MOMENT * factor, None, (MOMENT + 60) * factor])
    found = to_seconds(numbers.cast(pl.String) if as_text else numbers)
    assert found.seconds.to_list() == [MOMENT, None, MOMENT + 60]
    assert found.seconds.dtype == pl.Int64
    assert found.unit == unit
    assert not found.unreadable.any()


@given(st.integers(31_536_000, 4_102_444_800), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_every_second_up_to_2100_survives_in_every_unit(second: int, factor: int) -> None:
    if second * factor // factor < 10**8 and factor > 1:
        return  # Before March 1973 a smaller unit looks like a larger one.
    assert to_seconds(pl.Series([second * factor])).seconds.to_list() == [second]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-05-05T14:08:48Z", MOMENT),
        ("2020-05-05T14:08:48", MOMENT),
        ("2020-05-05 14:08:48", MOMENT),
        ("2020-05-05T14:08:48.923", MOMENT),
        ("2020-05-05T22:08:48+08:00", MOMENT),
        ("2020-05-05 09:08:48.5-0500", MOMENT),
        ("2020/05/05 14:08:48", MOMENT),
        ("2020-05-05 14:08", MOMENT - 48),
        ("2020-05-05", MIDNIGHT),
        ("2020/5/5", MIDNIGHT),
        ("2020年5月5日", MIDNIGHT),
        ("05 5, 2020", MIDNIGHT),
        ("05-May-2020", MIDNIGHT),
        ("1588687728.9", MOMENT),
        ("1.588687728e9", MOMENT),
    ],
)
def test_texts_are_read(text: str, expected: int) -> None:
    found = to_seconds(pl.Series([text, "", "NaT"]))
    assert found.seconds.to_list() == [expected, None, None]
    assert not found.unreadable.any()


def test_a_mixed_column_of_dates_is_read_cell_by_cell() -> None:
    found = to_seconds(pl.Series(["2020-05-05", "2020-05-05T14:08:48Z", "2020-05-05 14:08:48", "soon"]))
    assert found.seconds.to_list() == [MIDNIGHT, MOMENT, MOMENT, None]
    assert found.unreadable.to_list() == [False, False, False, True]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2020, 5, 5), MIDNIGHT),
        (datetime(2020, 5, 5, 14, 8, 48), MOMENT),
        (datetime(2020, 5, 5, 14, 8, 48, tzinfo=UTC), MOMENT),
        (datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC), -1),
    ],
)
def test_dates_without_an_offset_are_utc(value: Any, expected: int) -> None:
    assert to_seconds(pl.Series([value, None])).seconds.to_list() == [expected, None]


def test_dates_with_an_offset_are_converted() -> None:
    shanghai = datetime(2020, 5, 5, 22, 8, 48, tzinfo=timezone(timedelta(hours=8))).astimezone(UTC)
    column = pl.Series([shanghai]).dt.convert_time_zone("Asia/Shanghai")
    assert to_seconds(column).seconds.to_list() == [MOMENT]


def test_impossible_times_are_kept() -> None:
    assert to_seconds(pl.Series([MOMENT, MOMENT, -5, 0, 10**13])).seconds.to_list() == [MOMENT, MOMENT, -5, 0, 10**13]


def test_what_is_no_time_is_marked() -> None:
    found = to_seconds(pl.Series(["100000000", "x", "200000000", None]))
    assert found.seconds.to_list() == [100_000_000, None, 200_000_000, None]
    assert found.unreadable.to_list() == [False, True, False, False]
    floats = to_seconds(pl.Series([1e8, float("nan"), float("inf"), 1e8 + 0.75]))
    assert floats.seconds.to_list() == [100_000_000, None, None, 100_000_000]
    assert floats.unreadable.to_list() == [False, False, True, False]


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.String, pl.Datetime("us"), pl.Null])
def test_a_column_without_any_time_stays_empty(dtype: Any) -> None:
    found = to_seconds(pl.Series([None, None], dtype=dtype))
    assert found.seconds.to_list() == [None, None]
    assert found.seconds.dtype == pl.Int64
    assert not found.unreadable.any()
