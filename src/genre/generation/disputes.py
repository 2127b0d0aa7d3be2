"""Where the facts of an item contradict each other: years, running times and prices that are said twice, and differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from genre.generation.claims import claims_of
from genre.generation.sentences import sentences_of, together

Dispute: TypeAlias = Literal["year", "runtime", "price"]
PRICES: Final = re.compile(r"price|cost|价", re.IGNORECASE)
"""Columns that hold a price, by their names in both languages."""
_COLUMNS: Final[Mapping[Dispute, re.Pattern[str]]] = {
    "year": re.compile(r"(?<![a-z])(?:year|released?|published)(?![a-z])|年份|上映|出版", re.IGNORECASE),
    "runtime": re.compile(r"runtime|running time|duration|片长|时长", re.IGNORECASE),
    "price": PRICES,
}
_MADE: Final = "film|movie|picture|drama|comedy|album|record|song|book|novel|edition|model|release"
_IN_TEXT: Final[Mapping[Dispute, re.Pattern[str]]] = {
    "year": re.compile(
        rf"\b((?:1[89]|20)\d\d) (?:{_MADE})\b|\b(?:released|published|made|filmed) in ((?:1[89]|20)\d\d)\b"
        r"|((?:1[89]|20)\d\d)年(?:的)?(?:电影|影片|专辑|唱片|歌曲|小说|图书|上映|出版|发行|拍摄)",
        re.IGNORECASE,
    ),
    "runtime": re.compile(r"\b(\d{2,3})[- ]minutes?\b|(\d{2,3})\s?分钟", re.IGNORECASE),
}
_YEAR: Final = re.compile(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)")


def disputes_of(labels: Mapping[str, str], text: str) -> dict[str, tuple[str, ...]]:
    """Return what is said with several values: two columns differ, or a column and the text.

    Years of a text count only where it says that the thing is of that year; of prices, every amount of money counts,
    and a text that names the column's among others does not contradict it.

    Args:
        labels: Columns and what they say.
        text: The item's sentences.
    """
    found: dict[str, tuple[str, ...]] = {}
    for dispute, names in _COLUMNS.items():
        own = dict.fromkeys(
            value for name, said in labels.items() if names.search(name) for value in _of(dispute, said)
        )
        if dispute == "price":
            told = dict.fromkeys(claim.key for claim in claims_of(text) if claim.kind == "amount")
            told = told if own and not own.keys() & told.keys() else {}
        else:
            told = dict.fromkeys(next(filter(None, one.groups())) for one in _IN_TEXT[dispute].finditer(text))
        values = tuple(dict.fromkeys([*own, *(told if own else ())]))
        if len(values) > 1:
            found[dispute] = values
    return found


def without_prices(labels: Mapping[str, str], text: str) -> tuple[dict[str, str], str]:
    """Return facts that say nothing of what the item costs."""
    kept = {name: value for name, value in labels.items() if not PRICES.search(name)}
    sentences = sentences_of(text)
    silent = [one for one in sentences if all(claim.kind != "amount" for claim in claims_of(one))]
    return kept, text if len(silent) == len(sentences) else together(silent)


def _of(dispute: Dispute, said: str) -> Iterable[str]:
    if dispute == "year":
        return _YEAR.findall(said)[:1]
    return [claim.key for claim in claims_of(said) if claim.kind == "number"][:1]
