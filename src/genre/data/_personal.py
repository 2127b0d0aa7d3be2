"""Finding personal data in free text, English and Chinese: e-mail addresses, phone and card numbers, postal addresses.

A kind is found in two steps. A coarse pattern, run by polars over whole columns, picks the few texts that may hold one;
these are searched with exact patterns, whose matches are then judged by what a pattern cannot tell: check digits,
years, famous streets, the word before. Where a number could be either, a phone number is masked sooner than a price,
a year, an ISBN or a product code that says that it is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

_HALF_WIDTH = str.maketrans("０１２３４５６７８９＋－（）＠．，：＃", "0123456789+-()@.,:#")
"""Character by character, so that a place in one text is the same in the other. Chinese input methods write the wide
forms."""

Span: TypeAlias = tuple[int, int]
Judge: TypeAlias = Callable[[re.Match[str]], Span | None]
"""Returns the part of a match to mask, or None."""


@dataclass(frozen=True)
class Kind:
    """One kind of personal data."""

    hint: str
    """Matches every text that may hold it; in the dialect of polars, which knows no look-around."""
    finders: tuple[tuple[re.Pattern[str], Judge], ...]

    def mask(self, text: str, label: str) -> tuple[str, int]:
        """Return the text with every find replaced by the label, and the number of finds."""
        count = 0
        for pattern, judge in self.finders:
            pieces, end = [], 0
            for match in pattern.finditer(text.translate(_HALF_WIDTH)):
                span = judge(match)
                if span is not None:
                    pieces += [text[end : span[0]], label]
                    end = span[1]
                    count += 1
            text = "".join([*pieces, text[end:]])
        return text, count


def _whole(match: re.Match[str]) -> Span:
    return match.span()


# E-mail addresses: ASCII names, as nearly all are; "icon@2x.png" is a picture.

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}(?P<top>[A-Za-z]{2,24})(?![A-Za-z])"
)
_PICTURES = frozenset({"png", "jpg", "jpeg", "gif", "webp", "svg", "bmp", "ico"})


def _judge_email(match: re.Match[str]) -> Span | None:
    return None if match["top"].lower() in _PICTURES else match.span()


# Numbers.

_BEFORE = r"(?<![0-9A-Za-z_+])(?<![0-9][.])(?<![A-Za-z]/)(?<![A-Za-z0-9]-)(?<![$€£¥￥])"
_AFTER = r"(?![0-9A-Za-z_])(?![.][0-9])"
_NO_AMOUNT = r"(?!\s*(?:[元块円万亿人次名个年%％]|[美日韩港欧]元|英镑|公里|EUR|USD|RMB|CNY|dollars|euros))"
_CODE = re.compile(
    r"(?:isbn(?:-?1[03])?|issn|sku|upc|ean|gtin|asin|oclc|item|model|part|serial|barcode|order ?(?:no|number|id|#)|"
    r"[货型编单款批序]号|订单|条码|书号)(?:\s*(?:no|number|code|号码|号))?[\s.:#-]*$",
    re.IGNORECASE,
)
_CODE_WIDTH = 24
"""Characters before a number in which a word such as ISBN is looked for."""


def _is_code(match: re.Match[str]) -> bool:
    """Tell whether the text before says that this is a product code."""
    return _CODE.search(match.string[max(0, match.start() - _CODE_WIDTH) : match.start()]) is not None


_CARD = re.compile(
    rf"{_BEFORE}(?:[0-9]{{14,19}}|[0-9]{{4}}(?P<gap>[ -])[0-9]{{4}}(?P=gap)[0-9]{{4}}(?P=gap)[0-9]{{2,4}}"
    rf"(?:(?P=gap)[0-9]{{3}})?|[0-9]{{4}}[ -][0-9]{{6}}[ -][0-9]{{4,5}}){_AFTER}"
)
_ISSUERS = (
    (re.compile(r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|35|6(?:011|4[4-9]|5)|9792"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"30[0-5]|3[689]"), (14,)),
    (re.compile(r"62|81"), (16, 17, 18, 19)),
)
"""First digits and lengths: Visa, Mastercard, JCB, Discover, Troy; American Express; Diners; UnionPay. No length is 13,
so that an EAN or ISBN is never taken for a card."""


def _judge_card(match: re.Match[str]) -> Span | None:
    """Accept a card with a valid check digit; digits behind it, such as a security code, are not part of it."""
    if _is_code(match):
        return None
    text = match.group()
    for end in sorted({len(text), *(gap.start() for gap in re.finditer("[ -]", text))}, reverse=True):
        digits = [int(character) for character in text[:end] if character not in " -"]
        if _is_card(digits):
            return match.start(), match.start() + end
    return None


def _is_card(digits: list[int]) -> bool:
    number = "".join(map(str, digits))
    issued = any(len(digits) in lengths and first.match(number) for first, lengths in _ISSUERS)
    return issued and luhn(digits)


def luhn(digits: list[int]) -> bool:
    """Check the last digit by the Luhn formula (ISO/IEC 7812-1)."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0


