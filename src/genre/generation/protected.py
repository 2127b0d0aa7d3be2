"""Claims that somebody could be held to, from prices to superlatives, and tones that promise more than there is.

English and Chinese.

A pattern holds words that come to the same, so that a text may say in its own words what the facts say in theirs, and
nothing else: who is nominated has not won.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

Protected: TypeAlias = Literal["price", "availability", "health", "awards", "guarantees", "superlatives", "sensation"]
_WORDS: Final[dict[Protected, tuple[str, ...]]] = {
    "price": (
        r"\b(?:cheap\w*|bargain\w*|affordabl\w+|inexpensive|great value)\b|便宜|实惠|划算|超值",
        r"\b(?:discount\w*|(?:\d+|half)\s?(?:%|percent)?\s?(?:off|price)|half[- ]price|reduced)\b|\d+\s?% off"
        r"|打折|折扣|优惠|半价|[一二三四五六七八九\d]\s?折",
        r"\b(?:lowest|best|unbeatable) price\w*\b|最低价|全网最低",
        r"\b(?:free of charge|for free|at no cost|free gift)\b|免费|赠送",
        r"\bon sale\b|\bspecial offer\w*\b|特价|促销",
        r"\b(?:two for one|buy one)\b|买一送一",
    ),
    "availability": (
        r"\b(?:in stock|available now|now available|ready to ship)\b|现货|有货",
        r"\b(?:in (?:theaters|theatres|cinemas)|now (?:showing|playing)|streaming (?:on|now)|now streaming)\b"
        r"|正在热映|上映中|热播中",
        r"\blimited edition\b|限量",
        r"\b(?:limited time|limited stock|while stocks last|only \w+ left|selling fast|last chance)\b"
        r"|限时|售完即止|即将售罄",
        r"\bfree (?:shipping|delivery|returns)\b|\b(?:ships|delivered) free\b|包邮|免运费",
        r"\b(?:ships|delivered|delivery) (?:within|in|tomorrow|today)\b|次日达|当天发货",
    ),
    "health": (
        r"\b(?:cur(?:e|es|ed|ing)|heal(?:s|ed|ing)?|treats?|remed(?:y|ies)|therapeutic|medicinal)\b"
        r"|治疗|治愈|疗效|药效|包治",
        r"\b(?:prevents?|reliev\w+|protects? against)\b|预防|缓解",
        r"\b(?:clinically|medically) \w+|临床",
        r"\b(?:dermatologist\w*|doctor|physician)[- ](?:recommended|approved|tested)\b|医生推荐",
        r"\bfda\b|药监",
        r"\bnon-?toxic\b|无毒",
        r"\bhypoallergenic\b|不过敏|低敏",
        r"\bsafe for\b|无副作用",
        r"\b(?:lose weight|weight loss)\b|减肥",
        r"\banti-?ag(?:e|ing)\b|抗衰老",
        r"\b(?:boosts? immunity|detox\w*)\b|增强免疫|排毒",
    ),
    "awards": (
        r"\baward-?\w*|\bprize\w*|获奖|得奖|大奖",
        r"\boscars?\b|\bacademy award\w*|奥斯卡",
        r"\bemm(?:y|ies)\b|艾美奖",
        r"\bgramm(?:y|ies)\b|格莱美",
        r"\bgolden globes?\b|金球奖",
        r"\bpalme d'or\b|金棕榈",
        r"金像奖|金马奖",
        r"\bnobel\b|诺贝尔",
        r"\bpulitzer\b|普利策",
        r"\bnominat\w+|提名",
        r"\b(?:acclaim\w*|critically praised|rave reviews)\b|备受好评|广受赞誉",
        r"\bbest-?sell\w+|畅销|热销",
        r"\b(?:chart-?topp\w+|number one|no\. ?1|top[- ]rated)\b|销量第一|榜首",
        r"\b(?:box[- ]office (?:hit|success)|blockbuster)\b|票房冠军",
        r"\bmasterpiece\w*|\bmust-(?:see|watch|read|hear|have)\b|杰作|神作|必(?:看|读|听|买)",
    ),
    "guarantees": (
        r"\bguarantee\w*|保证",
        r"\bwarrant(?:y|ies)\b|保修|质保",
        r"\b(?:money[- ]back|refund\w*)\b|退款|包退",
        r"\brisk[- ]free\b|无风险",
        r"\b(?:100 ?%|completely|absolutely) (?:safe|natural|effective|satisfied|organic)\b|百分之百|绝对(?:安全|有效)",
        r"\bcertified\b|\bofficially approved\b|认证",
        r"\bpatented\b|专利",
    ),
    # What the Advertising Law of China, article 9 (3), forbids in advertisements, and its like.
    "superlatives": (
        r"\b(?:the|world'?s|our|your)\s(?:very |absolute )?(?:best|finest|greatest|ultimate)\b"
        r"|\b(?:best|finest|greatest) (?:ever|of all time|in the (?:world|country|market))\b"
        r"|最佳|最好|最优|最棒|最强|最先进|最高级|顶级|顶尖|极品|极致|终极",
        r"\b(?:number one|no\. ?1|first[- ]class|top[- ]of[- ]the[- ](?:line|range))\b"
        r"|第一(?:品牌|名牌|[名家])|(?:全国|全球|全网|世界|行业|销量|排名|质量|品质)第一|第一(?=[的，。！、；]|$)",
        r"\b(?:unrivall?ed|unbeatable|unmatched|unparalleled|unequall?ed|second to none)\b"
        r"|无与伦比|无可比拟|绝无仅有|史无前例|空前绝后|万能",
        r"\b(?:world[- ]class|state[- ]of[- ]the[- ]art|market[- ]leading|world'?s leading)\b"
        r"|国家级|世界级|全球级|宇宙级",
        r"\bthe only one\b|\bexclusive(?:ly)?\b|唯一|独家|首选|首家|独一无二",
    ),
    "sensation": (
        r"\bshock(?:ing|ingly|er|ed|s)?\b|\bbombshell\b|震惊|惊天|骇人听闻|重磅|炸裂",
        r"\b(?:unbelievabl[ey]|incredibl[ey]|jaw-?dropping|mind-?blowing|stunned)\b|难以置信|惊呆|目瞪口呆|惊掉下巴",
        r"\b(?:you won'?t believe|what happen(?:s|ed) next|leave you speechless|one (?:weird|simple) trick)\b"
        r"|你绝对想不到|万万没想到|看完.{0,4}(?:沉默|泪|哭|惊)|不转不是|速看|99%的人",
        r"\b(?:they don'?t want you to know|secrets? revealed|finally exposed)\b|内幕|真相曝光|惊人真相|不为人知|揭秘",
        r"\b(?:breaking|urgent)\s?[:!]|突发[：！]|紧急[：！]|紧急扩散",
    ),
}
_PATTERNS: Final = {
    kind: tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns) for kind, patterns in _WORDS.items()
}
_SIMPLIFIED: Final = str.maketrans(
    "證獲獎費現貨優惠價運網強時療癒藥專認無險臨醫準產國級贈買賣熱銷藝",
    "证获奖费现货优惠价运网强时疗愈药专认无险临医准产国级赠买卖热销艺",
)
"""Traditional characters of these words."""
_DENIED: Final = re.compile(
    r"\b(?:not?|never|without|cannot|can't|isn't|doesn't|nominat\w+)\b|不|没|无|未|非|提名", re.IGNORECASE
)
"""Where facts say this, they promise nothing; the words that hold it themselves are kept."""
_HOLDS_IT: Final = re.compile(
    r"nominat|提名|无毒|无副作用|无风险|免|不过敏|non-?toxic|无与伦比|无可比拟|绝无仅有|史无前例|独一无二|想不到|没想到|不转"
    r"|不为人知|won'?t believe|don'?t want",
    re.IGNORECASE,
)


def protected_claims(text: str, kinds: Iterable[Protected]) -> Iterator[tuple[Protected, str, str]]:
    """Yield the kind of each such claim, how it stands in the text, and what it comes to, the same for equal claims."""
    simplified = text.translate(_SIMPLIFIED)
    for kind in kinds:
        for place, pattern in enumerate(_PATTERNS[kind]):
            for one in pattern.finditer(simplified):
                yield kind, one.group(), f"{kind} {place}"


def promised(sentence: str, kinds: Iterable[Protected]) -> Iterator[tuple[Protected, str]]:
    """Yield the kind and the key of what a sentence of facts promises: nothing where it denies."""
    denies = _DENIED.search(sentence) is not None
    for kind, said, key in protected_claims(sentence, kinds):
        if not denies or _HOLDS_IT.search(said):
            yield kind, key
