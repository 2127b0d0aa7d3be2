"""Numbers that are written as words, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_UNITS: Final = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "  # noqa: SIM905
        "seventeen eighteen nineteen".split()
    )
}
_TENS: Final = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)  # noqa: SIM905
}
_SCALES: Final = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_WORD: Final = "|".join([*_UNITS, *_TENS, *_SCALES])
_AND: Final = r"(?<=hundred)\s+and\s+|(?<=thousand)\s+and\s+|(?<=million)\s+and\s+"
_RUN: Final = re.compile(rf"\b(?:{_WORD})(?:(?:[\s-]+|{_AND})(?:{_WORD}))*\b|\b(?:a )?dozen\b", re.IGNORECASE)
CHINESE_DIGITS: Final = "零〇一二两三四五六七八九十百千万亿"
_DIGITS: Final = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_CHINESE_SCALES: Final = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "亿": 100_000_000}


def english_numbers(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """Yield the numbers that are written as words, where they stand and by their value.

    A single "one" is left out: it counts nothing more often than it does.
    """
    for run in _RUN.finditer(text):
        words = [word for word in re.split(r"[\s-]+", run.group().lower()) if word != "and"]
        if words == ["one"]:
            continue
        if words[-1] == "dozen":
            yield run, 12
            continue
        total = part = 0
        for word in words:
            if word in _SCALES:
                part = max(1, part) * _SCALES[word]
                if _SCALES[word] > 100:
                    total, part = total + part, 0
            else:
                part += _UNITS.get(word, 0) + _TENS.get(word, 0)
        yield run, total + part


def chinese_number(numeral: str) -> int:
    """Return the value of a Chinese numeral such as 一百二十 or 一九七三, which has one character at least."""
    if not any(mark in _CHINESE_SCALES for mark in numeral):
        return int("".join(str(_DIGITS[mark]) for mark in numeral))
    total = section = digit = 0
    for mark in numeral:
        if mark in _DIGITS:
            digit = _DIGITS[mark]
            continue
        scale = _CHINESE_SCALES[mark]
        if scale >= 10_000:
            total = (total + section + digit) * scale if scale > 10_000 and total else total + (section + digit) * scale
            section = digit = 0
        else:
            section += (digit or 1) * scale
            digit = 0
    return total + section + digit
