"""Which constraints a clause puts on items: labels and numbers, in or out.

A label that is named is wanted, unless something before it turns it round ("no", "anything but", 除了) that nothing has
ended, or something behind it does ("is out", 就算了).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, cast

import polars as pl

from genre.conversation import cues
from genre.conversation.acts import Act
from genre.conversation.catalogue import Catalogue, Label
from genre.conversation.mentions import Clause, Mention
from genre.conversation.ranges import YEAR, Range
from genre.strategies.rules import ColumnRuleConfig

_OR: Final = re.compile(r"\bor\b|或|还是|/|\beither\b")
_AND: Final = re.compile(r"\band\b|&|\+|和|与|、|跟|以及|,")
_UNSPACED_AND: Final = re.compile(r"和|与|、|跟|以及")


def is_unwanted(clause: Clause, mention: Mention) -> bool:
    """Tell whether a clause says that something is not wanted."""
    before, after = clause.before(mention), clause.after(mention)
    negative = _last(cues.NEGATIVE, before)
    if negative >= 0 and negative >= _last(cues.POSITIVE, before):
        return True
    return cues.AFTER_NO.match(after) is not None


def is_allowed(clause: Clause, mention: Mention) -> bool:
    """Tell whether a clause says that something may be, and need not."""
    if cues.BEFORE_OK.search(clause.before(mention)):
        return True
    return not is_unwanted(clause, mention) and cues.AFTER_OK.match(clause.after(mention)) is not None


def _last(cue: re.Pattern[str], text: str) -> int:
    return max((hit.end() for hit in cue.finditer(text)), default=-1)


@dataclass(frozen=True)
class Wanted:
    """Turns what a clause names into constraints on a catalogue."""

    catalogue: Catalogue

    def rules(self, clause: Clause) -> list[ColumnRuleConfig]:
        """Return the constraints."""
        labels = [one for one in clause.of("l") if not is_allowed(clause, one)]
        unwanted = [one for one in labels if is_unwanted(clause, one)]
        wanted = [one for one in labels if one not in unwanted]
        found = [rule for one in unwanted for rule in _each("deny", one)]
        for group in self._groups(clause, wanted):
            found += group
        for one in clause.of("r"):
            rule = self.range_rule(one.value, deny=is_unwanted(clause, one)) if isinstance(one.value, Range) else None
            if rule is not None and not is_allowed(clause, one):
                found.append(rule)
        return found

    def problems(self, clause: Clause) -> list[Act]:
        """Return the numbers that are asked for and that the catalogue does not have."""
        missing = [
            one.value.measure
            for one in clause.of("r")
            if isinstance(one.value, Range) and one.value.measure and self.catalogue.number(one.value.measure) is None
        ]
        return [Act("problem", text=measure, problem="no_measure") for measure in missing]

    def range_rule(self, bounds: Range, *, deny: bool = False) -> ColumnRuleConfig | None:
        """Return a range as a constraint; None where no column holds such numbers."""
        numbers = self.catalogue.numbers
        if bounds.measure is None:
            others = [one for one in numbers if one.measure.name != YEAR]
            number = others[0] if len(others) == 1 else None
        else:
            number = self.catalogue.number(bounds.measure)
        if number is None:
            return None
        least = bounds.at_least
        if bounds.last_years is not None:
            newest = self.catalogue.items.frame[number.column].max()
            least = float(str(newest)) - bounds.last_years if newest is not None else None
        if least is None and bounds.at_most is None:
            return None
        most = bounds.at_most
        if deny and (least is None) != (most is None) and self.catalogue.is_whole(number.column):
            # Of whole numbers, "nothing before 1960" says the same as "from 1960", and is easier to read.
            least, most, deny = (None if most is None else most + 1), (None if least is None else least - 1), False
        return ColumnRuleConfig(kind="deny" if deny else "allow", column=number.column, at_least=least, at_most=most)

    def degree(self, measure: str, direction: int) -> ColumnRuleConfig | None:
        """Return "new", "old" and so on as a constraint: the upper or the lower third of the catalogue."""
        number = self.catalogue.number(measure)
        if number is None:
            return None
        cells = self.catalogue.items.frame[number.column].cast(pl.Float64).drop_nulls()
        if cells.is_empty():
            return None
        edge = cells.quantile(2 / 3 if direction > 0 else 1 / 3, "nearest")
        if direction > 0:
            return ColumnRuleConfig(kind="allow", column=number.column, at_least=edge)
        return ColumnRuleConfig(kind="allow", column=number.column, at_most=edge)

    def _groups(self, clause: Clause, wanted: Sequence[Mention]) -> Iterator[list[ColumnRuleConfig]]:
        """Yield the constraints of labels that belong together: one of them, or all of them."""
        run: list[Mention] = []
        for one in wanted:
            if run and _column(run[-1]) != _column(one):
                yield self._one_group(clause, run)
                run = []
            run.append(one)
        if run:
            yield self._one_group(clause, run)

    def _one_group(self, clause: Clause, run: list[Mention]) -> list[ColumnRuleConfig]:
        between = [clause.before(second)[len(clause.before(first)) :] for first, second in pairwise(run)]
        either = any(_OR.search(text) for text in between) or _column(run[0]) in self.catalogue.single
        if not either and any(_AND.search(text) for text in between):
            plural = all(one.said.endswith("s") for one in run)
            unspaced = any(_UNSPACED_AND.search(text) for text in between) and "又" not in clause.text
            either = plural or unspaced
        if either and len(run) > 1:
            values = tuple(dict.fromkeys(value for one in run for value in _label(one).values))
            return [ColumnRuleConfig(kind="allow", column=_column(run[0]), values=values)]
        return [rule for one in run for rule in _each("allow", one)]


def _label(mention: Mention) -> Label:
    return cast(Label, mention.value)


def _column(mention: Mention) -> str:
    return _label(mention).column


def _each(kind: Literal["allow", "deny"], mention: Mention) -> list[ColumnRuleConfig]:
    label = _label(mention)
    groups = [(value,) for value in label.values] if label.every else [label.values]
    return [ColumnRuleConfig(kind=kind, column=label.column, values=values) for values in groups]
