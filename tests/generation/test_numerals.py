"""Numbers that are written as words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.generation.numerals import chinese_number, english_numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("two hundred and five days", [("two hundred and five", 205)]),
        ("Twenty-one, ninety and a hundred", [("Twenty-one", 21), ("ninety", 90), ("hundred", 100)]),
        ("three thousand two hundred", [("three thousand two hundred", 3200)]),
        ("one of the best, one by one", []),
        ("one hundred million", [("one hundred million", 100_000_000)]),
        ("nobody is often weighty", []),
        ("ages two and three", [("two", 2), ("three", 3)]),
        ("a dozen lids", [("a dozen", 12)]),
    ],
)
def test_english_numbers_by_hand(text: str, found: list[tuple[str, int]]) -> None:
    assert [(run.group(), value) for run, value in english_numbers(text)] == found


@pytest.mark.parametrize(
    ("numeral", "value"),
    [
        ("三", 3), ("十", 10), ("十二", 12), ("二十", 20), ("一百二十", 120), ("一千零一", 1001), ("两万三千", 23_000),
        ("三亿五千万", 350_000_000), ("一九七三", 1973), ("二〇〇一", 2001),
    ],
)  # fmt: skip
def test_chinese_numbers_by_hand(numeral: str, value: int) -> None:
    assert chinese_number(numeral) == value


@given(st.integers(1, 9999))
def test_what_is_spelled_out_is_read_back(value: int) -> None:
    digits, scales = "零一二三四五六七八九", ["", "十", "百", "千"]
    spelled = ""
    for place, digit in enumerate(map(int, reversed(str(value)))):
        if digit:
            spelled = digits[digit] + scales[place] + spelled
        elif spelled and not spelled.startswith("零"):
            spelled = "零" + spelled
    assert chinese_number(spelled) == value