_PHONES = (
    # Chinese mobiles: 138 1234 5678, also behind +86.
    r"(?:(?:\+|00)?86[ -]?)?1[3-9][0-9](?:[ -]?[0-9]{4}){2}",
    # Chinese land lines: 010-12345678, (0755) 1234567-8001.
    r"(?:\(0[0-9]{2,3}\) ?|0[0-9]{2,3}[- ])[0-9]{7,8}(?:-[0-9]{1,5})?",
    # North America: (555) 123-4567, 555-123-4567, 1-555-123-4567.
    r"(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\) ?[0-9]{3}[ .-]|[2-9][0-9]{2}(?P<dot>[.-])[0-9]{3}(?P=dot))[0-9]{4}",
    # With a trunk 0: 020 7946 0958.
    r"0[0-9]{2,4}[ -][0-9]{3,4}[ -][0-9]{3,4}",
    # International: +4930901820, +44 20 7946 0958, 0033 1 42 68 53 00.
    r"\+[1-9][0-9]{7,14}|(?:\+|00)[1-9][0-9]{0,6}(?:[ .-]?\(0\)[0-9]{1,6})?(?:[ .-]\(?[0-9]{1,8}\)?){1,6}",
)
_CALLED = re.compile(
    r"(?:(?<![A-Za-z])(?:tel(?:ephone)?|phone|mobile|call|fax|whatsapp)(?: (?:me|us|at|on|no|number|is))*"
    r"|(?:电话|手机|热线|致电|联系方式|微信)(?:号码?)?)"
    rf"[.:是为]*\s*(?P<number>\+?[0-9](?:[.-]?[0-9]){{6,14}}){_AFTER}{_NO_AMOUNT}",
    re.IGNORECASE,
)


def _judge_phone(match: re.Match[str]) -> Span | None:
    text = match.group()
    digits = sum(character.isdigit() for character in text)
    least = 10 if text[1:].isdigit() or text.startswith("00") else 8
    return match.span() if least <= digits <= 15 and not _is_code(match) else None


def _judge_called(match: re.Match[str]) -> Span | None:
    return match.span("number")


# English street addresses: a number, one to four capitalised words, a word for a street.

_STRONG = r"Street|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Highway|Hwy|Parkway|Pkwy"
_WEAK = r"St|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Way|Terrace|Circle|Cir|Close|Crescent|Row|Mews"
_ENGLISH = re.compile(
    r"(?<![\w$€£¥￥#])(?<![0-9][.,/-])(?P<number>[0-9]{1,5}(?:-[0-9]{1,4})?[A-Za-z]?),?"
    r"(?P<words>(?: (?:[NSEW]\.|[A-Z][A-Za-z'’]*|[0-9]{1,3}(?:st|nd|rd|th|ST|ND|RD|TH))){1,4}?)"
    rf" (?P<suffix>(?i:{_STRONG}|{_WEAK}))\b"
    r"(?:\.?(?P<unit>,? (?:(?i:apt|apartment|suite|ste|unit|flat|floor|room|rm)\.? ?#?|#)[0-9A-Za-z]{1,5}\b))?"
    r"(?:\.?(?P<town>(?:,? [A-Z][A-Za-z'’-]+){0,4},? "
    r"(?:[A-Z]{2} [0-9]{5}(?:-[0-9]{4})?|[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2})\b))?"
)
_BOX = re.compile(r"\bP\.? ?O\.? Box [0-9]{1,6}\b", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)[0-9]{2}(?:-|$)")
_FAMOUS = frozenset("sesame wall elm abbey coronation jump quality fleet bourbon penny fury".split())  # noqa: SIM905
_MEASURES = frozenset(
    "pack packs piece pieces pc pcs set sets count inch inches foot feet ft mile miles day days hour hours minute "  # noqa: SIM905
    "minutes year years oz ml gb tb mb gram grams lb lbs degree degrees way lane best top great new season x in".split()
)


