from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.conversation.ranges import Range, find_ranges


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("from the 80s", Range("year", 1980, 1989)),
        ("the early sixties", Range("year", 1960, 1969)),
        ("'90s", Range("year", 1990, 1999)),
        ("2010s", Range("year", 2010, 2019)),
        ("before 1960", Range("year", at_most=1959)),
        ("until 1960", Range("year", at_most=1960)),
        ("pre-1990", Range("year", at_most=1989)),
        ("after 2000", Range("year", at_least=2001)),
        ("since 2000", Range("year", at_least=2000)),
        ("not older than 1990", Range("year", at_least=1990)),
        ("from the fifties or older", Range("year", at_most=1959)),
        ("1990 onwards", Range("year", at_least=1990)),
        ("between 1960 and 1979", Range("year", 1960, 1979)),
        ("1994-1999", Range("year", 1994, 1999)),
        ("in 1994", Range("year", 1994, 1994)),
        ("this century", Range("year", at_least=2000)),
        ("from the 20th century", Range("year", 1900, 1999)),
        ("the last ten years", Range("year", last_years=10)),
        ("under 90 minutes", Range("duration", at_most=90)),
        ("under two hours", Range("duration", at_most=120)),
        ("at least 1.5 hours", Range("duration", at_least=90)),
        ("less than $20", Range("price", at_most=20)),
        ("at least 4 stars", Range("rating", at_least=4)),
        ("八十年代", Range("year", 1980, 1989)),
        ("90年代", Range("year", 1990, 1999)),
        ("上世纪六十年代", Range("year", 1960, 1969)),
        ("2010年代", Range("year", 2010, 2019)),
        ("九十年代以后", Range("year", at_least=1990)),
        ("1960年以前", Range("year", at_most=1959)),
        ("不早于1990年", Range("year", at_least=1990)),
        ("不晚于1990年", Range("year", at_most=1990)),
        ("早于1990年", Range("year", at_most=1989)),
        ("晚于1990年", Range("year", at_least=1991)),
        ("六七十年代", Range("year", 1960, 1979)),
        ("2000年后", Range("year", at_least=2000)),
        ("1990到2010年之间", Range("year", 1990, 2010)),
        ("1994年", Range("year", 1994, 1994)),
        ("上个世纪", Range("year", 1900, 1999)),
        ("近十年", Range("year", last_years=10)),
        ("两小时以内", Range("duration", at_most=120)),
        ("一个半小时以内", Range("duration", at_most=90)),
        ("不超过90分钟", Range("duration", at_most=90)),
        ("20块钱以下", Range("price", at_most=20)),
        ("至少100元", Range("price", at_least=100)),
    ],
)
def test_ranges(text: str, bounds: Range) -> None:
    assert bounds in [found for _, _, found in find_ranges(text)]


@pytest.mark.parametrize(
    "text", ["no more than 3 films", "2001: a space odyssey", "two films", "三部", "第二年", "90 minutes"]
)
def test_no_ranges(text: str) -> None:
    assert list(find_ranges(text)) == []


@given(st.integers(1900, 2029))
def test_every_year_is_read_in_both_languages(year: int) -> None:
    assert [found for _, _, found in find_ranges(f"from {year}")] == [Range("year", year, year)]
    assert [found for _, _, found in find_ranges(f"{year}年的")] == [Range("year", year, year)]
