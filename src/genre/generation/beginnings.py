"""Texts whose beginning is given: the answer of a language model, put behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from genre.generation.sentences import is_whole, sentences_of

_CAPITAL: Final = re.compile(r"[A-Z][a-z]*\b")


def after(begin: str, text: str, name: str, common_words: frozenset[str]) -> str:
    """Return an answer with what it was to begin with.

    Args:
        begin: What that is.
        text: The answer. A model may have said some of it again, or begun a sentence of its own.
        name: Of what it is about.
        common_words: Words that are no names: a capital on one of them begins a sentence.
    """
    said = text.lstrip()
    if not begin or not said or said.startswith(begin):
        return text
    last = sentences_of(begin)[-1]
    if said.startswith(last):
        return begin.removesuffix(last) + said
    capital = _CAPITAL.match(said)
    anew = said.startswith(name) or (capital is not None and capital.group().casefold() in common_words)
    if not is_whole(last) and last[-1] not in ":：" and anew:
        return begin.removesuffix(last) + said
    return begin + (" " if begin[-1].isascii() and not text[0].isspace() else "") + text


def pieces_after(begin: str, pieces: Iterator[str], name: str, common_words: frozenset[str]) -> Iterator[str]:
    """Yield an answer piece by piece, from where it was to begin."""
    head = ""
    for piece in pieces:
        head += piece
        said = head.lstrip()
        again = any(one.startswith(said) for one in (begin, *sentences_of(begin)[-1:], f"{name} "))
        if len(said) >= len(begin) or (" " in said and not again):
            break
    yield after(begin, head, name, common_words)
    yield from pieces