def _judge_english(match: re.Match[str]) -> Span | None:
    """Without a flat, a postcode or the like, take neither years nor measures nor famous streets for addresses."""
    if match["unit"] or match["town"]:
        return match.span()
    words = [word.lower() for word in match["words"].split()]
    follower = match.string[match.end() : match.end() + 3]
    doubtful = (
        _YEAR.match(match["number"]) is not None
        or not _MEASURES.isdisjoint(words)
        or words[-1] in _FAMOUS
        or (match["suffix"].lower() != "st" and re.fullmatch(_WEAK, match["suffix"], re.IGNORECASE) is not None)
        or (match["suffix"].lower() == "st" and re.match(r"\.? [A-Z]", follower) is not None)
    )
    return None if doubtful else match.span()


# Chinese addresses: from the large to the small, 省 市 区 路 号 楼 室.

_H = "[\u4e00-\u9fff]"
_NUMBER = "(?: ?[0-9]{1,5}(?:-[0-9]{1,4})?[A-Za-z甲乙丙丁]? ?)"
_HOUSE = f"(?:(?:{_NUMBER}|[一二三四五六七八九十百]{{1,4}})(?:号院|号楼|号|弄)|{_NUMBER}[栋幢座])"
_AREA = f"(?:(?![省市区县旗镇乡]){_H}){{1,10}}[省市区县旗镇乡]"  # Can be read in one way only, hence fast.
_ROAD = "大道|大街|胡同|路|街|巷|弄|[路街][一二三四五六东南西北中]段"
_ESTATE = "(?<![国省县乡])道|里|条|村|苑|园|庄|院|坊|城|桥|门|湾|屯|小区|大厦|广场|公寓|中心"
_MORE = f"(?:[, ]?{_H}{{0,8}}?(?:{_HOUSE}|(?:{_NUMBER}|[一二三四五六七八九十百]{{1,4}})(?:楼|层|单元|室|房)))"
_NOT_A_HOUSE = "(?![线文令台选球机车坑种公嘉男女院字])"
_CHINESE = re.compile(
    f"(?:{_AREA}){{1,4}}{_H}{{1,12}}?(?:{_ROAD}|{_ESTATE}){_HOUSE}{_NOT_A_HOUSE}{_MORE}*"
    f"|(?P<road>{_H}{{1,6}}?(?:{_ROAD})){_HOUSE}{_NOT_A_HOUSE}{_MORE}*"
    f"|(?:{_AREA}){{1,4}}{_H}{{1,12}}?{_NUMBER}(?:号楼|[栋幢座]|单元){_MORE}+"
)
_REGIONS = (
    "北京|上海|天津|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|"
    "云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
_LEAD = re.compile(f"(?:(?![省市区县]){_H})*?(?={_REGIONS})")
_CUE = re.compile("在|位于|至|迁|[址号][是为]|寄[到往]|送到|来自")
_NO_STREETS = re.compile("(?:走|思|套|线|网|铁|公|马|半|出|电|^.?一)路$|[逛上]街$")


def _judge_chinese(match: re.Match[str]) -> Span | None:
    """Leave the words before the address alone, such as "I live in"."""
    text, (start, end) = match.string, match.span()
    lead = _LEAD.match(text, start, end)
    start = lead.end() if lead else start
    for cue in _CUE.finditer(text, start, end):
        if _CHINESE.fullmatch(text, cue.end(), end):
            start = cue.end()
    if match["road"] is not None:
        name = text[start : match.end("road")]
        if len(name) < 2 or _NO_STREETS.search(name):
            return None
    return start, end


KINDS: Final[dict[str, Kind]] = {
    "email": Kind("[@＠]", ((_EMAIL, _judge_email),)),
    "card": Kind("[0-9０-９](?:[ －-]?[0-9０-９]){13}", ((_CARD, _judge_card),)),
    "phone": Kind(
        "[0-9０-９](?:[ .()（）－-]{0,4}[0-9０-９]){6}",
        (
            *((re.compile(f"{_BEFORE}(?:{pattern}){_AFTER}{_NO_AMOUNT}"), _judge_phone) for pattern in _PHONES),
            (_CALLED, _judge_called),
        ),
    ),
    "address": Kind(
        rf"[0-9][A-Za-z]?,? .{{1,60}}\b(?i:{_STRONG}|{_WEAK})\b|(?i:box [0-9])"
        f"|(?:{_ROAD}|[省市区县]).{{0,20}}[0-9０-９一二三四五六七八九十百][A-Za-z甲乙丙丁]? ?(?:[号弄栋幢座]|单元)",
        ((_ENGLISH, _judge_english), (_BOX, _whole), (_CHINESE, _judge_chinese)),
    ),
}
"""In the order in which they are masked: a card before a phone, since its digits could hold one."""
