"""What a text claims: numbers, months, prices, names, titles, credits, and what somebody could be held to.

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
from genre.generation.credits import credits_of
from genre.generation.numerals import CHINESE_DIGITS, chinese_number, english_numbers
from genre.generation.protected import Protected, protected_claims

ClaimKind: TypeAlias = (
    Literal["number", "percent", "decade", "month", "amount", "name", "title", "credit", "label"] | Protected
)

_DIGITS: Final = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_NUMBER: Final = re.compile(
    rf"(?<![A-Za-z0-9_.,])(?!\d+月)({_DIGITS})(?:\s*([万亿])|(\s?(?:%|(?:per ?cent|pct)\b)))?"
    r"|(?<=[A-Za-z])(\d+(?:\.\d+)?)"
)
_DECADE: Final = re.compile(
    r"\b(\d{3})0['’]?s\b|(\d{3})0年代|(?<!\w)['’]?(\d)0['’]?s\b"
    r"|(?:(?:(\d\d)|([一二]?十[一二三四五六七八九]?))世纪)?(?:([1-9])0|([一二三四五六七八九])十)年代"
)
_SPELLED_DECADE: Final = re.compile(
    r"\b(twent|thirt|fort|fift|sixt|sevent|eight|ninet)ies\b", re.IGNORECASE
)  # The nineties.
_DECADES: Final = ("twent", "thirt", "fort", "fift", "sixt", "sevent", "eight", "ninet")
_SIGNS: Final = "$€£¥₹"
_CURRENCY_WORDS: Final = (
    r"(?:(?:dollars?|euros?|pounds?|yuan|rmb|usd|eur|gbp|cny|bucks|cents)\b|元|块钱?(?!\w)|美元|欧元|英镑|卢比)"
)
_CURRENCIES: Final = {
    "usd": r"\$|dollar|usd|bucks|美元|美金", "eur": "€|euro|eur|欧元", "gbp": "£|pound|gbp|英镑",
    "cny": "¥|yuan|rmb|cny|元|块", "inr": "₹|rupee|inr|卢比", "cents": "cents",
}  # fmt: skip
_TIMES: Final = re.compile(r"\s?(?:(k|thousand|万)|(m|million)|(bn|billion)|(亿))(?![a-z])", re.IGNORECASE)
_FACTORS: Final = (1000, 10**6, 10**9, 10**8)
_PERCENT: Final = re.compile(r"\s*(?:per ?cent|pct)\b|\s?%", re.IGNORECASE)
_AMOUNT: Final = re.compile(
    rf"[{_SIGNS}]\s?({_DIGITS})|({_DIGITS})\s?[{_SIGNS}]|({_DIGITS})\s*{_CURRENCY_WORDS}", re.IGNORECASE
)
_AFTER_A_NUMBER: Final = re.compile(rf"\s*{_CURRENCY_WORDS}", re.IGNORECASE)
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH: Final = re.compile(rf"\b({'|'.join(month.capitalize() for month in _MONTHS)})\b")
_ALSO_WORDS: Final = frozenset({"march", "may", "august"})
"""These are months only inside a sentence, or before a number."""
_ISO_DATE: Final = re.compile(
    r"\b\d{4}-(\d{2})-\d{2}\b|(\d{1,2})月|(?<![一二三四五六七八九十])(十[一二]?|[一二三四五六七八九])月"
)
_MEASURES: Final = (
    "个位名部集季年日岁元块次本章条人天周届座张首篇份册页段层杯瓶件双套台辆分秒小时种项款只颗粒倍层万亿多余"
    "公里米克斤升毫瓦寸英度场根支间头匹架艘幅句代口对门科节课堂点"
)
_CHINESE_COUNT: Final = re.compile(
    rf"(?<!\d)(百分之)?([{CHINESE_DIGITS}]{{2,}}(?![{CHINESE_DIGITS}月])|[{CHINESE_DIGITS}](?=[{_MEASURES}]|$|[，。！？；、\s]))"
)
_NOT_COUNTS: Final = frozenset({"一", "两", "万一", "零"})
"""In Chinese these say "a", "both", "in case" and "nothing" more often than how many."""
_VERY: Final = re.compile("十(?=分(?![钟之]))|千万(?=[别不要记])|一(?=[一]|[定样起些])")
"""Numerals in words that count nothing: very, by all means, certainly."""
_QUOTED: Final = re.compile(r"《([^》]{1,60})》|[“\"]([^”\"]{2,60})[”\"]")
_WORD: Final = re.compile(rf"[^\W\d_{CJK}][^\W_{CJK}'’.-]*(?:['’.-][^\W_{CJK}]+)*\.?")
_SMALL: Final = frozenset({"of", "the", "de", "van", "von", "der", "da", "di", "la", "le", "el", "and"})
_DOTTED_NAME: Final = re.compile(rf"[{CJK}]{{1,8}}(?:[·•][{CJK}]{{1,8}})+")
_ROLES: Final = "导演|主演|演员|作者|作家|编剧|歌手|讲师|品牌"
_DONE_BY: Final = "执导|导演|主演|出演|编剧|创作|演唱|主讲"
_CHINESE_NAME: Final = re.compile(
    rf"(?:{_ROLES})(?:(?:是|为|：|:|由)([{CJK}]{{2,4}})|(?![的了过])([{CJK}]{{2,3}})(?=[，。；、！]|$))|由([{CJK}]{{2,4}}?)(?:{_DONE_BY})"
    rf"|(?:^|[，。；、])(?!由)([{CJK}]{{2,4}}?)(?:执导|导演|主演|出演|编剧|演唱)(?=[的了，。；、！]|$)"
)
_CHINESE_MARKS: Final = re.compile("([，。！？；：、])")
_UNSPACED: Final = re.compile(f"[{CJK}]")
_SENTENCE: Final = re.compile(r"(?<=[.!?:;。！？：；\n])\s*")
_LONGER: Final = re.compile(rf"[^\W\d_{CJK}]{{4,}}")
_HEADLINE: Final = 0.7
_ADVERBS: Final = frozenset(
    "lately recently naturally eventually finally suddenly meanwhile usually mostly clearly nearly early only really "  # noqa: SIM905
    "especially originally actually simply starring featuring based directed written".split()
)
"""Words that begin sentences, and in a short catalogue stand nowhere else."""
_NO_NAMES: Final = frozenset(
    {
        "i", "i'm", "i've", "i'll", "i'd", *_MONTHS,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A piece of a text that is true or not."""

    kind: ClaimKind
    said: str
    """As it stands in the text."""
    key: str
    """What it comes to, whatever the spelling: two claims of a kind with the same key say the same."""
    unit: str = ""
    """Of an amount, its currency, if that is said."""


