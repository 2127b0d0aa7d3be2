"""What depends on how a text was asked for: steps of a path, continuations, translations, and texts about a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from genre.core.words import is_unspaced, words_of
from genre.features.enrich.checks import content_words
from genre.generation.across import losses
from genre.generation.checks import Further, Problem, repeats
from genre.generation.claims import name_words
from genre.generation.facts import Facts
from genre.generation.guesses import guesses_in
from genre.generation.paths import Step
from genre.generation.requests import Request
from genre.generation.sentences import sentences_of
from genre.generation.tastes import strangeness

_PIECE, _CHINESE_PIECE = 5, 10
"""Words, or characters of a text in Chinese, that do not stand in a prompt and in a text by chance."""
_ADDRESSES: Final = re.compile(r"\b(?:you|your|yours|yourself)\b|[你您]", re.IGNORECASE)
_NEW: Final = 0.25
"""Share of a continuation's words that must be of facts which the beginning has not told."""


def further_checks(request: Request, common_words: frozenset[str]) -> tuple[Further, ...]:
    """Return what is looked for in the texts of a request beside what is looked for in all alike.

    Args:
        request: What is wanted.
        common_words: Words that are no names though a sentence begins with them.
    """
    found: list[Further] = [lambda text: _read_aloud(text, request)]
    if begin := request.begin:
        found.append(lambda text: _of_continuation(text, begin, request.facts))
    if request.kind.about == "person":
        found.append(lambda text: _of_person(text, request))
    elif "person" in request.kind.inputs:
        found.append(lambda text: _guesses_beside(text, request))
    if (step := request.step) is not None:
        found.append(lambda text: _of_step(text, step, request.facts, common_words))
    if (source := request.source) is not None:
        language = request.kind.language
        found.append(
            lambda text: (
                Problem(loss.check, loss.detail) for loss in losses(source, request.facts, text, language, common_words)
            )
        )
    return tuple(found)


def _read_aloud(text: str, request: Request) -> Iterator[Problem]:
    """Yield whether a text says to the person what was said to the model, and is no fact."""
    words, told = _folded(text), _folded(request.instructions)
    facts = _folded("\n".join([*request.facts.lines, *request.told]))
    pieces = [words[at : at + _CHINESE_PIECE] for at in range(len(words) - _CHINESE_PIECE + 1)]
    if not is_unspaced(words):
        parts = words.split()
        pieces = [" ".join(parts[at : at + _PIECE]) for at in range(len(parts) - _PIECE + 1)]
    if (piece := next((piece for piece in pieces if piece in told and piece not in facts), None)) is not None:
        yield Problem("no orders or links", f"it reads the prompt aloud: {piece!r}")


def _of_continuation(text: str, begin: str, facts: Facts) -> Iterator[Problem]:
    if repeats(f"{begin} {text}"):
        yield Problem("no repetition", "it says the beginning again")
    words = content_words([text])
    unsaid = content_words(facts.lines) - content_words([begin])
    if unsaid and len(words & unsaid) < _NEW * len(words):
        yield Problem("subject", "it says hardly anything of the facts that the beginning does not")


def _of_person(text: str, request: Request) -> Iterator[Problem]:
    evidence = [*request.person.liked, *request.person.counts]
    for guess in guesses_in(text, evidence):
        yield Problem("nothing personal", f"it guesses who somebody is: {guess!r}")
    for detail in strangeness(text, evidence, request.facts.lines, request.kind.language):
        yield Problem("subject", detail)


def _guesses_beside(text: str, request: Request) -> Iterator[Problem]:
    """Yield what a text about an item guesses of its reader: where it addresses somebody, and the facts say no such."""
    person, facts = request.person, " ".join(request.facts.lines)
    spoken = set(words_of(facts))
    for sentence in sentences_of(text):
        for guess in guesses_in(sentence, [*request.titles, *person.counts]) if _ADDRESSES.search(sentence) else ():
            if not spoken >= set(words_of(guess)):
                yield Problem("nothing personal", f"it guesses who somebody is: {guess!r}")


def _of_step(text: str, step: Step, facts: Facts, common_words: frozenset[str]) -> Iterator[Problem]:
    if facts.title and not names(text, facts.title):
        yield Problem("subject", "it does not name what it is about")
    if step.adds and not any(names(text, label) for label in step.adds):
        yield Problem("subject", "it does not say what is new in it")
    for title in step.later:
        # A title such as "Up" is found by the facts alone, where it has a capital inside a sentence.
        plain = title.casefold() in common_words or len(title) < 2
        if not plain and title in text and title not in "\n".join([*facts.lines, *step.told]):
            yield Problem("true", f"it names {title!r}, which comes later")


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def names(text: str, title: str) -> bool:
    """Tell whether a text names a title, in whatever spelling."""
    there, wanted = " ".join(name_words(text)), " ".join(name_words(title))
    return wanted in there if is_unspaced(wanted) else f" {wanted} " in f" {there} "
