"""What a text claims: its numbers, months, prices, names and titles, and claims that somebody could be held to.

English and Chinese. A claim is found by its form, without a dictionary; where a form is in doubt, it counts as a claim,
since a text that is thought untrue costs another try, and one that is thought true is shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from genre.core.words import CJK
from genre.generation.numerals import chinese_number, english_numbers
from genre.generation.protected import Protected, protected_claims

ClaimKind: TypeAlias = Literal["number", "decade", "month", "amount", "name", "title"] | Protected

_NUMBER: Final = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\d])|(?<=[^\W\d_])\d+(?:\.\d+)?")
_DECADE: Final = re.compile(r"\b(\d{3})0['’]?s\b|(\d{3})0年代|\b['’](\d)0s\b")
_CURRENCY: Final = re.compile(
    r"[$€£¥](\d[\d,]*(?:\.\d+)?)|(\d[\d,]*(?:\.\d+)?)\s*(?:dollars?|euros?|pounds?|yuan|rmb|usd|eur|gbp|cny|元|块钱?|美元|欧元|英镑)",
    re.IGNORECASE,
)
_MONTHS: Final = (
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)
_NAMED_MONTH: Final = "|".join(_MONTHS)
_MONTH: Final = re.compile(
    rf"\b({_NAMED_MONTH})\b(?=\s+\d|,?\s+(?:of|in)\b)|\b(?:in|on|of|since|until|by)\s+({_NAMED_MONTH})\b",
    re.IGNORECASE,
)
_ISO_DATE: Final = re.compile(r"\b\d{4}-(\d{2})-\d{2}\b|(\d{1,2})月")
_CHINESE_COUNT: Final = re.compile(
    r"([零〇一二两三四五六七八九十百千万亿]+)(?=[个位名部集季年月日岁元块次本章条人天周届座张首篇份册页段层杯瓶件双套台辆分多余])"
)
_NOT_COUNTS: Final = frozenset({"一", "两", "万一", "千万", "十分"})
"""In Chinese these say "a", "both", "in case", "by all means" and "very" more often than how many."""
_QUOTED: Final = re.compile(r"《([^》]{1,60})》|[“\"]([^”\"]{2,60})[”\"]")
_SMALL: Final = r"(?:(?:of|the|de|van|von|der|da|di|la|le|el|and|&)\s+)"
_BETWEEN_NAMES: Final = re.compile(f"^{_SMALL}+")
_CAPITALS: Final = re.compile(rf"(?<![\w'’])[A-Z\u00c0-\u00de][\w'’.-]*(?:\s+{_SMALL}*[A-Z\u00c0-\u00de][\w'’.-]*)*")
_LATIN_NAME: Final = re.compile(r"[A-Za-z\u00c0-\u024f][\w'’.-]*(?:\s+[A-Za-z\u00c0-\u024f][\w'’.-]*)*")
_CHINESE_NAME: Final = re.compile(
    rf"[{CJK}]{{1,8}}(?:[·•][{CJK}]{{1,8}})+|(?:导演|主演|演员|作者|作家|编剧|歌手|讲师|品牌)(?:是|为|：|:|由)([{CJK}]{{2,4}})"
)
_LONGER: Final = re.compile(r"[^\W\d_]{4,}")
_HEADLINE: Final = 0.7
_UNSPACED: Final = re.compile(f"[{CJK}]")
_SENTENCE: Final = re.compile(r"(?<=[.!?:;。！？：；\n])\s*")
_NO_NAMES: Final = frozenset(
    "i i'm i've i'll i'd monday tuesday wednesday thursday friday saturday sunday english chinese".split()  # noqa: SIM905
) | frozenset(_MONTHS)


@dataclass(frozen=True)
class Claim:
    """A piece of a text that is true or not."""

    kind: ClaimKind
    said: str
    """As it stands in the text."""
    key: str
    """What it comes to, whatever the spelling: two claims of a kind with the same key say the same."""


def claims_of(
    text: str, *, common_words: frozenset[str] = frozenset(), protected: Iterable[Protected] = ()
) -> list[Claim]:
    """Return what a text claims.

    Args:
        text: English, Chinese, or both.
        common_words: Words that are no names though a sentence begins with them.
        protected: The classes of claims to look for beside numbers, names and titles.
    """
    plain = unicodedata.normalize("NFKC", text).replace("’", "'")
    found = [*_numbers(plain), *_months(plain), *_amounts(plain), *_titles(plain), *_names(plain, common_words)]
    return found + [Claim(kind, said, key) for kind, said, key in protected_claims(plain, protected)]


def name_words(text: str) -> list[str]:
    """Return the words of a name as they are compared: folded, without a possessive, and single letters of initials."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(mark for mark in folded if not unicodedata.combining(mark))
    return re.findall(rf"[{CJK}]+|[^\W_{CJK}]+", re.sub(r"['’]s\b", "", bare))


