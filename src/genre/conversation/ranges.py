"""Numbers that somebody asks for, as ranges: "from the 80s", "before 1960", "under two hours", 九十年代, 两小时以内."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from genre.conversation.lexicon import lexicon
from genre.generation.numerals import CHINESE_DIGITS, chinese_number, english_numbers

YEAR, DURATION, PRICE = "year", "duration", "price"
_DECADES: Final = {
    "twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70, "eighties": 80,
    "nineties": 90, "noughties": 0,
}  # fmt: skip
_YEAR: Final = r"(?:1[89]|20)\d\d"
_DECADE: Final = rf"(?:early |mid-?|late )?(?:(?:{_YEAR})s|'?\d0'?s|{'|'.join(_DECADES)})"
_WHEN: Final = rf"(?:the )?(?:year )?(?P<{{0}}>{_YEAR}|{_DECADE})"
_BELOW: Final = (
    r"(?:before|until|till|up to|by|prior to|pre-?|earlier than|older than|no later than|not after|at the latest|"
    r"no newer than|not newer than|at most|no more than|not more than|less than|under|below|max(?:imum)?(?: of)?|"
    r"within|up till|shorter than|"
    r"cheaper than|lower than)"
)
_ABOVE: Final = (
    r"(?:after|since|from|post-?|later than|newer than|no earlier than|not before|no older than|not older than|"
    r"more recent than|at least|no less than|not less than|more than|over|above|min(?:imum)?(?: of)?|longer than|"
    r"more expensive than|higher than|"
    r"starting (?:in|from))"
)
_STRICT: Final = frozenset(
    (  # noqa: SIM905
        "before;prior to;pre;pre-;earlier than;older than;less than;under;below;shorter than;cheaper than;"
        "lower than;after;post;post-;later than;newer than;more recent than;more than;over;above;longer than;"
        "more expensive than;higher than"
    ).split(";")
)
"""These leave out the number itself."""
_UNITS: Final = {
    unit: measure
    for name in (DURATION, PRICE, "rating")
    for measure in [name]
    for unit in lexicon().measures[name].said["en"].units
    if unit.isalpha()
}
_AMOUNT: Final = rf"(?:[$€£] ?)?\d+(?:\.\d+)?(?: ?(?:{'|'.join(sorted(_UNITS, key=len, reverse=True))})\b)?"
_ENGLISH_FORMS: Final = (
    rf"(?P<between>\b(?:between|from) {_WHEN.format('low')} (?:and|to|until|till|through) {_WHEN.format('high')}\b)"
    rf"|(?P<span>\b(?P<from>{_YEAR}) ?[-–—] ?(?P<to>{_YEAR})\b)"
    rf"|(?P<until>\b{_BELOW} ?{_WHEN.format('below')}\b)"
    rf"|(?P<or_older>\b(?:from |in )?{_WHEN.format('and_below')} (?:or|and) (?:older|earlier|before)\b)"
    rf"|(?P<or_newer>\b(?:from |in )?{_WHEN.format('and_above')} (?:or|and) (?:newer|later|after|onwards?)\b|"
    rf"\b{_WHEN.format('onward')} onwards?\b)"
    rf"|(?P<decade>\b(?:from |in |of |during )?(?:the )?(?P<decade_said>{_DECADE})(?!\w))"
    rf"|(?P<since>\b{_ABOVE.replace('|from|', '|')} ?{_WHEN.format('above')}\b)"
    rf"|(?P<in>\b(?:from|in|of|made in|released in) (?:the year )?(?P<year>{_YEAR})\b)"
    r"|(?P<century>\b(?:from |in |of |to )?(?:the |this |last )?(?P<which>20th|21st|twentieth|twenty-first|this|"
    r"last|previous) century\b)"
    r"|(?P<recent>\b(?:in |from |of )?(?:the |these )?(?:last|past) (?P<years>\d{1,2}|few|ten|twenty|five|thirty|"
    r"two|three) (?P<span_of>years|decades)\b"
    r"|\b(?:in |from |of )?the (?:last|past) decade\b)"
    rf"|(?P<amount>\b(?:(?P<least>{_ABOVE})|(?P<most>{_BELOW})) ?(?P<number>{_AMOUNT})(?!\d| (?:films?|movies?|"
    rf"items?|books?|songs?|products?)))"
)
# A number that was spelt leaves spaces behind it.
_ENGLISH: Final = re.compile(re.sub(r" (\??)", lambda space: " *" if space[1] else " +", _ENGLISH_FORMS))
_NUMERAL: Final = rf"(?:\d+(?:\.\d+)?|[{CHINESE_DIGITS}]+|半)"
_CENTURY: Final = r"(?:上个?世纪|本世纪|这个世纪|二十世纪|20世纪|二十一世纪|21世纪|19)?"
_CHINESE: Final = re.compile(
    rf"(?P<between>(?P<low>{_YEAR}) ?年?(?:到|至|-|–|—|~)(?P<high>{_YEAR}) ?年?(?:之间|间|期间)?)"
    rf"|(?P<decade>{_CENTURY}(?P<tens>[二三四五六七八九]十|[2-9]0|(?:19|20)\d0|零零|〇〇|00)年代(?P<side>以前|之前|"
    rf"以后|之后|以来|或更早|或更晚|前|后)?)"
    r"|(?P<decades>(?P<tens_from>[二三四五六七八])(?P<tens_to>[三四五六七八九])十年代)"
    rf"|(?P<until>(?P<below>{_YEAR}) ?年?(?:以前|之前|前|或更早|及以前)|"
    rf"(?:早于|不晚于|最晚) ?(?P<earlier>{_YEAR}) ?年?)"
    rf"|(?P<since>(?P<above>{_YEAR}) ?年?(?:以后|之后|以来|后|或更晚|及以后|起)|"
    rf"(?:晚于|不早于|最早) ?(?P<later>{_YEAR}) ?年?)"
    rf"|(?P<in>(?P<year>{_YEAR}) ?年)"
    r"|(?P<century>(?P<which>上个?世纪|本世纪|这个世纪|二十世纪|20世纪|二十一世纪|21世纪)的?)"
    rf"|(?P<recent>(?:最近|近|过去)(?P<years>\d{{1,2}}|[二三五十两]+)年)"
    rf"|(?P<amount>(?P<bound>不超过|不多于|少于|低于|小于|最多|至多|不到|短于|超过|多于|高于|大于|至少|最少|不少于|"
    rf"长于|不低于)?(?P<number>{_NUMERAL})个?(?P<half>半)?"
    r"(?P<unit>分钟|小时|钟头|元|块钱|块|美元|欧元|星|分)(?P<half_after>半)?(?P<tail>以内|之内|以下|内|以上|之上|"
    r"往上|左右)?)"
)
_MINUTES: Final = 60


@dataclass(frozen=True)
class Range:
    """Bounds on something that a number column may hold."""

    measure: str | None
    """None where only the number was said."""
    at_least: float | None = None
    at_most: float | None = None
    last_years: int | None = None
    """Counted back from the newest item."""


def find_ranges(text: str) -> Iterator[tuple[int, int, Range]]:
    """Yield the ranges in a folded message."""
    spelt = _in_digits(text)
    for hit in _ENGLISH.finditer(spelt):
        if (found := _english(hit)) is not None:
            yield hit.start(), hit.end(), found
    for hit in _CHINESE.finditer(text):
        if (found := _chinese(hit)) is not None:
            yield hit.start(), hit.end(), found


def _in_digits(text: str) -> str:
    """Return a text with numbers in digits, filled with spaces so that it keeps its length."""
    for run, value in english_numbers(text):
        if value < 1_000_000 and len(str(value)) <= len(run.group()):
            text = text[: run.start()] + str(value) + " " * (len(run.group()) - len(str(value))) + text[run.end() :]
    return text


def _english(hit: re.Match[str]) -> Range | None:
    if hit["between"]:
        return Range(YEAR, _first(hit["low"]), _last(hit["high"]))
    if hit["span"]:
        return Range(YEAR, float(hit["from"]), float(hit["to"]))
    if hit["until"]:
        strict = _said(hit["until"], _BELOW) in _STRICT
        return Range(YEAR, at_most=_first(hit["below"]) - 1 if strict else _last(hit["below"]))
    if hit["or_older"]:
        return Range(YEAR, at_most=_last(hit["and_below"]))
    if hit["or_newer"]:
        return Range(YEAR, at_least=_first(hit["and_above"] or hit["onward"]))
    if hit["since"]:
        strict = _said(hit["since"], _ABOVE) in _STRICT
        return Range(YEAR, at_least=_last(hit["above"]) + 1 if strict else _first(hit["above"]))
    if hit["decade"]:
        return Range(YEAR, _first(hit["decade_said"]), _last(hit["decade_said"]))
    if hit["in"]:
        return Range(YEAR, float(hit["year"]), float(hit["year"]))
    return _english_span(hit)


def _english_span(hit: re.Match[str]) -> Range | None:
    if hit["century"]:
        return _century(hit["which"] in {"21st", "twenty-first", "this"})
    if hit["recent"]:
        counts = {"few": 5, "ten": 10, "twenty": 20, "five": 5, "thirty": 30, "two": 2, "three": 3}
        many = hit["years"] or "ten"
        count = counts.get(many) or int(many)
        return Range(YEAR, last_years=count * (10 if hit["span_of"] == "decades" else 1))
    return _english_amount(hit)


def _english_amount(hit: re.Match[str]) -> Range | None:
    said = hit["number"]
    value = float(re.findall(r"\d+(?:\.\d+)?", said)[0])
    unit = re.sub(r"[\d. ]", "", said)
    measure = PRICE if unit[:1] in {"$", "€", "£"} else _UNITS.get(unit)
    if measure == DURATION and unit.startswith("h"):
        value *= _MINUTES
    return _bounded(measure, value, least=hit["least"] is not None)


def _chinese(hit: re.Match[str]) -> Range | None:
    if hit["between"]:
        return Range(YEAR, float(hit["low"]), float(hit["high"]))
    if hit["decade"]:
        return _chinese_decade(hit)
    if hit["until"]:
        # 1960年以前 leaves 1960 out, as "before 1960" does.
        strict = not re.search("及|或|不晚于|最晚", hit["until"])
        return Range(YEAR, at_most=float(hit["below"] or hit["earlier"]) - strict)
    if hit["since"]:
        return Range(YEAR, at_least=float(hit["above"] or hit["later"]) + hit["since"].startswith("晚于"))
    if hit["decades"]:
        first, last = (1900 + chinese_number(hit[name] + "十") for name in ("tens_from", "tens_to"))
        return Range(YEAR, float(first), float(last + 9)) if first < last else None
    if hit["in"]:
        return Range(YEAR, float(hit["year"]), float(hit["year"]))
    if hit["century"]:
        return _century("上" not in hit["which"] and not re.match("二十世纪|20世纪", hit["which"]))
    if hit["recent"]:
        return Range(YEAR, last_years=_value(hit["years"]))
    return _chinese_amount(hit)


def _chinese_decade(hit: re.Match[str]) -> Range:
    tens = hit["tens"]
    start = 2000 if tens in {"零零", "〇〇", "00"} else int(tens) if tens.isdigit() else chinese_number(tens)
    if start < 100:
        modern = start == 20 or (start == 10)
        start += 2000 if modern and not re.match("上|二十世纪|20世纪|19", hit["decade"]) else 1900
    side = hit["side"] or ""
    if re.search("前|早", side):
        return Range(YEAR, at_most=float(start + 9 if "更" in side else start - 1))
    if re.search("后|来|晚", side):
        return Range(YEAR, at_least=float(start))
    return Range(YEAR, float(start), float(start + 9))


def _chinese_amount(hit: re.Match[str]) -> Range | None:
    unit, bound, tail = hit["unit"], hit["bound"] or "", hit["tail"] or ""
    if not bound and not re.search("内|下|上", tail):
        return None
    value = 0.5 if hit["number"] == "半" else float(_value(hit["number"]))
    value += 0.5 if hit["half"] or hit["half_after"] else 0
    measure = {"星": "rating", "分": "rating"}.get(unit, DURATION if unit in {"分钟", "小时", "钟头"} else PRICE)
    value *= _MINUTES if unit in {"小时", "钟头"} else 1
    least = (
        bool(re.search("超过|多于|高于|大于|至少|最少|不少于|长于|不低于", bound))
        and bound != "不超过"
        and bound != "不多于"
    )
    return _bounded(measure, value, least=least or bool(re.search("上", tail)))


def _bounded(measure: str | None, value: float, *, least: bool) -> Range:
    return Range(measure, at_least=value) if least else Range(measure, at_most=value)


def _century(present: bool) -> Range:
    return Range(YEAR, at_least=2000) if present else Range(YEAR, at_least=1900, at_most=1999)


def _said(text: str, bounds: str) -> str:
    found = re.match(bounds, text)
    return found.group() if found else ""


def _first(when: str) -> float:
    """Return the first year of a year or a decade."""
    digits = re.search(r"\d+", when)
    if digits is None:
        word = when.split()[-1].removeprefix("mid-")
        tens = _DECADES[word]
        return 2000.0 if tens == 0 else 1900.0 + tens
    year = int(digits.group())
    return float(year if year >= 100 else 1900 + year if year >= 20 else 2000 + year)


def _last(when: str) -> float:
    is_decade = when.endswith("s") or not any(mark.isdigit() for mark in when)
    return _first(when) + (9 if is_decade else 0)


def _value(numeral: str) -> int:
    return int(float(numeral)) if numeral[0].isdigit() else chinese_number(numeral)
