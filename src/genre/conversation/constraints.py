"""Constraints as rules for the recommender: how a new one joins those in force, and what to drop where nothing is left.

Shapes: I items.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from genre.data.dataset import Dataset
from genre.strategies.rules import ColumnRuleConfig

T = TypeVar("T")
_MOST_TOGETHER = 3
"""Constraints that are proposed to be dropped together."""


def joined(
    rules: Sequence[ColumnRuleConfig],
    new: Sequence[ColumnRuleConfig],
    *,
    single: Collection[str],
    also: bool,
    instead: bool,
    together: Sequence[ColumnRuleConfig] = (),
) -> tuple[ColumnRuleConfig, ...]:
    """Return the constraints in force after new ones were said.

    What is said last about a label counts. A range replaces what the earlier ones say of the same bound. In a column
    of which an item has one label alone, a label that is wanted takes the place of the one before.

    Args:
        rules: In force so far, oldest first.
        new: What was said now.
        single: Columns with one label an item.
        also: Whether the person said that the new labels come beside the old ones.
        instead: Whether the new ones take the place of all that was wanted of the same columns.
        together: What the same message has said before: no new one takes the place of these.
    """
    same = (*together, *new)
    kept = list(rules)
    for rule in new:
        if rule.values is None:
            kept = _with_range(kept, rule, instead=instead, among=same)
            continue
        said = set(rule.values)
        kept = [left for old in kept if (left := _without(old, rule, said)) is not None]
        if rule.kind == "allow":
            others = [old for old in kept if _wants(old, rule.column) and old not in same]
            if rule.column in single and also and others:
                rule = rule.model_copy(update={"values": (*(others[-1].values or ()), *rule.values)})
            if (rule.column in single or instead) and others:
                kept = [old for old in kept if old not in others]
        kept.append(rule)
    return tuple(dict.fromkeys(kept))


def allowed_by(data: Dataset, rules: Sequence[ColumnRuleConfig]) -> NDArray[np.bool_]:
    """Return (I,) what all of some constraints leave."""
    left = np.ones(data.num_items, bool)
    for rule in rules:
        left &= rule.build(data).allowed
    return left


def to_drop(
    conditions: Sequence[tuple[T, NDArray[np.bool_]]], free: NDArray[np.bool_]
) -> list[tuple[tuple[T, ...], int]]:
    """Return conditions without which something is left, each with how many items that is, the most first.

    Where no single one is enough, they are pairs, and then threes.

    Args:
        conditions: Those that leave nothing together, each with (I,) what it allows.
        free: (I,) what may be shown apart from them.
    """
    for size in range(1, min(_MOST_TOGETHER, len(conditions)) + 1):
        found = []
        for chosen in combinations(range(len(conditions)), size):
            left = free.copy()
            for at, (_, mask) in enumerate(conditions):
                if at not in chosen:
                    left &= mask
            if left.any():
                found.append((tuple(conditions[at][0] for at in chosen), int(left.sum())))
        if found:
            return sorted(found, key=lambda one: -one[1])
    return []


def _on(rule: ColumnRuleConfig, labels: set[str]) -> bool:
    """Tell whether a constraint speaks of some of these labels."""
    return rule.values is not None and bool(set(rule.values) & labels)


def _without(old: ColumnRuleConfig, new: ColumnRuleConfig, labels: set[str]) -> ColumnRuleConfig | None:
    """Return what a constraint still says after a new one on some labels; None for nothing.

    Of "Asian", "no Japanese" leaves the others.
    """
    if old.column != new.column or not _on(old, labels):
        return old
    rest = tuple(value for value in old.values or () if value not in labels)
    return old.model_copy(update={"values": rest}) if rest and (old.kind, new.kind) == ("allow", "deny") else None


def _wants(rule: ColumnRuleConfig, column: str) -> bool:
    return rule.kind == "allow" and rule.column == column and rule.values is not None


def _with_range(
    rules: list[ColumnRuleConfig], new: ColumnRuleConfig, *, instead: bool, among: Sequence[ColumnRuleConfig]
) -> list[ColumnRuleConfig]:
    """Return constraints with a range more; what was said together with it is left as it is.

    What was said the other way round about the same numbers no longer counts.
    """
    rules = [one for one in rules if one in among or not _against(one, new)]
    if new.kind == "deny":
        return [*rules, new]
    old = next(
        (
            one
            for one in rules
            if one.kind == "allow" and one.column == new.column and one.values is None and one not in among
        ),
        None,
    )
    if old is None:
        return [*rules, new]
    others = [one for one in rules if one is not old]
    if instead or (new.at_least is not None and new.at_most is not None):
        return [*others, new]
    least = old.at_least if new.at_least is None else new.at_least
    most = old.at_most if new.at_most is None else new.at_most
    if least is not None and most is not None and least > most:
        return [*rules, new]  # They contradict each other, and the person is told so.
    return [*others, new.model_copy(update={"at_least": least, "at_most": most})]


def _against(old: ColumnRuleConfig, new: ColumnRuleConfig) -> bool:
    """Tell whether one range takes out what the other wants: all of an earlier wish, or a part of a new one."""
    if old.column != new.column or old.values is not None or old.kind == new.kind:
        return False
    low, high = _bounds(old)
    first, last = _bounds(new)
    return (low <= last and first <= high) if new.kind == "allow" else (first <= low and high <= last)


def _bounds(rule: ColumnRuleConfig) -> tuple[float, float]:
    return (
        -math.inf if rule.at_least is None else rule.at_least,
        math.inf if rule.at_most is None else rule.at_most,
    )
