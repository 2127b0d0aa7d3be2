"""Words of both languages for what catalogues have labels and numbers of; the list is `lexicon.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from genre.features.text import Language

_FILE: Final = Path(__file__).with_name("lexicon.json")


@dataclass(frozen=True)
class LabelWords:
    """Words for a label, or for one of several labels."""

    names: tuple[str, ...]
    """How catalogues write it; where these are different labels, the words stand for any of them."""
    every: bool
    """Whether the words stand for all of them together."""
    words: Mapping[Language, tuple[str, ...]]


@dataclass(frozen=True)
class MeasureWords:
    """Words for what a number column measures, in one language."""

    up: tuple[str, ...]
    """More of it, in comparison."""
    down: tuple[str, ...]
    high: tuple[str, ...]
    """Much of it."""
    low: tuple[str, ...]
    much: tuple[str, ...]
    """Adjectives that stand behind "too"."""
    little: tuple[str, ...]
    words: tuple[str, ...]
    """The measure itself."""
    units: tuple[str, ...]
    question: str
    """What a catalogue without it does not say."""


@dataclass(frozen=True)
class Measure:
    """Something that a number column may hold."""

    name: str
    columns: tuple[str, ...]
    """What such columns are called, in small letters."""
    said: Mapping[Language, MeasureWords]


@dataclass(frozen=True)
class ColumnWords:
    """Words for what a category column holds."""

    names: tuple[str, ...]
    people: bool
    """Whether it holds names of people, who are known by their surnames."""
    words: Mapping[Language, tuple[str, ...]]


@dataclass(frozen=True)
class Lexicon:
    """All of it."""

    labels: tuple[LabelWords, ...]
    measures: Mapping[str, Measure]
    columns: tuple[ColumnWords, ...]


@cache
def lexicon() -> Lexicon:
    """Return the lexicon, read once."""
    known = json.loads(_FILE.read_text(encoding="utf-8"))
    return Lexicon(
        tuple(LabelWords(tuple(one["names"]), one.get("every", False), _in_both(one)) for one in known["labels"]),
        {
            name: Measure(name, tuple(one["columns"]), {"en": _measure(one["en"]), "zh": _measure(one["zh"])})
            for name, one in known["measures"].items()
        },
        tuple(ColumnWords(tuple(one["names"]), one.get("people", False), _in_both(one)) for one in known["columns"]),
    )


def _in_both(one: Mapping[str, Sequence[str]]) -> Mapping[Language, tuple[str, ...]]:
    return {"en": tuple(one["en"]), "zh": tuple(one["zh"])}


def _measure(words: Mapping[str, Any]) -> MeasureWords:
    question = str(words["question"])
    return MeasureWords(**{name: tuple(part) for name, part in words.items() if name != "question"}, question=question)
