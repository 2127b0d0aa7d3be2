"""In which order several items are taken, and what each adds to those before it.

Shapes: n items.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import polars as pl

from genre.data.dataset import Entities
from genre.features.enrich.checks import content_words
from genre.features.enrich.untrusted import neutralise
from genre.features.text import Language, spoken_columns
from genre.generation.facts import FactBook
from genre.generation.person import labels_of

NEEDS: Final = re.compile(
    r"^(?:pre_?requisites?|pre_?reqs?|requires|depends_on|先修(?:课程?)?|前置(?:课程?)?)$", re.IGNORECASE
)
"""What a column is called that says what an item needs."""
_LEVEL: Final = re.compile(
    r"^(?:(?:course|skill|difficulty)_)?level$|^difficulty$|难度|级别|等级|^水平$", re.IGNORECASE
)
_LEVELS: Final = (
    re.compile(
        r"\b(?:intro\w*|basics?|foundation\w*|starters?|novices?|beginn\w+|easy)\b|入门|零基础|基础", re.IGNORECASE
    ),
    re.compile(r"\b(?:elementary)\b|初级|初阶|简单", re.IGNORECASE),
    re.compile(r"\b(?:intermediate|medium|moderate)\b|中级|中阶|中等", re.IGNORECASE),
    re.compile(r"进阶"),
    re.compile(r"\b(?:advanced|hard|difficult)\b|高级|高阶|困难", re.IGNORECASE),
    re.compile(r"\b(?:expert|master|professional)s?\b|专家|精通", re.IGNORECASE),
)
"""What says how hard something is, the easiest first; of two in one value the easier one counts."""
_SEPARATORS: Final = re.compile(r"[,;|、，；]")
_ADDS, _KEEPS = 3, 2


@dataclass(frozen=True)
class Step:
    """One item's place in an order."""

    number: int
    """From 1."""
    of: int
    level: str = ""
    """How hard it is, as the catalogue says it."""
    builds_on: tuple[str, ...] = ()
    """Titles of earlier items that it needs."""
    needs: tuple[str, ...] = ()
    """Titles of items that it needs, and that are neither in the path nor known to the person."""
    adds: tuple[str, ...] = ()
    """Labels that no earlier item has."""
    keeps: tuple[str, ...] = ()
    """Labels that an earlier item has too."""
    earlier: tuple[str, ...] = ()
    """Titles of all earlier items, in their order."""
    later: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """What may be named beside the facts of the item."""
        return (*self.earlier, *self.needs, *self.adds, self.level)


