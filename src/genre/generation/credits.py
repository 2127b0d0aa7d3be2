"""Who is said to have made what: a true name in a false role is untrue. English and Chinese.

"A film by Larry Daley" names somebody who is in the film. Its form gives a role away; the facts must give the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from genre.core.words import CJK
from genre.generation.sentences import sentences_of

Role: TypeAlias = Literal["maker", "writer", "player", "musician", "seller"]
_NAME: Final = r"(?:[A-Z][\w'’.-]*)(?:\s+(?:(?:de|van|von|der|da|di|la|le)\s+)*[A-Z][\w'’.-]*)*"
_NAMES: Final = rf"({_NAME}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s+&\s+){_NAME})*)"
_HAN: Final = rf"([{CJK}·]{{2,12}}?)"
_FORMS: Final[dict[Role, tuple[str, ...]]] = {
    "maker": (
        rf"\b(?i:films?|movies?|pictures?|documentary|series|directed|filmed|shot)\s+(?i:by|from)\s+{_NAMES}",
        rf"\b(?i:directors?)\s+{_NAMES}",
        rf"{_NAMES}\s+(?i:directs|directed)\b",
        rf"由{_HAN}(?:执导|导演|拍摄)",
        rf"导演(?:是|为|：|:)?(?![的了过]){_HAN}(?=[，。；、！]|$)",
        rf"(?:^|[，。；、])(?!由){_HAN}(?:执导|导演)(?=[的了，。；、！]|$)",
    ),
    "writer": (
        rf"\b(?i:books?|novels?|stor(?:y|ies)|articles?|essays?|plays?|written|screenplay|script|authored)\s+(?i:by)\s+{_NAMES}",
        rf"\b(?i:screenwriters?|authors?)\s+{_NAMES}",
        rf"由{_HAN}(?:编剧|撰写|创作)",
        rf"(?:作者|编剧)(?:是|为|：|:)?(?![的了过]){_HAN}(?=[，。；、！]|$)",
    ),
    "player": (
        rf"\b(?:[Ss]tarring|stars|[Ff]eaturing|(?i:played\s+by|portrayed\s+by|performances?\s+(?:by|from)))\s+{_NAMES}",
        rf"由{_HAN}(?:主演|出演|饰演)",
        rf"主演(?:是|为|：|:)?(?![的了过]){_HAN}(?=[，。；、！]|$)",
        rf"(?:^|[，。；、])(?!由){_HAN}(?:主演|出演)(?=[的了，。；、！]|$)",
    ),
    "musician": (
        rf"\b(?i:songs?|albums?|music|tracks?|sung|composed|performed|score)\s+(?i:by)\s+{_NAMES}",
        rf"由{_HAN}(?:演唱|作曲|演奏)",
        rf"(?:歌手|作曲)(?:是|为|：|:)?(?![的了过]){_HAN}(?=[，。；、！]|$)",
    ),
    "seller": (rf"\b(?i:brand|made|manufactured|sold)\s+(?i:by)\s+{_NAMES}", rf"由{_HAN}(?:出品|生产|制造)"),
}
_PATTERNS: Final = {role: tuple(re.compile(form) for form in forms) for role, forms in _FORMS.items()}
_COLUMNS: Final[dict[Role, str]] = {
    "maker": r"direct|creator|maker|filmmaker|导演",
    "writer": r"writ|author|screenplay|journalist|作者|编剧",
    "player": r"cast|star|actor|actress|player|主演|演员",
    "musician": r"artist|singer|band|composer|musician|performer|歌手|作曲|乐队",
    "seller": r"brand|manufacturer|maker|seller|publisher|品牌|厂|出品",
}
_AND: Final = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s+&\s+")


class Credit(NamedTuple):
    """Somebody in a role."""

    role: Role
    name: str
    said: str
    """As it stands in the text."""


def credits_of(text: str) -> Iterator[Credit]:
    """Yield whom a text gives which role, each name for itself; no name goes on behind a sentence."""
    for role, patterns in _PATTERNS.items():
        for one in (one for part in sentences_of(text) for pattern in patterns for one in pattern.finditer(part)):
            for name in _AND.split(one[1]):
                yield Credit(role, name.rstrip(".'’").removesuffix("'s"), one.group())


def credited_by_labels(labels: Mapping[str, str]) -> Iterator[Credit]:
    """Yield whom the labels of an item give a role, as `director: Jean Vigo`; the name is the label as a whole."""
    for column, value in labels.items():
        for role, pattern in _COLUMNS.items():
            if re.search(pattern, column.casefold()):
                yield Credit(role, value, f"{column}: {value}")
