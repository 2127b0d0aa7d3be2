"""Whether an answer may be kept: in the right language, about what was read, and free of what was left out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from genre.core.words import words_of
from genre.features.enrich.answers import Answer
from genre.features.enrich.untrusted import gives_orders, neutralise
from genre.features.text import Language

LANGUAGE, ORDERS, SUBJECT = "other language", "repeats an order", "other subject"
"""The reasons for which an answer of the right form is refused."""
_HAN = re.compile("[\u3400-\u9fff\U00020000-\U0003134f]")
_UNIT = re.compile("[\u3400-\u9fff\U00020000-\U0003134f]|[^\\W\\d_\u3400-\u9fff\U00020000-\U0003134f]+")
"""A Chinese character, or a word of another script: about equally much is said by both."""
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_LEAST_SHARE: Final[dict[Language, float]] = {"en": 0.8, "zh": 0.5}
"""Of the units that must be in the language's script. Chinese texts name foreign people and films in Latin letters."""
_STEM = 5
"""Letters by which English words are compared, so that `robot` and `robots` are the same."""
_EMPTY = frozenset(
    "about after all also and any are been before being both but can could did does each for from get gets had has "  # noqa: SIM905
    "have her here him his how into its just like make more most much must not now off one only other our out over "
    "own same she should some such than that the their them then there these they this those through too under "
    "until very was way were what when where which while who will with would you your story film movie item product "
    "great good new title summary description user topics interests keywords".split()
) | frozenset(
    [
        "一个",
        "我们",
        "他们",
        "她们",
        "自己",
        "没有",
        "这个",
        "那个",
        "什么",
        "以及",
        "但是",
        "因为",
        "所以",
        "可以",
        "故事",
        "电影",
        "影片",
        "标题",
        "摘要",
        "简介",
    ]
)


@dataclass(frozen=True)
class Source:
    """What was read of one item or user, ready for prompts, and what an answer is compared with."""

    title: str
    text: str
    labels: tuple[str, ...]
    names: frozenset[str]
    """Words of the title and the labels: an answer about this item has one of them at least. None where the title has
    no word that says something."""
    words: frozenset[str]
    """All words that were read."""
    ordered: frozenset[str]
    """Words that stand in clauses left out of the prompt, and nowhere else."""
    left_out: int
    """Clauses left out."""

    @classmethod
    def of(cls, title: str, text: str, labels: Sequence[str] = ()) -> Self:
        """Make a title, a text and labels harmless."""
        name, body, *facts = (neutralise(part) for part in (title, text, *labels))
        title_words, labelled = content_words([name.text]), content_words(fact.text for fact in facts)
        names = title_words | labelled if title_words else frozenset[str]()
        words = title_words | labelled | content_words([body.text])
        left_out = [clause for part in (name, body, *facts) for clause in part.left_out]
        shown = tuple(fact.text for fact in facts if fact.text)
        return cls(name.text, body.text, shown, names, words, content_words(left_out) - words, len(left_out))


def problem_of(answer: Answer, source: Source, language: Language) -> tuple[str, str] | None:
    """Return the reason for which an answer is refused and a line for the one who wrote it, or None.

    The language is told by script alone: it keeps English apart from Chinese, not from French.
    """
    written = " ".join(answer.written)
    if not answer.translated and not in_language(written, language):
        return LANGUAGE, f"the answer is not in {'English' if language == 'en' else 'Chinese'}"
    said = content_words(answer.written)
    if any(gives_orders(part) for part in answer.written) or said & source.ordered:
        return ORDERS, "the answer repeats words that are not about the subject"
    if answer.translated:
        return None
    if source.names and not said & source.names:
        return SUBJECT, "the answer names nothing of the title"
    # Words of two scripts cannot be compared; names, which stay as they are, must do.
    comparable = in_language(f"{source.title} {source.text}", language)
    if comparable and len(said & source.words) < answer.least_overlap * len(said):
        return SUBJECT, "the answer has hardly a word in common with the text"
    return None


def in_language(text: str, language: Language) -> bool:
    """Tell whether most of a text is in the script of a language."""
    units = _UNIT.findall(text)
    script = _LATIN if language == "en" else _HAN
    return bool(units) and sum(bool(script.match(unit)) for unit in units) >= _LEAST_SHARE[language] * len(units)


def content_words(texts: Iterable[str]) -> frozenset[str]:
    """Return the words that say something, English ones by their first letters, Chinese ones as pairs."""
    found = {word for text in texts for word in words_of(text)}
    return frozenset(
        word if _HAN.match(word) else word[:_STEM]
        for word in found - _EMPTY
        if (len(word) >= 2 if _HAN.match(word) else len(word) >= 3)
    )
