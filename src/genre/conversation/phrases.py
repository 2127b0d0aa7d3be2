"""Known phrases in what somebody says, in any script, without looking at each phrase.

Places are counted in characters of the folded text, which is as long as the text.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from genre.core.words import CJK, is_unspaced

T = TypeVar("T")
_TOKEN: Final = re.compile(rf"[^\W_{CJK}]+(?:'[^\W_{CJK}]+)*")
_UNSPACED: Final = re.compile(f"[{CJK}]")
_QUOTES: Final = str.maketrans("‘’‛`´“”„«»「」『』", '\'\'\'\'\'"""""""""')
_MOST_TOKENS, _MOST_CHARACTERS = 12, 30
"""Of a phrase that is looked for."""
_BUCKET = 2
"""First characters by which phrases are kept that are nearly alike: few people mistype these."""


def plain(text: str) -> str:
    """Return a text with one form of each character, straight quotes and no control characters."""
    # A lone surrogate, which JSON can hold, is no character.
    known = unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))
    marks = "".join(mark if unicodedata.category(mark)[0] != "C" else " " for mark in known)
    return " ".join(marks.translate(_QUOTES).split())


def folded(text: str) -> str:
    """Return a text of the same length without capitals and accents."""
    return "".join(_letter(mark) for mark in text)


def _letter(mark: str) -> str:
    first = unicodedata.normalize("NFD", mark)[0].lower()
    return first[0] if first else mark


def key_of(phrase: str) -> str:
    """Return what a phrase is known by: its words, or its characters where it is Chinese."""
    text = folded(plain(phrase))
    if is_unspaced(text):
        return "".join(mark for mark in text if mark.isalnum())
    return " ".join(token.group().replace("'", "") for token in _TOKEN.finditer(text))


class Phrases(Generic[T]):
    """What is known by phrases; of two that overlap, the longer one is found."""

    def __init__(self, phrases: Iterable[tuple[str, T]]) -> None:
        """Index phrases; of equal ones, the first counts."""
        self._spaced: dict[str, T] = {}
        self._unspaced: dict[str, T] = {}
        for phrase, value in phrases:
            key = key_of(phrase)
            if key:
                (self._unspaced if is_unspaced(key) else self._spaced).setdefault(key, value)
        self._most_tokens = min(_MOST_TOKENS, max((key.count(" ") + 1 for key in self._spaced), default=0))
        self._most_characters = min(_MOST_CHARACTERS, max(map(len, self._unspaced), default=0))
        self._buckets: dict[str, list[str]] = defaultdict(list)
        for key in (*self._spaced, *self._unspaced):
            self._buckets[key[:_BUCKET]].append(key)

    def find(self, text: str) -> Iterator[tuple[int, int, T]]:
        """Yield where phrases stand in a folded text, and what they are; phrases may overlap."""
        yield from self._find_spaced(text)
        yield from self._find_unspaced(text)

    def whole(self, phrase: str) -> T | None:
        """Return what is known by exactly this phrase."""
        key = key_of(phrase)
        return self._spaced.get(key, self._unspaced.get(key))

    def nearest(self, phrase: str, least: float) -> tuple[T, float] | None:
        """Return what is known by the phrase that is nearest to one that may be misspelt, and how near it is.

        Args:
            phrase: As somebody has written it.
            least: Share of characters that must agree.
        """
        key = key_of(phrase)
        close = difflib.get_close_matches(key, self._buckets.get(key[:_BUCKET], []), n=1, cutoff=least)
        if not close:
            return None
        return self._spaced.get(close[0], self._unspaced.get(close[0])), _likeness(key, close[0])  # type: ignore[return-value]

    def _find_spaced(self, text: str) -> Iterator[tuple[int, int, T]]:
        tokens = list(_TOKEN.finditer(text))
        for first in range(len(tokens)):
            key = ""
            for last in range(first, min(len(tokens), first + self._most_tokens)):
                if last > first and _UNSPACED.search(text, tokens[last - 1].end(), tokens[last].start()):
                    break
                key += " " * (last > first) + tokens[last].group().replace("'", "")
                if key in self._spaced:
                    yield tokens[first].start(), tokens[last].end(), self._spaced[key]

    def _find_unspaced(self, text: str) -> Iterator[tuple[int, int, T]]:
        places = [at for at, mark in enumerate(text) if mark.isalnum()]
        compact = "".join(text[at] for at in places)
        for start in range(len(compact)):
            for size in range(1, min(self._most_characters, len(compact) - start) + 1):
                found = self._unspaced.get(compact[start : start + size])
                if found is not None:
                    yield places[start], places[start + size - 1] + 1, found


def _likeness(first: str, second: str) -> float:
    return difflib.SequenceMatcher(None, first, second).ratio()