def claims_of(
    text: str, *, common_words: frozenset[str] = frozenset(), protected: Iterable[Protected] = ()
) -> list[Claim]:
    """Return what a text claims.

    Args:
        text: English, Chinese, or both.
        common_words: Words that are no names though a sentence begins with them.
        protected: The classes of claims to look for beside numbers, names and titles.
    """
    plain = normal(text)
    found = [*_numbers(plain), *_months(plain), *_amounts(plain), *_titles(plain), *_names(plain, common_words)]
    found += [Claim("credit", one.said, f"{one.role} {' '.join(name_words(one.name))}") for one in credits_of(plain)]
    return found + [Claim(kind, said, key) for kind, said, key in protected_claims(plain, protected)]


def normal(text: str) -> str:
    """Return a text with wide letters and digits made narrow, and Chinese punctuation left as it is."""
    parts = _CHINESE_MARKS.split(text)
    narrow = [part if at % 2 else unicodedata.normalize("NFKC", part) for at, part in enumerate(parts)]
    return "".join(narrow).replace("’", "'")


def name_words(text: str) -> list[str]:
    """Return the words of a name as they are compared: folded, without accents and without a possessive."""
    folded = unicodedata.normalize("NFKD", text.replace("ł", "l").replace("Ł", "L").replace("ø", "o")).casefold()
    bare = "".join(mark for mark in folded if not unicodedata.combining(mark))
    return re.findall(rf"[{CJK}]+|[^\W_{CJK}]+", re.sub(r"['’]s\b", "", bare))


def _numbers(text: str) -> Iterator[Claim]:
    taken = [one.span() for one in _DECADE.finditer(text)]
    for one in _DECADE.finditer(text):
        digit = one[3] or one[6] or (str(chinese_number(one[7])) if one[7] else "")
        century = int(one[4]) if one[4] else chinese_number(one[5]) if one[5] else None
        # The twentieth century is the one of the 1900s.
        yield Claim("decade", one.group(), one[1] or one[2] or f"{'*' if century is None else century - 1}{digit}")
    for one in _SPELLED_DECADE.finditer(text):
        yield Claim("decade", one.group(), f"*{_DECADES.index(one[1].lower()) + 2}")
    for one in _NUMBER.finditer(text):
        if any(start <= one.start() < end for start, end in taken):
            continue
        value = _plain(one[1] or one[4])
        if one[2]:
            value = _plain(str(Decimal(value) * (10**4 if one[2] == "万" else 10**8)))
        yield Claim("percent" if one[3] else "number", one.group(), value)
    for one, number in english_numbers(text):
        percent = _PERCENT.match(text, one.end()) is not None
        yield Claim("percent" if percent else "number", one.group(), _plain(str(number)))
    for one in _CHINESE_COUNT.finditer(text):
        said = one[2]
        in_decade = any(start <= one.start(2) < end for start, end in taken)
        if said not in _NOT_COUNTS and not in_decade and not _VERY.match(text, one.start(2)):
            yield Claim("percent" if one[1] else "number", one.group(), _plain(str(chinese_number(said))))


