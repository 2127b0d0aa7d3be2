"""Cells in whatever form a file has them, as ids, numbers, labels and truth values."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

_MISSING: Final = r"(?i)^\s*(nan|nat|null|none|<na>|\\n)?\s*$"
"""What programs write for nothing; the last is the database's backslash-N."""
_TRUTH: Final = {"1": True, "true": True, "t": True, "yes": True, "0": False, "false": False, "f": False, "no": False}
_TRIED: Final = 1000
_LEADING_ZERO: Final = r"^[+-]?0\d"


class Converted(NamedTuple):
    """A column in the type that is wanted."""

    values: pl.Series
    """Null where there is nothing, and where `wrong`."""
    wrong: pl.Series
    """Boolean; true where a cell cannot stay as it is."""
    wanted: str
    """What the cell should have held, in words."""


def is_missing(text: pl.Series) -> pl.Series:
    """Return where a text (String) is null, blank, or a program's word for nothing."""
    return text.str.contains(_MISSING).fill_null(value=True)


def without(column: pl.Series, mask: pl.Series) -> pl.Series:
    """Return the column with nulls where the mask is true."""
    frame = pl.DataFrame({"column": column, "mask": mask.fill_null(value=False)})
    return frame.select(pl.when("mask").then(None).otherwise("column").alias(column.name)).to_series()


def ids(column: pl.Series) -> Converted:
    """Read ids. Blanks around them go; whole floats lose their ".0", which only a missing value gave them."""
    if column.dtype.is_float():
        whole = column.is_finite() & (column.round() == column) & (column.abs() < 2**53)
        column = without(column, column.is_nan())
        if whole.sum() == column.count():
            column = column.cast(pl.Int64, strict=False)
    text = as_text(column).str.strip_chars()
    missing = is_missing(text)
    return Converted(without(text, missing) if missing.any() else text, missing, "an id")


def optional_ids(column: pl.Series) -> Converted:
    """Read ids of which some may be missing."""
    found = ids(column)
    return found._replace(wrong=pl.repeat(value=False, n=len(column), eager=True))


def labels(column: pl.Series) -> Converted:
    """Read short names, null where there is none."""
    return optional_ids(column)._replace(wanted="a label")


def numbers(column: pl.Series) -> Converted:
    """Read numbers (Float64); null where there is none."""
    given, values = column, as_text(column) if column.dtype.is_nested() else column
    values = values.cast(pl.Float64, strict=False)
    if values.null_count() > column.null_count():
        given = as_text(column).str.strip_chars()
        given = without(given, is_missing(given))
        values = given.cast(pl.Float64, strict=False)
    infinite = ~values.is_finite()
    wrong = (given.is_not_null() & values.is_null()) | values.is_infinite().fill_null(value=False)
    return Converted(without(values, infinite) if infinite.any() else values, wrong, "a number")


def whole_numbers(column: pl.Series) -> Converted:
    """Read whole numbers (Int64); null where there is none."""
    found = numbers(column)
    broken = (found.values != found.values.round()).fill_null(value=False)
    return Converted(without(found.values, broken).cast(pl.Int64), found.wrong | broken, "a whole number")


def truth(column: pl.Series) -> Converted:
    """Read truth values (Boolean), all of which must be there."""
    if column.dtype == pl.Boolean:
        return Converted(column, column.is_null(), "0 or 1")
    text = as_text(column).str.strip_chars().str.to_lowercase().str.strip_suffix(".0")
    values = text.replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
    return Converted(values, values.is_null(), "0 or 1")


def typed(text: pl.Series) -> pl.Series:
    """Return a String column as Int64 or Float64 where all its cells are numbers.

    Digits after a zero ("007") are no number but a code.
    """
    if numbers(text.head(_TRIED)).wrong.any():  # Long texts would take long to try.
        return text
    found = numbers(text)
    if found.wrong.any() or found.values.null_count() == len(text) or text.str.contains(_LEADING_ZERO).any():
        return text
    whole = text.str.strip_chars().cast(pl.Int64, strict=False)
    return whole if whole.null_count() == found.values.null_count() else found.values


def as_text(column: pl.Series) -> pl.Series:
    """Return any column as String; lists and records as JSON."""
    if column.dtype == pl.String:
        return column
    if isinstance(column.dtype, pl.List | pl.Array | pl.Struct):
        record = column.to_frame("cell").select(pl.struct("cell").struct.json_encode().alias(column.name))[column.name]
        return without(record.str.strip_prefix('{"cell":').str.strip_suffix("}"), column.is_null())
    return column.cast(pl.String)
