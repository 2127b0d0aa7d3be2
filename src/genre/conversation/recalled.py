"""Which earlier wishes somebody speaks of, in words that need not be the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from genre.core.words import is_unspaced
from genre.features.enrich.checks import content_words


def recalled(text: str, wishes: Sequence[str]) -> list[str]:
    """Return the wishes that share a word with a text: "the robot thing" is about "robots".

    Args:
        text: What somebody says.
        wishes: In the person's words.
    """
    words = content_words([text])
    return [wish for wish in wishes if _shares(text, words, wish)]


def _shares(text: str, words: frozenset[str], wish: str) -> bool:
    if is_unspaced(wish):
        return any(first + second in text for first, second in pairwise(wish)) or wish in text
    return bool(words & content_words([wish]))