def _months(text: str) -> Iterator[Claim]:
    for one in _MONTH.finditer(text):
        inside = re.search(r"[^\s.!?:;\"“]\s*$", text[: one.start()]) is not None
        if one[1].lower() not in _ALSO_WORDS or inside or re.match(r"\s+\d", text[one.end() :]):
            yield Claim("month", one.group(), str(_MONTHS.index(one[1].lower()) + 1))
    for one in _ISO_DATE.finditer(text):
        yield Claim("month", one.group(), str(chinese_number(one[3]) if one[3] else int(one[1] or one[2])))


def _amounts(text: str) -> Iterator[Claim]:
    for one in _AMOUNT.finditer(text):
        value = Decimal(_plain(one[1] or one[2] or one[3]))
        times = _TIMES.match(text, one.end())
        factor = next((by for by, said in zip(_FACTORS, times.groups(), strict=True) if said), 1) if times else 1
        yield Claim("amount", one.group(), _plain(str(value * factor)), currency_of(one.group()))
    spelled = [(one, number) for one, number in english_numbers(text)]
    spelled += [(one, chinese_number(one.group())) for one in re.finditer(f"[{CHINESE_DIGITS}]+", text)]
    for one, number in spelled:
        if (after := _AFTER_A_NUMBER.match(text, one.end())) is not None:
            yield Claim("amount", one.group(), str(number), currency_of(after.group()))


def currency_of(text: str) -> str:
    """Return which currency a text names, "" where none."""
    return next((code for code, said in _CURRENCIES.items() if re.search(said, text.casefold())), "")


def _titles(text: str) -> Iterator[Claim]:
    return (Claim("title", one.group(), " ".join(name_words(one[1] or one[2]))) for one in _QUOTED.finditer(text))


def _names(text: str, common_words: frozenset[str]) -> Iterator[Claim]:
    for sentence in _SENTENCE.split(text):
        is_headline, is_chinese = _is_headline(sentence), _UNSPACED.search(sentence) is not None
        for words, begins in _capitals(sentence):
            if is_headline:
                kept = [word for word in words if not _is_common(word, common_words)]
            else:
                kept = words[1:] if begins and _is_common(words[0], common_words) else words
            while kept and kept[0] in _SMALL:
                kept = kept[1:]
            said = " ".join(kept)
            if said and said.rstrip(".").casefold() not in _NO_NAMES:
                yield Claim("name", said, " ".join(name_words(said)))
        for one in _WORD.finditer(sentence) if is_chinese else ():
            if not one.group()[0].isupper() and not _is_common(one.group(), common_words):
                yield Claim("name", one.group(), " ".join(name_words(one.group())))
    for one in _DOTTED_NAME.finditer(text):
        yield Claim("name", one.group(), " ".join(name_words(one.group())))
    for one in _CHINESE_NAME.finditer(text):
        said = next(filter(None, one.groups()))
        yield Claim("name", said, said)


def _capitals(sentence: str) -> Iterator[tuple[list[str], bool]]:
    """Yield runs of words with capitals, small words between them included, and whether the sentence begins with it."""
    run: list[str] = []
    begins, end, pending = False, 0, list[str]()
    for at, one in enumerate(_WORD.finditer(sentence)):
        word, gap = one.group(), sentence[end : one.start()]
        goes_on = bool(run) and not gap.strip()
        if word[0].isupper():
            if not goes_on:
                if run:
                    yield run, begins
                run, begins = [], at == 0
                pending = []
            run, pending = [*run, *pending, word], []
        elif goes_on and word in _SMALL:
            pending.append(word)
        elif run:
            yield run, begins
            run, pending = [], []
        end = one.end()
    if run:
        yield run, begins


def _is_common(word: str, common_words: frozenset[str]) -> bool:
    if word.casefold() in _ADVERBS:
        return True
    return word.casefold().rstrip(".").removesuffix("'s") in common_words


def _is_headline(sentence: str) -> bool:
    """Tell whether a sentence has a capital at most of its longer words, so that a capital says nothing."""
    longer: list[str] = _LONGER.findall(sentence)
    return len(longer) > 2 and sum(word[0].isupper() for word in longer) > _HEADLINE * len(longer)


def _plain(number: str) -> str:
    """Return one spelling for a number: 1,000.50 is 1000.5."""
    value = Decimal(number.replace(",", ""))
    return format(value.normalize(), "f")
