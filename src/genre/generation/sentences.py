"""Sentences, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from genre.core.words import CJK, words_of
from genre.features.text import Language

_END: Final = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z\u00c0-\u00de0-9])|(?<=[。！？])[”’」』）]*(?=[^”’」』）])"
)
_ABBREVIATED: Final = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|etc|No|Vol|Prof)|\b[A-Z])\.$")
_CHINESE_END: Final = re.compile(rf"[{CJK}。！？”’」』）]$")
_CHINESE_STOP: Final = re.compile(r"[。！？][”’」』）]*$")
_CHINESE_BEGIN: Final = re.compile(rf"[{CJK}“‘「『（《]")
_COUNTED: Final = re.compile(rf"[{CJK}]|[^\s{CJK}]*[^\W{CJK}][^\s{CJK}]*")
_SPACED: Final = re.compile(rf"[^\W{CJK}]+(?:['’-][^\W{CJK}]+)*")
"""A word of a script that sets spaces."""
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
    """Return what of a text comes behind its beginning, or behind the last of its sentences that a beginning holds.

    Behind a beginning that ends inside a word, the whole word comes first.
    """
    begin = begin.strip()
    if begin and text.startswith(begin):
        end = len(begin)
        start = next((word.start() for word in _SPACED.finditer(text) if word.start() < end < word.end()), end)
        return text[start:].lstrip(" .!?…。！？,;:，；：")
    sentences = sentences_of(text)
    held = [at for at, sentence in enumerate(sentences) if sentence in begin]
    return together(sentences[held[-1] + 1 :] if held else sentences)


def best_sentences(text: str, words: Collection[str], count: int, most: int | None = None) -> str:
    """Return the sentences with the most of some words, in their order; of equals, the earlier ones.

    Args:
        text: Where they stand.
        words: As `words_of` returns them.
        count: Sentences at most.
        most: Words of a sentence at most; longer ones are passed over.
    """
    sentences = [one for one in sentences_of(text) if most is None or length_of(one) <= most]
    overlap = [len(set(words_of(sentence)) & set(words)) for sentence in sentences]
    chosen = sorted(sorted(range(len(sentences)), key=lambda at: (-overlap[at], at))[:count])
    return together([sentences[at] for at in chosen])


def within(text: str, *, sentences: int, words: int) -> str:
    """Return as many whole sentences from the beginning as the limits allow, the first one at least."""
    kept = sentences_of(text)[:sentences]
    while len(kept) > 1 and length_of(together(kept)) > words:
        kept.pop()
    return together(kept)


def ended(text: str, language: Language) -> str:
    """Return a sentence with its end; one that ends with a title such as Airplane! has one."""
    text = text.strip()
    return text if not text or is_whole(text) else text + ("。" if language == "zh" else ".")


def labelled(labels: Mapping[str, str], language: Language) -> str:
    """Return labels with their names, as `brand: Acme; in stock: yes`."""
    colon, between = ("：", "；") if language == "zh" else (": ", "; ")
    return between.join(f"{name}{colon}{value}" for name, value in labels.items())


def joined(values: Sequence[str], language: Language) -> str:
    """Return a list in words."""
    if language == "zh":
        return "、".join(values)
    return ", ".join(values[:-1]) + f" and {values[-1]}" if len(values) > 1 else "".join(values)


def together(sentences: Sequence[str]) -> str:
    """Return sentences as one text; between Chinese ones, and behind a Chinese stop, there is no space."""
    text = ""
    for sentence in sentences:
        touches = _CHINESE_END.search(text) and _CHINESE_BEGIN.match(sentence)
        text += sentence if not text or touches or _CHINESE_STOP.search(text) else f" {sentence}"
    return text
