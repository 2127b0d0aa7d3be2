"""Which items somebody names by their titles: exactly, without an article or what follows a colon, or misspelt."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from genre.conversation.phrases import Phrases, folded, key_of
from genre.core.words import is_unspaced
from genre.data.dataset import Entities

_ARTICLE: Final = re.compile(r"^(?:the|an?|der|die|das|le|la|les|el)\s+(?=\S{4})", re.IGNORECASE)
_BEHIND: Final = re.compile(r"\s*(?:[:：,，(（]| [-–—] ).*$")
_QUOTED: Final = re.compile(r"《([^《》]{1,80})》?|\"([^\"]{1,80})\"|(?<!\w)'([^']{2,80})'(?!\w)")
_FRAME: Final = re.compile(
    r"(?:\b(?:like[ds]?|lov(?:e|es|ed|ing)|enjoy(?:ed)?|adored?|hated?|dislike[ds]?|seen|saw|watch(?:ed)?|about|"
    r"than|compare|between|"
    r"forget|remember|is|was|did|does|with|and|or|vs\.?|versus|called|why|recommend(?:ed)?|suggest(?:ed)?|film|"
    r"movie|stand|favou?rites?)"
    r" (?:(?:the|a) )?(?:(?:film|movie) )?|喜欢|[最超]?爱看?|看过|看了|讨厌|像|和|跟|与|比|忘[了掉记]?|记住|记得|"
    r"关于|那|类似|推荐|是|介绍(?:一下)?|讲讲|说说|"
    r"为什么|除了|一下|把|[没]?有|不是|^|[,。;!?、] ?)$"
)
"""What stands before a title that could be a word like any other."""
_SEEN: Final = re.compile(
    r"\b(?:liked|lov(?:e|es|ed)|enjoy(?:ed)?|adored?|hated?|disliked?|seen|saw|watch(?:ed)?|compare|forget|called|"
    r"film|movie) "
    r"(?:(?:the|a) )?(?:(?:film|movie) )?$"
)
"""What stands before a title alone, were it the commonest of words."""
_NO_TITLE: Final = re.compile(r"(?:片|电影|题材|类|式|风格|的电影|films?\b|movies?\b)")
_AFTER: Final = re.compile(
    r"^(?:$|\W*$| ?[,.;!?。、]| (?:and|or|but|better|isn't|wasn't|is|was|first|again|too|as|instead|come|came|vs|"
    r"more)\b|[\u4e00-\u9fff])"
)
_VERB: Final = re.compile(
    r"\b(?:liked?|loved?|enjoyed|adored?|hated?|disliked?|seen|saw|watched|forget|remember|about|to|than|stand) "
    r"(?:the (?:film|movie) )?(?=\w)"
)
_LIKED: Final = frozenset("like liked love loved enjoyed adored hate hated disliked seen saw watched".split())  # noqa: SIM905
"""Behind these, words with a capital are a title, known or not."""
_NAME: Final = re.compile(r"(?:[A-Z][\w'-]+ (?:of |the |and )?)*[A-Z][\w'-]+(?<!I)")
_MOST_WORDS = 6
_LEAST_LETTERS = 5
_ALIKE, _QUOTED_ALIKE, _UNSPACED_ALIKE = 0.82, 0.75, 0.6


@dataclass(frozen=True)
class Named:
    """A title in a message."""

    start: int
    end: int
    item: int | None
    """Row of the item; None for a title that is not known."""
    said: str
    whole: bool = True
    """Whether it is all of the title, or nearly; a part may be a word like any other."""


class Titles:
    """Finds the titles of a catalogue in what somebody says."""

    def __init__(self, items: Entities, common_words: frozenset[str]) -> None:
        """Index the titles in all languages.

        Args:
            items: The catalogue.
            common_words: Words that are no title by themselves, unless it is plain that one is meant.
        """
        self._common = common_words
        columns = [items.title, *(items.title_in(code) for code in ("en", "zh"))]
        whole = [(str(title), row) for column in columns for row, title in enumerate(column)]
        self._exact = {key_of(title) for title, _ in whole}
        self._known = Phrases([*whole, *self._shorter(whole)])

    def _shorter(self, whole: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int]]:
        """Yield titles without their article, and without what stands behind a colon, where these are one item's."""
        found: dict[str, set[int]] = defaultdict(set)
        for title, row in whole:
            for short in (_ARTICLE.sub("", title), _BEHIND.sub("", title), _ARTICLE.sub("", _BEHIND.sub("", title))):
                words = key_of(short).split()
                if short != title and not "".join(words).isdigit() and (len(words) > 1 or self._is_rare(words)):
                    found[short].add(row)
        yield from ((short, next(iter(rows))) for short, rows in found.items() if len(rows) == 1)

    def _is_rare(self, words: list[str]) -> bool:
        return (
            bool(words) and len(words[0]) >= _LEAST_LETTERS - 2 * is_unspaced(words[0]) and words[0] not in self._common
        )

    def find(self, text: str) -> list[Named]:
        """Return the titles in a message that is `plain`."""
        quoted = list(self._quoted(text))
        low = folded(text)
        found = [
            Named(start, end, row, text[start:end], key_of(text[start:end]) in self._exact)
            for start, end, row in self._known.find(low)
            if not _overlaps(start, end, quoted) and self._is_meant(text, low, start, end)
        ]
        exact = quoted + found
        return exact + [one for one in self._misspelt(text, low) if not _overlaps(one.start, one.end, exact)]

    def _quoted(self, text: str) -> Iterator[Named]:
        for quote in _QUOTED.finditer(text):
            said = next(part for part in quote.groups() if part is not None).strip()
            row = self._known.whole(said)
            if row is None:
                least = _UNSPACED_ALIKE if is_unspaced(said) else _QUOTED_ALIKE
                near = self._known.nearest(said, least)
                row = None if near is None else near[0]
            if row is not None or quote.group().startswith("《") or said[:1].isupper():
                yield Named(quote.start(), quote.end(), row, said)

    def _is_meant(self, text: str, low: str, start: int, end: int) -> bool:
        """Tell whether a title stands for the item: a common word does only in some places."""
        said = low[start:end]
        if len(key_of(said)) < 2:
            return text.strip(" ?!.。") == text[start:end]
        words = key_of(said).split()
        if is_unspaced(said):
            if len(key_of(said)) > 2:
                return not (_NO_TITLE.match(low, end) and key_of(said) not in self._exact)
            return not _NO_TITLE.match(low, end) and bool(_FRAME.search(low[:start]))
        if len(words) > 1 and not all(word in self._common for word in words):
            return True
        if len(words) == 1 and words[0] not in self._common and len(words[0]) >= _LEAST_LETTERS:
            return True
        capitals = text[start].isupper() and (start > 0 or len(words) > 1)
        framed = bool(_FRAME.search(low[:start])) and bool(_AFTER.match(low[end:]))
        rare = len(words) == 1 and words[0] not in self._common
        return len(words) > 2 or capitals or (framed and (rare or bool(_SEEN.search(low[:start]))))

    def _misspelt(self, text: str, low: str) -> Iterator[Named]:
        """Yield titles that are nearly right behind a word that a title follows."""
        for verb in _VERB.finditer(low):
            rest = re.split(r"[,.;!?。]|\b(?:but|because|so much|a lot)\b", low[verb.end() :])[0]
            ends = [word.end() for word in re.finditer(r"\S+", rest)][:_MOST_WORDS]
            near = [
                (hit[1], end, hit[0])
                for end in ends
                if len(rest[:end]) >= _LEAST_LETTERS
                and (hit := self._known.nearest(rest[:end], _ALIKE)) is not None
                # What is spelt right and was not taken for a title is none.
                and hit[1] < 1
            ]
            start = verb.end()
            if near:
                _, end, row = max(near)
                yield Named(start, start + end, row, text[start : start + end])
            elif verb.group().split()[0] in _LIKED and (name := _NAME.match(text, start)) is not None:
                said = name.group().strip()
                yield Named(start, start + len(said), None, said)


def _overlaps(start: int, end: int, others: Iterable[Named]) -> bool:
    return any(start < other.end and other.start < end for other in others)
