"""Rules over what may be shown: nothing seen before, and what the item columns allow."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.config import Config
from genre.core.errors import ConfigError
from genre.core.queries import Candidates, Queries
from genre.data.dataset import Dataset, Entities


class HideSeenConfig(Config):
    """Hide what is in the history, dislikes included."""

    kind: Literal["hide_seen"] = "hide_seen"

    def build(self, data: Dataset) -> HideSeen:
        """Return the rule."""
        return HideSeen()


class HideSeen:
    """Hides the items of each history."""

    def narrow(self, queries: Queries, candidates: Candidates) -> Candidates:
        """Exclude the histories."""
        return candidates.without(queries.history.items)


class ColumnRuleConfig(Config):
    """Keep (`allow`) or hide (`deny`) the items that match in one column: those that meet all given conditions."""

    kind: Literal["allow", "deny"]
    column: str
    """An item column, or the item id."""
    values: tuple[str, ...] | None = None
    """Matches an item that has one of these; for a number or a text, an equal one."""
    at_least: float | None = None
    """Matches numbers not below."""
    at_most: float | None = None
    """Matches numbers not above."""

    def build(self, data: Dataset) -> ColumnRule:
        """Return the rule over this catalogue.

        Raises:
            ConfigError: No such column, no condition, or a number asked of a column without numbers.
        """
        matches = _matching(data.items, self)
        return ColumnRule(matches if self.kind == "allow" else ~matches)


class ColumnRule:
    """Allows a fixed set of items."""

    def __init__(self, allowed: NDArray[np.bool_]) -> None:
        """Take the items (num_items,) that may be shown."""
        self.allowed = allowed

    def narrow(self, queries: Queries, candidates: Candidates) -> Candidates:
        """Keep what is allowed by all rules so far."""
        before = candidates.allowed
        return replace(candidates, allowed=self.allowed if before is None else before & self.allowed)


def column_of(items: Entities, column: str, place: str) -> pl.Series:
    """Return an item column by name.

    Raises:
        ConfigError: There is no such column.
    """
    if column not in items.frame.columns:
        raise ConfigError(
            f"the items have no column {column!r}", place=place, remedy=f"Choose from {sorted(items.frame.columns)}."
        )
    return items.frame[column]


def _matching(items: Entities, rule: ColumnRuleConfig) -> NDArray[np.bool_]:
    """Return (num_items,) which items meet all conditions; a missing value meets none."""
    place = f"strategies.{rule.kind}"
    column = column_of(items, rule.column, place)
    conditions: list[pl.Series] = []
    if rule.values is not None:
        wanted = list(rule.values)
        if isinstance(column.dtype, pl.List):
            conditions.append(column.list.eval(pl.element().is_in(wanted)).list.any())
        else:
            conditions.append(column.cast(pl.String).is_in(wanted))
    if rule.at_least is not None or rule.at_most is not None:
        if not column.dtype.is_numeric():
            raise ConfigError(
                f"the column {rule.column!r} holds {column.dtype}, not numbers",
                place=place,
                remedy="Use `values`, or a number column.",
            )
        conditions.append(column >= (-np.inf if rule.at_least is None else rule.at_least))
        conditions.append(column <= (np.inf if rule.at_most is None else rule.at_most))
    if not conditions:
        raise ConfigError(
            f"the rule on {rule.column!r} has no condition",
            place=place,
            remedy="Give `values`, `at_least` or `at_most`.",
        )
    matches = np.ones(len(items), bool)
    for condition in conditions:
        matches &= condition.fill_null(False).to_numpy()
    return matches
