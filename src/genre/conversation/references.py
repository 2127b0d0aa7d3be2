"""Places of the list that somebody points at: "the second", "the last two", 第三部, 前两个."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from genre.generation.numerals import CHINESE_DIGITS, chinese_number

_ORDINALS: Final = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13,
}  # fmt: skip
_COUNTS: Final = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12,
}  # fmt: skip
_NOUN: Final = (
    r"(?:ones?|films?|movies?|items?|titles?|books?|products?|songs?|tracks?|articles?|courses?|posts?|"
    r"recommendations?|picks?|suggestions?)"
)
_WHICH: Final = "|".join(_ORDINALS)
_MANY: Final = "|".join([*_COUNTS, r"\d{1,2}"])
_ENGLISH: Final = re.compile(
    rf"(?P<lead>(?<!\ba )\b(?:the )?first (?P<first_many>{_MANY}|couple)\b(?! (?:decades?|years?))(?: {_NOUN})?)"
    rf"|(?P<trail>\b(?:the )?last (?P<last_many>{_MANY})\b(?! (?:decades?|years?))(?: {_NOUN})?)"
    rf"|(?P<nth>(?<!\ba )(?<!\bat )\b(?:the |number |no\. ?|#)?(?P<ordinal>{_WHICH}|\d{{1,2}}(?:st|nd|rd|th))\b"
    rf"(?! (?:world|century|of all|time|thing|half|part|to last)|-to-last)(?: {_NOUN})?)"
    rf"|(?P<number>(?:\b(?:number|no\.|nr\.?) ?|#)(?P<digits>\d{{1,2}}|{'|'.join(_COUNTS)})\b)"
    rf"|(?P<end>\b(?:the |your )?(?P<back>second to |second-to-|next to )?last {_NOUN}|\bthe last\b(?= ?(?:$|"
    rf"[,.;!?]|and\b|or\b|is\b|was\b)))"
    r"|(?P<pair>\b(?:both(?: of them)?|these two|the two(?: of them)?|those two)\b)"
    r"|(?P<all>\b(?:all of (?:them|these|those)|them all|all (?:five|four|three)|these ones|all these)\b"
    r"|(?:(?<=\bnone of )(?:them|these|those)|(?<=\bnot )(?:these|those))(?=$| ?[,.;!?]))"
)
_UNIT: Final = "[个部本首条款件篇门张]"
_DIGIT: Final = rf"(?:\d{{1,2}}|[{CHINESE_DIGITS}]{{1,3}})"
_CHINESE: Final = re.compile(
    rf"(?P<lead>(?:前面?|头)(?P<first_many>\d{{1,2}}|[两二三四五六七八九十]){_UNIT})"
    rf"|(?P<trail>(?:最后|后面?)(?P<last_many>\d{{1,2}}|[两二三四五六七八九十]){_UNIT})"
    rf"|(?P<back>倒数第(?P<back_place>{_DIGIT}){_UNIT}?)"
    rf"|(?P<nth>第(?P<ordinal>{_DIGIT})(?:{_UNIT}|(?!届|次|季|代|名)))"
    rf"|(?P<first>[头首]一?{_UNIT})"
    rf"|(?P<end>最后(?:那|一|那一)?{_UNIT})"
    rf"|(?P<pair>这两{_UNIT}|那两{_UNIT}|两{_UNIT}都|它们俩|这俩|两者)"
    r"|(?P<all>这些都|全部都|所有这些|一[个部本]都(?=不|没))"
)
Places = tuple[int, ...]
"""From 1; below 0, from the end: -1 is the last."""
PAIR: Final[Places] = (0, 0)
"""The two that are spoken of."""
ALL: Final[Places] = ()
"""All of them."""


def find_places(text: str) -> Iterator[tuple[int, int, Places]]:
    """Yield where a folded message points at places of the list, and at which."""
    for hit in _ENGLISH.finditer(text):
        yield hit.start(), hit.end(), _english(hit)
    for hit in _CHINESE.finditer(text):
        yield hit.start(), hit.end(), _chinese(hit)


def _english(hit: re.Match[str]) -> Places:
    if hit["lead"]:
        return tuple(range(1, (2 if hit["first_many"] == "couple" else _count(hit["first_many"])) + 1))
    if hit["trail"]:
        return tuple(range(-_count(hit["last_many"]), 0))
    if hit["nth"]:
        return (_ORDINALS.get(hit["ordinal"]) or int(re.sub(r"\D", "", hit["ordinal"])),)
    if hit["number"]:
        return (_count(hit["digits"]),)
    if hit["end"]:
        return (-2,) if hit["back"] else (-1,)
    return PAIR if hit["pair"] else ALL


def _chinese(hit: re.Match[str]) -> Places:
    if hit["lead"]:
        return tuple(range(1, _count(hit["first_many"]) + 1))
    if hit["trail"]:
        return tuple(range(-_count(hit["last_many"]), 0))
    if hit["back"]:
        return (-_count(hit["back_place"]),)
    if hit["nth"]:
        return (_count(hit["ordinal"]),)
    if hit["first"]:
        return (1,)
    if hit["end"]:
        return (-1,)
    return PAIR if hit["pair"] else ALL


def _count(numeral: str) -> int:
    if numeral.isdigit():
        return int(numeral)
    return _COUNTS.get(numeral) or chinese_number(numeral)