class Paths:
    """Orders items of a catalogue.

    An item comes behind all that it needs, directly or through others, as columns such as `prerequisites` say by ids
    or titles: a learner who is told otherwise is misled. Of the items that are free to come next, the easiest does, by
    a column such as `level` or `difficulty`; what has no level stands behind what has one, since nobody said that it is
    easy. Of equally easy ones comes the one with the largest ``p (1 - p)``, where ``p`` is the share of its labels that
    earlier items have. It is largest at one half: an item of nothing new adds nothing, and one of nothing known is a
    jump. Where labels do not decide, words of the texts do in the same way, and then the rank; so the first item of a
    catalogue without such columns is the best recommended one. Where items need each other in a circle, no order is
    right: the circle is entered where the other rules say, and that is told.
    """

    def __init__(self, items: Entities, book: FactBook, language: Language) -> None:
        """Find the columns.

        Args:
            items: The catalogue.
            book: Its facts.
            language: Of the facts.
        """
        self._items, self._book = items, book
        columns = items.frame.columns
        self._needing = [name for name in columns if NEEDS.search(name)]
        level = next((name for name in columns if _LEVEL.search(name)), None)
        self._levels = {} if level is None else spoken_columns(items, [level], language)
        said = spoken_columns(items, self._needing, language)
        self._no_labels = {*self._levels, *said}

    def ordered(self, rows: Sequence[int], known: Collection[int]) -> tuple[list[int], list[Step], dict[str, Any]]:
        """Return the items' rows in order, what each is at its place, and how the order came about.

        Args:
            rows: Of n items, the best recommended one first.
            known: Rows of what the person has liked: it is not asked for first.
        """
        closure = {row: self._all_needed(row) for row in rows}
        labels = {row: frozenset(self._labels(row)) for row in rows}
        words = {row: content_words([self._book[row].text]) for row in rows}
        left, order, circular = list(rows), list[int](), list[int]()
        seen_labels, seen_words = set[str](), set[str]()
        while left:
            # Free is what needs nothing that is left, or only what needs it in turn.
            free = [row for row in left if all(row in closure[other] for other in left if other in closure[row])]
            best = min(
                free,
                key=lambda row: (
                    self._level(row),
                    _unlike(labels[row], seen_labels),
                    _unlike(words[row], seen_words),
                    rows.index(row),
                ),
            )
            circular += [best] if any(other in closure[best] for other in left if other != best) else []
            order.append(best)
            left.remove(best)
            seen_labels |= labels[best]
            seen_words |= words[best]
        ids = self._items.vocabulary.ids
        rules = ["prerequisites"] if any(set(rows) & closure[row] - {row} for row in rows) else []
        rules += ["level"] if len({self._level(row) for row in rows}) > 1 else []
        about: dict[str, Any] = {"items": [str(ids[row]) for row in order], "ordered_by": [*rules, "what is new"]}
        if circular:
            about["circular"] = [str(ids[row]) for row in circular]
        return order, [self._step(at, order, known) for at in range(len(order))], about

    def _step(self, at: int, order: Sequence[int], known: Collection[int]) -> Step:
        row, before = order[at], order[:at]
        titles = [self._book[other].name for other in order]
        seen = {label for other in before for label in self._labels(other)}
        own = list(dict.fromkeys(self._labels(row)))
        direct = self._needed.get(row, ())
        # What comes later though it is needed is part of a circle; nobody can be asked to know it first.
        missing = [other for other in direct if other not in order and other not in known]
        return Step(
            at + 1,
            len(order),
            neutralise(self._said_level(row)).text,
            tuple(self._book[other].name for other in direct if other in before),
            tuple(self._book[other].name for other in missing),
            tuple(label for label in own if label not in seen)[:_ADDS],
            tuple(label for label in own if label in seen)[:_KEEPS],
            tuple(titles[:at]),
            tuple(titles[at + 1 :]),
        )

    def _labels(self, row: int) -> Sequence[str]:
        facts = self._book[row]
        labels = {name: value for name, value in facts.labels.items() if name not in self._no_labels}
        return labels_of(replace(facts, labels=labels))

    def _said_level(self, row: int) -> str:
        return next((cells[row] for cells in self._levels.values()), "")

    def _level(self, row: int) -> float:
        """Return how hard an item is; infinity where it is not said."""
        value = self._said_level(row)
        for level, pattern in enumerate(_LEVELS):
            if pattern.search(value):
                return float(level)
        number = re.search(r"\d+(?:\.\d+)?", value)
        return float(number.group()) if number else float("inf")

    def _all_needed(self, row: int) -> set[int]:
        """Return the rows that an item needs, directly or through others, of the whole catalogue."""
        found, waiting = set[int](), list(self._needed.get(row, ()))
        while waiting:
            if (other := waiting.pop()) not in found:
                found.add(other)
                waiting += self._needed.get(other, ())
        return found

    @cached_property
    def _needed(self) -> dict[int, tuple[int, ...]]:
        """What each item needs directly; what names no other item of the catalogue is no need."""
        if not self._needing:
            return {}
        titles = [self._items.title, self._items.title_in("en"), self._items.title_in("zh")]
        rows: dict[str, int] = {}
        for names in (*titles, self._items.vocabulary.ids):  # An id counts before a title.
            rows |= {_folded(name): row for row, name in reversed(list(enumerate(names)))}
        found: dict[int, tuple[int, ...]] = {}
        for cells in (self._items.frame[name] for name in self._needing):
            for row, cell in enumerate(cells):
                needed = [rows[part] for part in _parts(cell) if rows.get(part, row) != row]
                if needed:
                    found[row] = tuple(dict.fromkeys([*found.get(row, ()), *needed]))
        return found


def _unlike(own: Collection[str], seen: Collection[str]) -> float:
    """Return how far something is from half new; 0 is half new."""
    share = sum(one in seen for one in own) / len(own) if own else 0.0
    return 0.25 - share * (1 - share)


def _parts(cell: Any) -> Iterable[str]:
    values = cell if isinstance(cell, pl.Series | list) else [] if cell is None else [cell]
    for value in values:
        # A title may hold a comma.
        yield from dict.fromkeys([_folded(value), *map(_folded, _SEPARATORS.split(str(value)))])


def _folded(name: object) -> str:
    return " ".join(str(name).casefold().split())
