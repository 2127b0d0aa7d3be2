"""Which constraints a clause puts on items: labels and numbers, in or out.

A label that is named is wanted, unless something before it turns it round ("no", "anything but", 除了) that nothing has
ended, or something behind it does ("is out", 就算了).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, cast

import polars as pl

from genre.conversation import cues
from genre.conversation.acts import Act
from genre.conversation.catalogue import Catalogue, Label
from genre.conversation.mentions import Clause, Mention
from genre.conversation.polarity import Stance, stance
from genre.conversation.ranges import YEAR, Range
from genre.strategies.rules import ColumnRuleConfig

_OR: Final = re.compile(r"\bor\b|或|还是|/|\beither\b")
_AND: Final = re.compile(r"\band\b|&|\+|和|与|、|跟|以及|,")
_UNSPACED_AND: Final = re.compile(r"和|与|、|跟|以及")
_BESIDE: Final = re.compile(
    r"\s*(?:,|/|&|、|\b(?:and|or)\b|和|与|跟|以及|或者?|还是|[-–—~]|到|至|\b(?:to|until|till)\b)*"
    r"\s*(?:the |from |of |in )*\s*"
)


def stance_on(clause: Clause, mention: Mention) -> Stance:
    """Return what a clause says of something that it names."""
    return stance(clause.before(mention), clause.after(mention))


@dataclass(frozen=True)
class Wanted:
    """Turns what a clause names into constraints on a catalogue."""

    catalogue: Catalogue

    def rules(self, clause: Clause) -> list[ColumnRuleConfig]:
        """Return the constraints."""
        said = defaultdict[Stance, list[Mention]](list)
        for one in clause.of("l", "r"):
            said[stance_on(clause, one)].append(one)
        denied = [rule for one in said["unwanted"] if one.kind == "l" for rule in _each("deny", one)]
        found = list(denied)
        for group in self._groups(clause, [one for one in said["wanted"] if one.kind == "l"]):
            found += [_but(rule, denied) for rule in group]
        yes = [one for one in said["wanted"] if one.kind == "r"]
        no = [one for one in said["unwanted"] if one.kind == "r"]
        ranges = [self.range_rule(cast(Range, one.value), deny=True) for one in no]
        ranges += [self.range_rule(bounds) for bounds in _united(clause, yes)]
        return [*found, *(rule for rule in ranges if rule is not None), *self._gaps(clause, yes)]

    def named(self, clause: Clause) -> list[ColumnRuleConfig]:
        """Return what a clause names as constraints, whether it wants it or not."""
        labels = [rule for group in self._groups(clause, clause.of("l")) for rule in group]
        ranges = [self.range_rule(cast(Range, one.value)) for one in clause.of("r")]
        return [*labels, *(rule for rule in ranges if rule is not None)]

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

    def _gaps(self, clause: Clause, ranges: Sequence[Mention]) -> list[ColumnRuleConfig]:
        """Return what lies between spans that belong together, as not wanted: of "the 60s or 80s", the 70s."""
        found = []
        for run in _runs(clause, ranges):
            spans = sorted((cast(Range, one.value) for one in run), key=lambda span: span.at_least or 0)
            for low, high in pairwise(spans):
                gap = Range(low.measure, (low.at_most or 0) + 1, (high.at_least or 0) - 1)
                rule = self.range_rule(gap, deny=True) if (gap.at_least or 0) <= (gap.at_most or 0) else None
                found += [] if rule is None else [rule]
        return found

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


def _runs(clause: Clause, ranges: Sequence[Mention]) -> list[list[Mention]]:
    """Return ranges in runs: spans of years that are named one beside the other, such as "the 60s and 70s"."""
    runs: list[list[Mention]] = []
    for one in ranges:
        last = runs[-1][-1] if runs else None
        if last is not None and _is_span(last) and _is_span(one):
            between = clause.before(one)[len(clause.before(last)) :]
            if _BESIDE.fullmatch(cues.MARK.sub("", between)):
                runs[-1].append(one)
                continue
        runs.append([one])
    return runs


def _is_span(mention: Mention) -> bool:
    bounds = cast(Range, mention.value)
    return bounds.measure == YEAR and bounds.at_least is not None and bounds.at_most is not None


def _united(clause: Clause, ranges: Sequence[Mention]) -> Iterator[Range]:
    """Yield ranges; those that are named one beside the other, as one from the first to the last."""
    for run in _runs(clause, ranges):
        spans = [cast(Range, one.value) for one in run]
        if len(spans) == 1:
            yield spans[0]
        else:
            yield Range(YEAR, min(one.at_least or 0 for one in spans), max(one.at_most or 0 for one in spans))


def _but(wanted: ColumnRuleConfig, unwanted: Sequence[ColumnRuleConfig]) -> ColumnRuleConfig:
    """Return what is wanted without what the same clause takes out of it: of "European, not French", the others."""
    gone = {
        value for one in unwanted if one.kind == "deny" and one.column == wanted.column for value in one.values or ()
    }
    rest = tuple(value for value in wanted.values or () if value not in gone)
    return wanted.model_copy(update={"values": rest}) if rest else wanted


def _label(mention: Mention) -> Label:
    return cast(Label, mention.value)


def _column(mention: Mention) -> str:
    return _label(mention).column


def _each(kind: Literal["allow", "deny"], mention: Mention) -> list[ColumnRuleConfig]:
    label = _label(mention)
    groups = [(value,) for value in label.values] if label.every else [label.values]
    return [ColumnRuleConfig(kind=kind, column=label.column, values=values) for values in groups]
