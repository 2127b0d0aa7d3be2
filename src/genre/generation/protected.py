"""Claims that somebody could be held to: prices, availability, health, awards, guarantees. English and Chinese.

A pattern holds words that come to the same, so that a text may say in its own words what the facts say in theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

Protected: TypeAlias = Literal["price", "availability", "health", "awards", "guarantees"]
_WORDS: Final[dict[Protected, tuple[str, ...]]] = {
    "price": (
        r"\b(?:cheap\w*|bargain\w*|discount\w*|affordabl\w+|inexpensive)\b|便宜|实惠|划算|打折|折扣|优惠",
        r"\b(?:free of charge|for free|at no cost)\b|免费",
        r"\bon sale\b|\bspecial offer\w*\b|特价|促销",
    ),
    "availability": (
        r"\b(?:in stock|available now|now available|ready to ship)\b|现货|有货",
        r"\b(?:in (?:theaters|theatres|cinemas)|now (?:showing|playing)|streaming (?:on|now)|now streaming)\b"
        r"|正在热映|上映中|热播中",
        r"\b(?:limited (?:time|edition|stock)|while stocks last|only \w+ left|selling fast)\b"
        r"|限量|限时|售完即止|即将售罄",
        r"\b(?:ships|delivered|delivery) (?:free|within|in|tomorrow|today)\b|包邮|次日达|当天发货",
    ),
    "health": (
        r"\b(?:cur(?:e|es|ed|ing)|heal(?:s|ed|ing)?|treats?|remed(?:y|ies)|therapeutic|medicinal)\b"
        r"|治疗|治愈|疗效|药效",
        r"\b(?:clinically|medically|dermatologist\w*|doctor[- ]recommended|fda)\b|临床|医生推荐|药监",
        r"\b(?:non-?toxic|hypoallergenic|safe for)\b|无毒|无副作用|不过敏",
        r"\b(?:lose weight|weight loss|anti-?ag(?:e|ing)|boosts? immunity|detox\w*)\b|减肥|抗衰老|增强免疫|排毒",
    ),
    "awards": (
        r"\b(?:award\w*|oscars?|emm(?:y|ies)|gramm(?:y|ies)|golden globes?|palme d'or|nobel|pulitzer)\b"
        r"|获奖|奥斯卡|金像奖|金马奖|格莱美|诺贝尔|大奖",
        r"\b(?:nominat\w+|acclaim\w*|critically praised)\b|提名|备受好评|广受赞誉",
        r"\b(?:best-?sell\w+|chart-?topp\w+|number one|no\. ?1|top[- ]rated|box[- ]office)\b"
        r"|畅销|热销|销量第一|票房冠军|榜首",
    ),
    "guarantees": (
        r"\b(?:guarantee\w*|warrant(?:y|ies)|money[- ]back|risk[- ]free|refund\w*)\b"
        r"|保证|保修|质保|退款|包退|无风险",
        r"\b(?:100 ?%|completely|absolutely) (?:safe|natural|effective|satisfied|organic)\b"
        r"|百分之百|绝对(?:安全|有效)",
        r"\b(?:certified|officially approved|patented)\b|认证|专利",
    ),
}
_PATTERNS: Final = {
    kind: tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns) for kind, patterns in _WORDS.items()
}


def protected_claims(text: str, kinds: Iterable[Protected]) -> Iterator[tuple[Protected, str, str]]:
    """Yield the kind of each such claim, how it stands in the text, and what it comes to, the same for equal claims."""
    for kind in kinds:
        for place, pattern in enumerate(_PATTERNS[kind]):
            for one in pattern.finditer(text):
                yield kind, one.group(), f"{kind} {place}"
