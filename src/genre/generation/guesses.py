"""Guesses at who somebody is: age, sex, family, health, income, belief, origin. English and Chinese.

A history says what somebody likes, never who they are: such a claim may not be made whatever it is drawn from, and
nothing that the person liked makes it true.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from genre.core.words import is_unspaced

_ENGLISH: Final = (
    # Age.
    r"\d+[- ]year[- ]olds?|\w+[- ]something|years? old|aged|ageing|aging|age"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ties|teen\w*|adolescen\w+|adults?|elderly|seniors?|retire\w*|pensioners?|young\w*|old|older|middle-aged|millennials?"
    r"|gen z|boomers?|child|children|childhood|kids?|grown-ups?|students?|pupils?",
    # Sex and family.
    r"m[ae]n|wom[ae]n|males?|females?|boys?|girls?|guys?|lad(?:y|ies)|gentlem[ae]n|masculine|feminine|gender"
    r"|s?he|him|his|hers?|husbands?|wife|wives|mothers?|fathers?|mums?|moms?|dads?|parents?|parental|grand\w+"
    r"|pregnan\w+|married|marriage|single|divorced|widow\w*|gay|lesbian|bisexual|queer|straight|trans\w*|your family",
    # Health.
    r"health\w*|unhealthy|ill|illness\w*|sick\w*|disease\w*|depress\w*|anxi\w+|insomni\w+|autis\w+|adhd|disab\w+"
    r"|diagnos\w+|patients?|therap\w+|medic\w+|addict\w*|overweight|obes\w+|diabet\w+|cancer|allerg\w+|stress\w*|lonel\w+",
    # Income and work.
    r"rich|wealth\w*|poor|poverty|incomes?|salar\w+|earn\w*|afford\w*|well-off|budgets?|money|unemployed|employed|jobs?"
    r"|profession\w*|occupation\w*|career|educated|uneducated|graduate\w*|degree",
    # Belief and origin.
    r"religio\w+|christians?|catholics?|protestants?|muslims?|islamic|jew\w*|hindus?|buddhis\w+|atheis\w+|believers?"
    r"|conservatives?|liberals?|republicans?|democrats?|socialists?|leftists?|left-wing|right-wing|politic\w+|vot(?:e|es|er|ing)"
    r"|ethnic\w*|race|racial|immigra\w+|foreigner\w*|nationalit\w+|citizens?|you(?:'re| are) from|you live|living in",
)  # fmt: skip
_CHINESE: Final = (
    r"\d+岁|岁|年龄|年轻|年长|青年|青少年|少年|少女|中年|老年|老人|[789]0后|儿童|小孩|孩子|未成年|成年|学生|退休"
    r"|男性|女性|男人|女人|男生|女生|男孩|女孩|先生|女士|小姐|性别|丈夫|妻子|老公|老婆|父亲|母亲|爸爸|妈妈|父母|家长"
    r"|怀孕|孕妇|已婚|未婚|结婚|离婚|单身|同性恋|双性恋"
    r"|健康|生病|患病|患有|疾病|病人|患者|抑郁|焦虑|失眠|残疾|肥胖|糖尿病|癌症|过敏|压力大|孤独"
    r"|收入|有钱|富有|富裕|贫穷|贫困|工资|薪水|预算|经济条件|失业|职业|工作|白领|学历|受过教育"
    r"|宗教|信仰|信徒|基督|天主教|穆斯林|伊斯兰|佛教徒|无神论|政治|党员|左派|右派|保守派|自由派|民族|种族|国籍|移民|外国人|来自|住在",
)
_WHO: Final = (re.compile(rf"\b(?:{'|'.join(_ENGLISH)})\b", re.IGNORECASE), re.compile("|".join(_CHINESE)))
_FAN: Final = r"(?! (?:an? )?(?:\w+ )?(?:fan|lover|drawn|interested|keen|fond|into)\b)"
_IS: Final = (
    re.compile(
        rf"\b(?:you(?:'re| are| were| must be| might be| may be| could be)|as an?){_FAN}\b[^.!?;:]*", re.IGNORECASE
    ),
    re.compile(r"\byou (?:seem|look|appear|sound)(?! to (?:like|love|enjoy|prefer|choose))\b[^.!?;:]*", re.IGNORECASE),
    re.compile(
        r"\byou (?:have|had|own|live|work)(?! (?:liked|loved|enjoyed|chosen|seen|read|taken))\b[^.!?;:]*", re.IGNORECASE
    ),
    re.compile(r"\byour \w+(?: \w+)?", re.IGNORECASE),
    re.compile(
        r"(?:你|您|这位\w{0,4})(?:是|有|像|应该|可能|大概|也许|看来|似乎|作为)(?!会?(?:很|最|也)?(?:喜欢|爱看|偏爱|常选))"
        r"[^。！？；]*"
    ),
)
"""Where a sentence says what somebody is, not even a title that they liked may stand for it."""
_LONG: Final = 4
"""Characters from which a Chinese title is one without its marks."""


def guesses_in(text: str, evidence: Iterable[str]) -> Iterator[str]:
    """Yield what a text says of who somebody is.

    Words that stand in a title or a label of the evidence are part of it, as in "You liked Pretty Woman", except where
    the sentence says what the person is: "You are a woman".

    Args:
        text: English or Chinese.
        evidence: Titles and labels of what the person liked.
    """
    plain = text.replace("’", "'")
    for pattern in _IS:
        for clause in pattern.finditer(plain):
            yield from (one.group() for who in _WHO for one in who.finditer(clause.group()))
    for quoted in sorted(filter(None, evidence), key=len, reverse=True):
        # Of Chinese, where words have no ends, a title counts as one only in its marks.
        plain = plain.replace(f"《{quoted}》" if is_unspaced(quoted) and len(quoted) < _LONG else quoted, " … ")
    yield from (one.group() for who in _WHO for one in who.finditer(plain))
