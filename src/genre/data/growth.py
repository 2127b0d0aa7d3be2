"""A catalogue that changes: new items stand behind the old ones, and old ones keep their rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from genre.core.errors import DataError
from genre.data.columns import ITEM_ID
from genre.data.dataset import Entities, Vocabulary

_PLACE: Final = "items"
_LONGEST_TOLD: Final = 100
"""Characters of a wrong value that an error repeats."""


def extended(items: Entities, new: pl.DataFrame | Sequence[Mapping[str, Any]]) -> Entities:
    """Return the catalogue with new items behind the old ones.

    Args:
        items: The catalogue.
        new: A row for each new item, with `item_id` and any columns of the catalogue; what is not given is missing.
            Labels may stand in one text with `|` between them.

    Raises:
        DataError: An id is missing, stands twice or is in the catalogue already, a column is not one of the
            catalogue's, or a value is not of its column's type.
    """
    rows = new.to_dicts() if isinstance(new, pl.DataFrame) else new
    behind = _frame(items, rows, known=set(items.vocabulary.ids))
    longer = pl.concat([items.frame, behind])
    return Entities(Vocabulary(longer[ITEM_ID]), longer, items.roles)


def changed(items: Entities, new: Sequence[Mapping[str, Any]]) -> Entities:
    """Return the catalogue with other columns of items that it holds; what is not given is missing.

    Raises:
        DataError: An id is missing, stands twice or is not in the catalogue, a column is not one of the catalogue's, or
            a value is not of its column's type.
    """
    frame = _frame(items, new)
    rows = items.vocabulary.rows(frame[ITEM_ID])
    if (rows < 0).any():
        name = frame[ITEM_ID][int(np.argmax(rows < 0))]
        raise DataError(f"{name!r} is not in the catalogue", place=_PLACE, remedy="Add it first.")
    taken = np.arange(len(items))
    taken[rows] = len(items) + np.arange(len(rows))
    return Entities(items.vocabulary, pl.concat([items.frame, frame])[taken], items.roles)


def _frame(items: Entities, rows: Sequence[Mapping[str, Any]], known: set[str] | None = None) -> pl.DataFrame:
    """Return rows as the catalogue would hold them; an id that is `known`, or comes again, is an error."""
    schema, known = items.frame.schema, set() if known is None else known
    for number, row in enumerate(rows, 1):
        place = f"{_PLACE}, row {number}"
        for column in row:
            if column not in schema:
                raise DataError(f"there is no column {column!r}", place=place, remedy=f"Choose from {list(schema)}.")
        name = row.get(ITEM_ID)
        if name is None or not str(name):
            raise DataError(f"`{ITEM_ID}` is {name!r}", place=place, remedy="Give every item an id of its own.")
        if str(name) in known:
            raise DataError(
                f"{str(name)!r} is in the catalogue already", place=place, remedy="Give every item an id of its own."
            )
        known.add(str(name))
    return pl.DataFrame([_column(column, dtype, [row.get(column) for row in rows]) for column, dtype in schema.items()])


def _column(name: str, dtype: pl.DataType, values: list[Any]) -> pl.Series:
    typed = []
    for number, value in enumerate(values, 1):
        try:
            typed.append(_cell(value, dtype))
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{_short(value)} is no {dtype}",
                place=f"{_PLACE}, row {number}, column {name!r}",
                remedy=f"Send {_wanted(dtype)}, or leave it out.",
            ) from error
    return pl.concat([pl.Series([], dtype=dtype), *typed]).alias(name)


def _cell(value: Any, dtype: pl.DataType) -> pl.Series:
    """Return a value as a column of its own.

    Raises:
        TypeError: It is of another type; the library would take true for 1, and the names in an object for a list.
        OverflowError: It is a number that the column cannot hold.
        ValueError, PolarsError: It cannot be read.
    """
    if isinstance(dtype, pl.List) and isinstance(value, str):
        value = value.split("|")
    parts = value if isinstance(value, list | tuple) else [value]
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    if inner not in (pl.Boolean, pl.String) and any(isinstance(part, bool) for part in parts):
        raise TypeError(value)
    if isinstance(value, Mapping) and not isinstance(dtype, pl.Struct):
        raise TypeError(value)
    if value is None or not (dtype == pl.String or dtype.is_numeric()):
        return pl.Series([value], dtype=dtype)
    if dtype == pl.String:
        if isinstance(value, list | tuple):
            raise TypeError(value)
        return pl.Series([str(value)])
    # A number may come as text, as from a CSV file.
    cell = pl.Series([value]).cast(dtype)
    kept = cell[0]
    is_missing = isinstance(value, float) and math.isnan(value)
    if not (math.isfinite(kept) or is_missing) or (dtype.is_integer() and isinstance(value, float) and kept != value):
        raise OverflowError(value)
    return cell


def _wanted(dtype: pl.DataType) -> str:
    """Return in words what a column takes."""
    if isinstance(dtype, pl.List):
        return "a list of texts, or one text with `|` between them" if dtype.inner == pl.String else f"a {dtype}"
    if dtype.is_numeric():
        return "a whole number" if dtype.is_integer() else "a number"
    return "a text" if dtype == pl.String else f"a {dtype}"


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= _LONGEST_TOLD else f"{told[:_LONGEST_TOLD]}..."
