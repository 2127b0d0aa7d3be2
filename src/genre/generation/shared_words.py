"""Which words two texts have in common that say something: the evidence of a model that reads texts.

Shapes: I items.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from math import log

from genre.core.words import is_unspaced, words_of
from genre.features.text import Language
from genre.generation.numerals import CHINESE_DIGITS
from genre.training.passages import passages

MAX_SHARE = 0.05
"""Words in more texts than this share, and in more than two, say nothing of a catalogue: "film", "story"."""
_FEWEST = 2
_OFTEN = 3
"""Texts in which a word stands that is said to come up again and again."""
_SHARE = 0.1
"""The least share of these texts in which it stands."""
_LIFT = 4.0
"""How many times as often it comes up in these texts as in all of them."""
_PARTICLES = "的了在是和与及着过地得之其一个这那他她它们里中上下来去为被把让有不也都就又"
"""What stands between Chinese words and says nothing."""


class SharedWords:
    """Rare words that two of I texts share. English words as they stand, Chinese ones as runs of shared characters."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Count in how many texts each word stands."""
        self._texts = texts
        self._counts = Counter(word for text in texts for word in set(words_of(text)))
        self._most = max(_FEWEST, MAX_SHARE * len(texts))
        self._words = cache(self._rare_words)

    def between(self, first: int, second: int, n: int = 3) -> tuple[str, ...]:
        """Return at most n words that two texts share, the rarest first."""
        mine, others = self._words(first), set(self._words(second))
        shared = [word for word in dict.fromkeys(mine) if word in others]
        shared = _joined(shared, self._texts[first].casefold(), self._texts[second].casefold())
        return tuple(sorted(shared, key=lambda word: (self._counts.get(word, 1), shared.index(word)))[:n])

    def among(self, texts: Sequence[str], language: Language, n: int = 3) -> tuple[str, ...]:
        """Return at most n words that stand in far more of some texts than of all: those of a subject, not of a style.

        Words of general texts are left out: a handful of descriptions share "makes" and "little" by chance.
        """
        spoken = [set(self._words_of(text)) for text in texts]
        counts = Counter(word for words in spoken for word in words if not set(word) & set(CHINESE_DIGITS))
        general = _general_words(language)
        share = len(texts) / max(1, len(self._texts))
        lifts = {word: count / (share * max(1, self._counts[word])) for word, count in counts.items()}
        least = max(_OFTEN, _SHARE * len(texts))
        often = [word for word in counts if counts[word] >= least and lifts[word] >= _LIFT and word not in general]
        best = sorted(often, key=lambda word: (-counts[word] * log(lifts[word]), word))[:n]
        return tuple(_as_written(word, texts) for word in best)

    def _rare_words(self, row: int) -> list[str]:
        return self._words_of(self._texts[row])

    def _words_of(self, text: str) -> list[str]:
        """Return the words of a text that say something, in order; of Chinese, pairs of characters."""
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        return [
            word
            for word in words_of(text)
            if len(word) > 1
            and self._counts[word] <= self._most
            and word not in ENGLISH_STOP_WORDS
            and not set(word) & set(_PARTICLES)
        ]


@cache
def _general_words(language: Language) -> frozenset[str]:
    return frozenset(word for text in passages(language) for word in words_of(text))


def _as_written(word: str, texts: Sequence[str]) -> str:
    """Return a folded word as texts write it: with a capital only where it always has one, as Paris does."""
    found = {
        one.group() for text in texts for one in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
    }
    return word if word in found or not found else min(found)


def _joined(words: list[str], first: str, second: str) -> list[str]:
    """Join pairs of Chinese characters that overlap, as long as both texts hold the longer run."""
    found: list[str] = []
    for word in words:
        longer = found[-1] + word[1:] if found else ""
        if found and is_unspaced(word) and found[-1][-1] == word[0] and longer in first and longer in second:
            found[-1] = longer
        else:
            found.append(word)
    return found
