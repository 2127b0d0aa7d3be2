"""What a catalogue lets people name: labels, numbers, columns and titles, in English and Chinese.

Shapes: I items.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl

from genre.conversation.lexicon import Measure, MeasureWords, lexicon
from genre.conversation.phrases import Phrases
from genre.core.words import is_unspaced
from genre.data.dataset import Entities
from genre.features.text import Language, spoken_columns
from genre.generation.facts import FactBook

_FEW: Final = 0.1
"""Share of items up to which several labels in one item are an exception."""
_SURNAME = 4
_SHORT = 3
"""Letters of a label in capitals up to which it must be written so: `US` is not "us"."""
_CHATTER: Final = frozenset(
    "a all and any best book books else film films first for free good great it like love man me more movie movies new "  # noqa: SIM905
    "no none not of old one or other others please show some something the this three two various video we what".split()
)
"""Words of talk, which are no labels even where a catalogue has such labels."""


@dataclass(frozen=True)
class Label:
    """What a phrase says of items: one of some labels in a column, or every one of them."""

    column: str
    values: tuple[str, ...]
    every: bool = False


@dataclass(frozen=True)
class Number:
    """A number column and what it measures."""

    column: str
    measure: Measure


class Catalogue:
    """Knows what can be named of I items."""

    def __init__(self, items: Entities) -> None:
        """Index the labels and the number columns.

        Args:
            items: The catalogue.
        """
        self.items = items
        self._said: dict[tuple[str, str], dict[Language, str]] = {}
        self.numbers = tuple(_numbers(items))
        self.labels = Phrases([*self._label_phrases(), *self._people()])
        self.columns = Phrases(self._column_phrases())

    @cached_property
    def single(self) -> frozenset[str]:
        """The category columns of which an item has hardly ever more than one label."""
        lists = {name: self.items.frame[name] for name in self.items.roles.category}
        return frozenset(
            name
            for name, column in lists.items()
            if not isinstance(column.dtype, pl.List)
            or float((column.list.len() > 1).sum()) <= _FEW * float(len(column))
        )

    @cached_property
    def common_words(self) -> frozenset[str]:
        """Words that the texts write without a capital, so that they are no title by themselves."""
        return FactBook(self.items, "en").common_words

    def choices(self, most: int) -> dict[str, list[str]]:
        """Return the labels of the columns that have no more than `most` different ones."""
        found = {name: self._labels_of(name) for name in self.items.roles.category}
        return {name: labels for name, labels in found.items() if len(labels) <= most}

    def is_whole(self, column: str) -> bool:
        """Tell whether a number column holds whole numbers alone."""
        cells = self.items.frame[column].cast(pl.Float64).drop_nulls()
        return bool((cells == cells.round()).all())

    def number(self, measure: str) -> Number | None:
        """Return the column that holds a measure, if there is one."""
        return next((one for one in self.numbers if one.measure.name == measure), None)

    def say_label(self, column: str, value: str, language: Language) -> str:
        """Return a label in a language, as it stands where it is not known there."""
        return self._said.get((column, value), {}).get(language, value)

    def say_column(self, column: str, language: Language) -> str:
        """Return what a column is called."""
        name = next(iter(spoken_columns(self.items, [column], language)))
        if is_unspaced(name) == (language == "zh"):
            return name
        number = next((one for one in self.numbers if one.column == column), None)
        known = next((one.words for one in lexicon().columns if column.casefold() in one.names), None)
        words = known[language] if number is None and known else number.measure.said[language].words if number else ()
        return words[0] if words else name

    def _labels_of(self, column: str) -> list[str]:
        cells = self.items.frame[column]
        cells = cells.explode(empty_as_null=True) if isinstance(cells.dtype, pl.List) else cells
        return [str(label) for label in cells.drop_nulls().unique(maintain_order=True)]

    def _label_phrases(self) -> Iterator[tuple[str, Label]]:
        """Yield the labels' own names and their words in the lexicon."""
        for column in self.items.roles.category:
            labels = self._labels_of(column)
            own = {label.casefold(): label for label in labels}
            for label in labels:
                if label.casefold() not in _CHATTER:
                    yield from ((form, Label(column, (label,))) for form in _forms(label))
            for known in lexicon().labels:
                there = tuple(dict.fromkeys(own[name.casefold()] for name in known.names if name.casefold() in own))
                if not there or (known.every and len(there) < len(known.names)):
                    continue
                for words in known.words.values():
                    for word in words:
                        yield word, Label(column, there, known.every)
                if len(there) == 1:
                    english = there[0]
                    chinese = known.words["zh"][0] if known.words["zh"] else english
                    self._said.setdefault((column, english), {"zh": chinese})

    def _people(self) -> Iterator[tuple[str, Label]]:
        for column in self.items.roles.category:
            if any(known.people and column.casefold() in known.names for known in lexicon().columns):
                yield from self._surnames(column, self._labels_of(column))

    def _surnames(self, column: str, labels: list[str]) -> Iterator[tuple[str, Label]]:
        known = defaultdict(list)
        for label in labels:
            words = label.split()
            if len(words) > 1 and all(word[:1].isupper() for word in (words[0], words[-1])):
                known[words[-1]].append(label)
        for surname, names in known.items():
            if len(surname) >= _SURNAME and surname.casefold() not in self.common_words:
                yield surname, Label(column, tuple(names))

    def _column_phrases(self) -> Iterator[tuple[str, str]]:
        for number in self.numbers:
            for said in number.measure.said.values():
                yield from ((word, number.column) for word in said.words)
        for column in self.items.roles.category:
            yield column.replace("_", " "), column
            for known in lexicon().columns:
                if column.casefold() in known.names:
                    for words in known.words.values():
                        yield from ((word, column) for word in words)

    def is_written(self, label: Label, said: str) -> bool:
        """Tell whether a short label in capitals is written so; others may be written in any way."""
        own = next((value for value in label.values if value.casefold() == said.casefold()), None)
        return own is None or len(own) > _SHORT or not own.isupper() or said == own


def _forms(label: str) -> Iterator[str]:
    """Yield a label, and an English one in the singular and the plural too: `Shampoos` is said as "shampoo"."""
    yield label
    if label.isascii() and len(label) > _SHORT and label[-1].isalpha():
        yield label[:-1] if label.endswith("s") and not label.endswith("ss") else f"{label}s"


def _numbers(items: Entities) -> Iterator[Number]:
    known = lexicon().measures.values()
    for column in items.roles.number:
        name = re.sub(r"\W+", "_", column.casefold())
        measure = next((one for one in known if name in one.columns), None)
        yield Number(column, measure or _own_measure(column))


def _own_measure(column: str) -> Measure:
    word = column.replace("_", " ").casefold()
    said = MeasureWords((), (), (), (), (), (), (word,), (word,), word)
    return Measure(column, (column,), {"en": said, "zh": said})
