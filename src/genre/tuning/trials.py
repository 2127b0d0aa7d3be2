"""What is known of the trials of a search, as plain values; and what later parts of Genre may demand of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from genre.recommenders.base import Recommender


@dataclass(frozen=True)
class Outcome:
    """What one trial came to, as constraints see it."""

    model: str
    """Name of the model that the value is of."""
    value: float
    models: Mapping[str, Recommender]
    """Every fitted model that the trial needed, by name; each has its settings as `config`."""
    fit_seconds: float
    """What fitting `model` took, without its members."""
    fit_memory: int
    """Bytes at the peak, above what the process held before."""


class Constraint(Protocol):
    """Something that a trial must keep to, such as a budget for what training may cost a model's writing."""

    @property
    def name(self) -> str:
        """Return what the account calls it."""

    def excess(self, outcome: Outcome) -> float:
        """Return by how much the trial is over; 0 or less where it keeps to it."""


class Hopeless(Exception):  # noqa: N818
    """Ends a training that is worse than most were by then; no error, and never seen outside of a search."""


@dataclass(frozen=True)
class Found:
    """One trial that is over. Without a value, it gave up, and `note` says why."""

    number: int
    settings: dict[str, Any]
    """By path."""
    value: float | None
    model: str | None
    """The model that the value is of."""
    seconds: float
    note: str = ""
    feasible: bool = True
    """Whether it keeps to all constraints."""


def best_of(found: Sequence[Found]) -> Found | None:
    """Return the trial with the highest value among those that keep to all constraints, the first of equals."""
    able = [one for one in found if one.value is not None and one.feasible]
    return max(able, key=lambda one: (one.value, -one.number), default=None)


def table_of(found: Sequence[Found], objective: str) -> pl.DataFrame:
    """Return a row for each trial, best first: those that keep to the constraints, the others, those without value."""
    ranked = sorted(found, key=lambda one: (one.value is None, not one.feasible, -(one.value or 0), one.number))
    paths = list(ranked[0].settings) if ranked else []
    columns: dict[str, list[Any]] = {
        "trial": [one.number for one in ranked],
        objective: [one.value for one in ranked],
        "model": [one.model for one in ranked],
        **{path: [one.settings[path] for one in ranked] for path in paths},
        "seconds": [one.seconds for one in ranked],
        "note": [one.note for one in ranked],
    }
    return pl.DataFrame({name: _column(values) for name, values in columns.items()})


def _column(values: list[Any]) -> pl.Series:
    """Return a column, of text where choices are of several kinds."""
    kinds = {type(value) for value in values if value is not None}
    mixed = len(kinds - {int, float}) + bool(kinds & {int, float}) > 1 or bool(kinds & {list, tuple, dict})
    return pl.Series([None if value is None else str(value) for value in values] if mixed else values, strict=False)
