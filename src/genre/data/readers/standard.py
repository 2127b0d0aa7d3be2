"""From a file's columns to Genre's: find out which is which, convert the cells, set wrong rows apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.data import cells
from genre.data.aliases import TableName, recognise_columns
from genre.data.cells import Converted
from genre.data.columns import (
    CLICKED,
    EVENT,
    ITEM_ID,
    LIST_ID,
    POSITION,
    PROPENSITY,
    TIMESTAMP,
    USER_ID,
    VALUE,
)
from genre.data.findings import Finding, FindingError, failure
from genre.data.readers.file_table import FileTable, LineNumbers
from genre.data.readers.times import Times, to_seconds

_IDS: Final[Mapping[TableName, tuple[str, ...]]] = {
    "interactions": (USER_ID, ITEM_ID),
    "items": (ITEM_ID,),
    "users": (USER_ID,),
    "impressions": (LIST_ID, ITEM_ID),
}
"""Columns in which every row needs an id."""
_CONVERT: Final[Mapping[str, Callable[[pl.Series], Converted]]] = {
    POSITION: cells.whole_numbers,
    EVENT: cells.labels,
    VALUE: cells.numbers,
    CLICKED: cells.truth,
    PROPENSITY: cells.numbers,
}
_ID_REMEDY: Final = "Fill it in, or take the row out."
_CELL_REMEDY: Final = "Correct it, or leave the cell empty where nothing is known."
_TIME_REMEDY: Final = "Write seconds since 1970 or ISO 8601, as in 2024-05-31T18:30:00."


def standardise(raw: FileTable, table: TableName, mapping: Mapping[str, str]) -> FileTable:
    """Return the table under Genre's names without its wrong rows, which are among its findings.

    Raises:
        DataError: A needed column is missing, or two columns could be meant.
    """
    if raw.frame.is_empty() and raw.findings:
        raise FindingError(raw.findings[0])
    _require_header(raw, mapping)
    names = recognise_columns(raw.frame.columns, table, mapping, raw.path)
    findings = list(raw.findings)
    blank = _blank_rows(raw, names[_IDS[table][0]])
    left_out = blank
    columns: dict[str, pl.Series] = {}
    for name, column in names.items():
        converted, remedy, noticed = _convert(raw, table, name, column)
        columns[name] = converted.values
        findings.extend(noticed)
        wrong = converted.wrong & ~blank
        if wrong.any():
            findings.append(raw.finding("error", wrong, column, f"is not {converted.wanted}", remedy))
            left_out = left_out | wrong
    frame, numbers = pl.DataFrame({**columns, **_others(raw, names)}), raw.line_numbers
    if left_out.any():
        frame, numbers = frame.filter(~left_out), _of_rows(numbers, (~left_out).arg_true().to_numpy())
    if table == "impressions":
        frame = _complete(frame)
    return replace(raw, frame=frame, line_numbers=numbers, names=names, findings=tuple(findings))


def _of_rows(numbers: LineNumbers | None, kept: NDArray[np.integer]) -> LineNumbers | None:
    """Return the numbering of the rows that were kept."""
    return None if numbers is None else lambda rows: numbers(kept[rows].astype(np.int64))


def _require_header(raw: FileTable, mapping: Mapping[str, str]) -> None:
    names = raw.frame.columns
    numbers = [name for name in names if name.lstrip("-").replace(".", "", 1).isdigit()]
    if 2 * len(numbers) >= len(names) > 0 and not mapping:
        raise failure(
            raw.path,
            f"the first line holds {', '.join(map(repr, names))}, which look like data, not like column names",
            "Put a first line with names: user_id, item_id, timestamp, ...",
            line=1,
            value=numbers[0],
        )


def _blank_rows(raw: FileTable, id_column: str) -> pl.Series:
    """Return which rows stand for blank lines of a text table: nothing in them at all."""
    if raw.is_typed or raw.frame[id_column].null_count() == 0:
        return pl.repeat(value=False, n=len(raw.frame), eager=True)
    return raw.frame.select(pl.all_horizontal(pl.all().is_null())).to_series()


def _convert(raw: FileTable, table: TableName, name: str, column: str) -> tuple[Converted, str, list[Finding]]:
    """Return the converted cells, what to do about wrong ones, and what was noticed."""
    found = raw.frame[column]
    if name in _IDS[table]:
        return cells.ids(found), _ID_REMEDY, []
    if name == USER_ID:
        return cells.optional_ids(found), _ID_REMEDY, []
    if name == TIMESTAMP and table in ("interactions", "impressions"):
        times = to_seconds(found)
        notice = [] if times.unit == "seconds" else [_other_unit(raw, column, times)]
        return Converted(times.seconds, times.unreadable, "a time"), _TIME_REMEDY, notice
    if name in _CONVERT and table in ("interactions", "impressions"):
        return _CONVERT[name](found), _CELL_REMEDY, []
    return Converted(_typed(raw, column), pl.repeat(value=False, n=len(found), eager=True), ""), "", []


def _typed(raw: FileTable, column: str) -> pl.Series:
    """Return a column in the type that its cells have."""
    return raw.frame[column] if raw.is_typed else cells.typed(raw.frame[column])


def _other_unit(raw: FileTable, column: str, times: Times) -> Finding:
    there = times.seconds.is_not_null()
    problem = f"and the column's other times are in {times.unit}; they were turned into seconds"
    return raw.finding("notice", there & (there.cum_sum() == 1), column, problem, "Nothing needs to be done.")


def _others(raw: FileTable, found: Mapping[str, str]) -> dict[str, pl.Series]:
    """Return the columns without a meaning; one whose name is taken by another column gets an ending."""
    others: dict[str, pl.Series] = {}
    for column in raw.frame.columns:
        if column not in found.values():
            name = f"{column}_in_file" if column in found else column
            others[name] = _typed(raw, column)
    return others


def _complete(impressions: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that the file does not have; the order in the file gives the places in a list."""
    place = pl.int_range(pl.len(), dtype=pl.Int64).over(LIST_ID)
    defaults = {
        USER_ID: pl.lit(None, pl.String),
        TIMESTAMP: pl.lit(None, pl.Int64),
        POSITION: place,
        PROPENSITY: pl.lit(None, pl.Float64),
    }
    missing = [default.alias(name) for name, default in defaults.items() if name not in impressions.columns]
    first = [LIST_ID, USER_ID, ITEM_ID, TIMESTAMP, POSITION, CLICKED, PROPENSITY]
    return impressions.with_columns(missing).select(*first, pl.exclude(first))