def _numbers(text: str) -> Iterator[Claim]:
    decades = [one.span() for one in _DECADE.finditer(text)]
    for one in _DECADE.finditer(text):
        digits = one[1] or one[2]
        yield Claim("decade", one.group(), digits or f"*{one[3]}")
    for one in _NUMBER.finditer(text):
        if not any(start <= one.start() < end for start, end in decades):
            yield Claim("number", one.group(), _plain(one.group()))
    for said, value in english_numbers(text):
        yield Claim("number", said, _plain(str(value)))
    for one in _CHINESE_COUNT.finditer(text):
        if one[1] not in _NOT_COUNTS:
            yield Claim("number", one[1], _plain(str(chinese_number(one[1]))))


def _months(text: str) -> Iterator[Claim]:
    for one in _MONTH.finditer(text):
        yield Claim("month", one.group(), str(_MONTHS.index((one[1] or one[2]).lower()) + 1))
    for one in _ISO_DATE.finditer(text):
        yield Claim("month", one.group(), str(int(one[1] or one[2])))


def _amounts(text: str) -> Iterator[Claim]:
    return (Claim("amount", one.group(), _plain(one[1] or one[2])) for one in _CURRENCY.finditer(text))


def _titles(text: str) -> Iterator[Claim]:
    return (Claim("title", one.group(), " ".join(name_words(one[1] or one[2]))) for one in _QUOTED.finditer(text))


def _names(text: str, common_words: frozenset[str]) -> Iterator[Claim]:
    for sentence in _SENTENCE.split(text):
        begin = len(sentence) - len(sentence.lstrip("\"'“‘(- "))
        is_headline = _is_headline(sentence)
        for one in _CAPITALS.finditer(sentence):
            said = one.group()
            if is_headline:
                said = " ".join(word for word in said.split() if not _is_common(word, common_words))
            elif one.start() <= begin and _is_common(said.partition(" ")[0], common_words):
                said = _BETWEEN_NAMES.sub("", said.partition(" ")[2].lstrip())
            if said and said.casefold() not in _NO_NAMES:
                yield Claim("name", said, " ".join(name_words(said)))
        if _UNSPACED.search(sentence):
            for one in _LATIN_NAME.finditer(sentence):
                if not one.group()[0].isupper() and one.group().casefold() not in common_words:
                    yield Claim("name", one.group(), " ".join(name_words(one.group())))
    for one in _CHINESE_NAME.finditer(text):
        said = one[1] or one.group()
        yield Claim("name", said, " ".join(name_words(said)))


def _is_common(word: str, common_words: frozenset[str]) -> bool:
    return word.casefold().rstrip(".").removesuffix("'s") in common_words


def _is_headline(sentence: str) -> bool:
    """Tell whether a sentence has a capital at most of its longer words, so that a capital says nothing."""
    longer: list[str] = _LONGER.findall(sentence)
    return len(longer) > 2 and sum(word[0].isupper() for word in longer) > _HEADLINE * len(longer)


def _plain(number: str) -> str:
    """Return one spelling for a number: 1,000.50 is 1000.5."""
    value = Decimal(number.replace(",", ""))
    return format(value.normalize(), "f")
