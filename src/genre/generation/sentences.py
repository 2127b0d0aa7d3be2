"""Sentences, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from genre.core.words import CJK, words_of
from genre.features.text import Language

_END: Final = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z\u00c0-\u00de0-9])|(?<=[。！？])[”’」』）]*(?=[^”’」』）])"
)
_ABBREVIATED: Final = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|etc|No|Vol|Prof)|\b[A-Z])\.$")
_CHINESE_END: Final = re.compile(rf"[{CJK}。！？”’」』）]$")
_CHINESE_BEGIN: Final = re.compile(rf"[{CJK}“‘「『（《]")
_COUNTED: Final = re.compile(rf"[{CJK}]|[^\s{CJK}]*[^\W{CJK}][^\s{CJK}]*")
_WHOLE: Final = re.compile(r"[.!?…。！？][\"'”’)\]」』）]*$")


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text; an abbreviation or an initial does not end one."""
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        piece = text[start : end.end()].strip()
        if _ABBREVIATED.search(piece):
            continue
        found.append(piece)
        start = end.end()
    return [piece for piece in [*found, text[start:].strip()] if piece]


def is_whole(sentence: str) -> bool:
    """Tell whether a sentence has its end."""
    return _WHOLE.search(sentence) is not None


def length_of(text: str) -> int:
    """Return how long a text is: its words, and of Chinese its characters."""
    return sum(1 for _ in _COUNTED.finditer(text))


def first_words(text: str, count: int) -> str:
    """Return the beginning of a text with so many words at most, and an ellipsis behind it."""
    words = list(_COUNTED.finditer(text))
    return text[: words[count - 1].end()].rstrip(",;:，；：、") + "…" if len(words) > count else text


def first_sentences(text: str, count: int) -> str:
    """Return the beginning of a text."""
    return together(sentences_of(text)[:count])


def rest_of(text: str, begin: str) -> str:
    """Return what of a text comes behind its beginning, or behind the last of its sentences that a beginning holds."""
    begin = begin.strip()
    if begin and text.startswith(begin):
        return text[len(begin) :].lstrip(" .!?…。！？,;:，；：")
    sentences = sentences_of(text)
    held = [at for at, sentence in enumerate(sentences) if sentence in begin]
    return together(sentences[held[-1] + 1 :] if held else sentences)


def best_sentences(text: str, words: Collection[str], count: int) -> str:
    """Return the sentences with the most of some words, in their order; of equals, the earlier ones."""
    sentences = sentences_of(text)
    overlap = [len(set(words_of(sentence)) & set(words)) for sentence in sentences]
    chosen = sorted(sorted(range(len(sentences)), key=lambda at: (-overlap[at], at))[:count])
    return together([sentences[at] for at in chosen])


def within(text: str, *, sentences: int, words: int) -> str:
    """Return as many whole sentences from the beginning as the limits allow, the first one at least."""
    kept = sentences_of(text)[:sentences]
    while len(kept) > 1 and length_of(together(kept)) > words:
        kept.pop()
    return together(kept)


def joined(values: Sequence[str], language: Language) -> str:
    """Return a list in words."""
    if language == "zh":
        return "、".join(values)
    return ", ".join(values[:-1]) + f" and {values[-1]}" if len(values) > 1 else "".join(values)


def together(sentences: Sequence[str]) -> str:
    """Return sentences as one text; between Chinese ones there is no space."""
    text = ""
    for sentence in sentences:
        touches = _CHINESE_END.search(text) is not None and _CHINESE_BEGIN.match(sentence) is not None
        text += sentence if not text or touches else f" {sentence}"
    return text
