"""A catalogue that changes: new items stand behind the old ones, and old ones keep their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from genre.core.errors import DataError
from genre.data.columns import ITEM_ID
from genre.data.dataset import Entities, Vocabulary

_PLACE = "items"


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
    if isinstance(dtype, pl.List):
        values = [value.split("|") if isinstance(value, str) else value for value in values]
    if dtype == pl.String:
        values = [None if value is None else str(value) for value in values]
    typed = []
    for number, value in enumerate(values, 1):
        try:
            # A number may come as text, as from a CSV file.
            typed.append(pl.Series([value]).cast(dtype) if dtype.is_numeric() else pl.Series([value], dtype=dtype))
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{value!r} is no {dtype}", place=f"{_PLACE}, row {number}, column {name!r}", remedy="Correct it."
            ) from error
    return pl.concat([pl.Series([], dtype=dtype), *typed]).alias(name)
