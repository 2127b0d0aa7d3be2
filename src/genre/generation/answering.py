"""Which of the facts answers a question about an item, without a model."""

from __future__ import annotations

import re
from typing import Final

from genre.core.words import words_of
from genre.features.enrich.checks import content_words
from genre.features.text import Language
from genre.generation.facts import Facts
from genre.generation.sentences import ended, labelled, sentences_of

_ASKED: Final = (
    ("director", "导演", r"\bdirect(?:s|ed|or|ors)?\b|\bwho made\b|导演|执导|谁拍"),
    ("year", "年份", r"\bwhen\b|\bwhat year\b|\bhow old\b|哪一?年|什么时候|何时|年份"),
    ("genres", "类型", r"\bgenres?\b|\bwhat (?:kind|sort|type)\b|类型|哪一?类|什么片"),
    ("country", "国家", r"\bwhere\b.*\b(?:from|made)\b|\bcountry\b|哪个?国|国家|哪里"),
    ("price", "价格", r"\bhow much\b|\bprice\b|\bcost\b|多少钱|价格|价钱"),
    ("brand", "品牌", r"\bbrand\b|\bwho makes\b|品牌|牌子|厂家"),
    ("author", "作者", r"\bauthor\b|\bwho wrote\b|作者|谁写"),
    ("artist", "歌手", r"\bartist\b|\bwho (?:sings|plays)\b|歌手|谁唱"),
    ("language", "语言", r"\bwhat language\b|语言|哪种语"),
)
"""Columns by their names in both languages, and how one asks for them."""
_LEAST = 1


def answering(facts: Facts, question: str, language: Language) -> str:
    """Return the labels that are asked for, or the sentence with the most words of the question; "" where none has any.

    Args:
        facts: Of the item.
        question: In any language.
        language: Of the facts.
    """
    lowered = question.casefold()
    asked = {name for english, chinese, pattern in _ASKED if re.search(pattern, lowered) for name in (english, chinese)}
    words = set(words_of(question))
    named = {
        name: value
        for name, value in facts.labels.items()
        if name.casefold() in asked or ((own := set(words_of(name))) and own <= words)
    }
    if named:
        return ended(labelled(named, language), language)
    wanted = content_words([question]) - content_words([facts.title])
    sentences = sentences_of(facts.text)
    overlap = [len(wanted & content_words([sentence])) for sentence in sentences]
    best = max(overlap, default=0)
    return sentences[overlap.index(best)] if best >= _LEAST else ""
