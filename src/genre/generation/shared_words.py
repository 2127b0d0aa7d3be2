"""Which words two texts have in common that say something: the evidence of a model that reads texts.

Shapes: I items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

from genre.core.words import is_unspaced, words_of

MAX_SHARE = 0.05
"""Words in more texts than this share, and in more than two, say nothing of a catalogue: "film", "story"."""
_FEWEST = 2
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

    def _rare_words(self, row: int) -> list[str]:
        """Return the words of a text that say something, in order; of Chinese, pairs of characters."""
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        return [
            word
            for word in words_of(self._texts[row])
            if len(word) > 1
            and self._counts[word] <= self._most
            and word not in ENGLISH_STOP_WORDS
            and not set(word) & set(_PARTICLES)
        ]


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
