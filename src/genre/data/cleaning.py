"""Cleaning: take out what cannot be learned from, by named rules, and tell what each of them took.

Only what needs no statistics happens here. A mean or a median is fitted on the training part, after the split:
see `genre.data.transforms`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from genre.core.config import Config
from genre.core.errors import ConfigError, DataError
from genre.data._rows import core_events, first_of_each, oldest_of_each
from genre.data.columns import EVENT, ITEM_ID, POSITION, TIMESTAMP, USER_ID
from genre.data.tables import Tables

MISSING = "(missing)"
"""The category of rows that have none."""
DAY = 86_400
_TABLES = ("interactions", "items", "users", "impressions")
_ID_COLUMNS = {"items": ITEM_ID, "users": USER_ID}


class TimeLimits(Config):
    """Timestamps outside these limits are impossible."""

    earliest: date = date(1990, 1, 1)
    """First day, in UTC, that an event can have. 1990, the default, is older than any log on the web, and catches
    the zeros, negative numbers and clock resets that end up near 1970."""
    latest: date | None = None
    """Last day that an event can have. None, the default, is tomorrow: no event can come from the future, but a
    clock may be in another time zone."""


class BotLimits(Config):
    """A user with more events than a person can make is a program; all that it did goes."""

    events_per_day: int | None = Field(default=None, ge=1)
    """Most events on one day (UTC). Events without a time are not counted."""
    events: int | None = Field(default=None, ge=1)
    """Most events in all."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> BotLimits:
        if self.events_per_day is None and self.events is None:
            raise ValueError("`bots` needs a limit: set `events_per_day`, `events` or both, or leave `bots` out")
        return self


class CoreLimits(Config):
    """Users and items with fewer events go, again and again, until all that is left have enough (the k-core)."""

    user: int = Field(default=5, ge=1)
    """Least events of a user. 5 is what the published benchmarks use."""
    item: int = Field(default=5, ge=1)
    """Least events of an item."""
    prune: bool = False
    """Whether items and users without any event left also leave their tables. By default they stay, to be found by
    what they say of themselves; published benchmarks remove them."""


class FillValue(Config):
    """A fixed value for empty cells."""

    value: str | float | bool
    """What to put there, of the column's type."""


class CleaningConfig(Config):
    """The rules, in the order in which they are applied."""

    times: TimeLimits | None = TimeLimits()
    """Drops interactions and impressions with an impossible time. On by default, since one event of the year 2100
    would move a split by time. Events without a time stay."""
    missing: dict[str, Literal["drop", "category"] | FillValue] = Field(default_factory=dict)
    """What to do about empty cells, by table and column, as in `items.brand: category`. `drop` takes the row out, and
    with an item or a user all its events; `category` makes "(missing)" a label of its own; `{value: 0}` fills. None by
    default: most models can live with empty cells. Means and medians are set under `columns`."""
    duplicates: Literal["exact", "repeats", "keep"] = "exact"
    """`exact`, the default, takes events that agree in user, item, time and kind of event for one event written twice
    (events without a time must also agree in their position); `repeats` keeps a user's oldest event with each item,
    for data where a second one means nothing, as a second rating; `keep` keeps all. Unless it is `keep`, only the
    first row of an item or user id stays in its table."""
    bots: BotLimits | None = None
    """Off by default: what is too much differs from clicks to purchases."""
    k_core: CoreLimits | None = None
    """Off by default: it hides new users and new items, which a service must answer too. Set it to `{}` for the
    benchmarks' 5-core."""

    @field_validator("missing")
    @classmethod
    def _names_columns(cls, missing: dict[str, Any]) -> dict[str, Any]:
        for name in missing:
            table, _, column = name.partition(".")
            if table not in _TABLES or not column:
                raise ValueError(f"{name!r} is not of the form table.column, with a table of {', '.join(_TABLES)}")
        return missing


@dataclass(frozen=True)
class CleaningStep:
    """What one rule did to one table."""

    rule: str
    table: str
    looked_at: str
    """What it looked for, in words."""
    rows_before: int
    rows_dropped: int = 0
    cells_filled: int = 0


@dataclass(frozen=True)
class CleaningReport:
    """Every rule that was on, in order, those that found nothing included. `str()` draws a table."""

    steps: tuple[CleaningStep, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return {"steps": [asdict(step) for step in self.steps]}

    def __str__(self) -> str:
        rows = [("rule", "table", "looked at", "rows before", "dropped", "filled")]
        rows += [
            (s.rule, s.table, s.looked_at, f"{s.rows_before:,}", f"{s.rows_dropped:,}", f"{s.cells_filled:,}")
            for s in self.steps
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = (
            "  ".join(
                cell.ljust(width) if column < 3 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)


Outcome = tuple[Tables, list[CleaningStep]]


def clean(tables: Tables, config: CleaningConfig) -> tuple[Tables, CleaningReport]:
    """Apply the rules one after the other.

    Takes a few seconds and a few hundred bytes an event for 10 million events.

    Raises:
        ConfigError: `missing` names a table or column that is not there, or a value of another type.
        DataError: A rule left no event.
    """
    rules: tuple[Callable[[Tables, CleaningConfig], Outcome], ...] = (
        _drop_impossible_times,
        _treat_missing,
        _drop_duplicates,
        _drop_bots,
        _keep_core,
    )
    steps: list[CleaningStep] = []
    for rule in rules:
        tables, done = rule(tables, config)
        steps += done
        if tables.interactions.is_empty():
            last = f" {done[0].looked_at} ({done[0].rule})" if done else ""
            raise DataError(
                f"no event is left after looking for{last}" if last else "there is no event",
                place="clean",
                remedy="Loosen or turn off this rule, or check that the columns are mapped and in the right unit.",
            )
    return tables, CleaningReport(tuple(steps))


def _keep(tables: Tables, table: str, keep: pl.Expr | NDArray[np.bool_], rule: str, looked_at: str) -> Outcome:
    """Keep the rows of one table for which `keep` is true."""
    frame: pl.DataFrame = getattr(tables, table)
    kept = frame.filter(keep)
    step = CleaningStep(rule, table, looked_at, len(frame), rows_dropped=len(frame) - len(kept))
    return _with(tables, table, kept), [step]


def _with(tables: Tables, table: str, frame: pl.DataFrame) -> Tables:
    changed: dict[str, Any] = {table: frame}
    return replace(tables, **changed)


def _keep_everywhere(tables: Tables, column: str, keep: pl.Expr, rule: str, looked_at: str) -> Outcome:
    """Keep the rows for which `keep` is true in every table that has this column."""
    steps: list[CleaningStep] = []
    for table in _TABLES:
        frame: pl.DataFrame | None = getattr(tables, table)
        if frame is not None and column in frame.columns:
            tables, done = _keep(tables, table, keep, rule, looked_at)
            steps += done
    return tables, steps


def _without(tables: Tables, column: str, gone: pl.Series, rule: str, looked_at: str) -> Outcome:
    """Drop every row that names one of the users or items `gone`."""
    named = pl.col(column).is_in(gone.implode()).fill_null(value=False)
    return _keep_everywhere(tables, column, ~named, rule, looked_at)


def _keep_entities(tables: Tables, keep: Callable[[str], pl.Expr], rule: str, looked_at: str) -> Outcome:
    """Keep the items and users for which `keep`, given the name of the id column, is true."""
    steps: list[CleaningStep] = []
    for table, column in _ID_COLUMNS.items():
        if getattr(tables, table) is not None:
            tables, done = _keep(tables, table, keep(column), rule, looked_at)
            steps += done
    return tables, steps


def _drop_impossible_times(tables: Tables, config: CleaningConfig) -> Outcome:
    if config.times is None:
        return tables, []
    earliest = config.times.earliest
    latest = config.times.latest or datetime.now(UTC).date() + timedelta(days=1)
    seconds = pl.col(TIMESTAMP)
    possible = (seconds >= _midnight(earliest)) & (seconds < _midnight(latest + timedelta(days=1)))
    looked_at = f"time before {earliest} or after {latest}"
    return _keep_everywhere(tables, TIMESTAMP, possible | seconds.is_null(), "times", looked_at)


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def _treat_missing(tables: Tables, config: CleaningConfig) -> Outcome:
    steps: list[CleaningStep] = []
    for name, treatment in config.missing.items():
        table, _, column = name.partition(".")
        frame: pl.DataFrame | None = getattr(tables, table)
        if frame is None or column not in frame.columns:
            there = "no such table" if frame is None else f"one of {', '.join(frame.columns)}"
            raise ConfigError(f"{name!r} is not in the data", place="clean.missing", remedy=f"There is {there}.")
        if treatment == "drop":
            tables, done = _drop_empty(tables, table, frame, column)
        else:
            value = MISSING if treatment == "category" else treatment.value
            tables, done = _fill_empty(tables, table, frame, column, value)
        steps += done
    return tables, steps


def _is_empty(dtype: pl.DataType | type[pl.DataType], column: str) -> pl.Expr:
    """Return what is true where there is nothing: null, NaN, white space, an empty list."""
    cell = pl.col(column)
    if dtype == pl.String:
        return cell.is_null() | (cell.str.strip_chars() == "")
    if dtype == pl.List:
        return cell.is_null() | (cell.list.len() == 0)
    return cell.is_null() | cell.is_nan() if dtype in (pl.Float32, pl.Float64) else cell.is_null()


def _drop_empty(tables: Tables, table: str, frame: pl.DataFrame, column: str) -> Outcome:
    empty = _is_empty(frame.schema[column], column)
    if table not in _ID_COLUMNS:
        return _keep(tables, table, ~empty, "missing", f"no {column}")
    id_column = _ID_COLUMNS[table]
    return _without(tables, id_column, frame.filter(empty)[id_column], "missing", f"{table[:-1]} has no {column}")


def _fill_empty(tables: Tables, table: str, frame: pl.DataFrame, column: str, value: str | float | bool) -> Outcome:
    dtype = frame.schema[column]
    cell = [value] if isinstance(dtype, pl.List) else value
    try:
        fill = pl.Series([cell]).cast(pl.Float64 if dtype.is_float() else dtype)
    except pl.exceptions.PolarsError:
        fill = pl.Series([None])
    if fill.to_list() != [cell]:
        raise ConfigError(
            f"{value!r} cannot stand in the column {column!r} of type {dtype}",
            place=f"clean.missing.{table}.{column}",
            remedy="Give a `value` of the column's type, or `drop`; means and medians are set under `columns`.",
        )
    empty = _is_empty(dtype, column)
    filled = frame.with_columns(pl.when(empty).then(pl.lit(fill.cast(dtype)).first()).otherwise(column).alias(column))
    count = int(frame.select(empty.sum()).item())
    step = CleaningStep("missing", table, f"no {column}, now {value}", len(frame), cells_filled=count)
    return _with(tables, table, filled), [step]


def _drop_duplicates(tables: Tables, config: CleaningConfig) -> Outcome:
    if config.duplicates == "keep":
        return tables, []
    events = tables.interactions
    if config.duplicates == "exact":
        keep, looked_at = first_of_each(_identity(events)), "same user, item, time and event before"
    else:
        order: list[str] = [column for column in (TIMESTAMP, POSITION) if column in events.columns]
        keep, looked_at = (
            oldest_of_each(events.select(USER_ID, ITEM_ID), events.select(order)),
            "same user and item earlier",
        )
    tables, steps = _keep(tables, "interactions", keep, "duplicates", looked_at)
    tables, more = _keep_entities(tables, _is_first, "duplicates", "same id before")
    return tables, steps + more


def _is_first(column: str) -> pl.Expr:
    return pl.col(column).is_first_distinct()


def _identity(events: pl.DataFrame) -> pl.DataFrame:
    """Return the columns in which two records of one event agree."""
    keys = events.select(column for column in (USER_ID, ITEM_ID, TIMESTAMP, EVENT) if column in events.columns)
    if POSITION not in events.columns:
        return keys
    position = pl.col(POSITION)
    if TIMESTAMP in events.columns:
        position = pl.when(pl.col(TIMESTAMP).is_null()).then(position)
    return keys.with_columns(events.select(position))


def _drop_bots(tables: Tables, config: CleaningConfig) -> Outcome:
    steps: list[CleaningStep] = []
    if config.bots is None:
        return tables, steps
    day = pl.col(TIMESTAMP) // DAY
    limits: list[tuple[int | None, str, list[pl.Expr]]] = [
        (config.bots.events_per_day, "events on one day", [day]),
        (config.bots.events, "events", []),
    ]
    for limit, what, per in limits:
        if limit is None:
            continue
        counts = tables.interactions.group_by(USER_ID, *per).len().drop_nulls()
        gone = counts.filter(pl.col("len") > limit)[USER_ID].unique()
        looked_at = f"more than {limit:,} {what} ({len(gone):,} users)"
        tables, done = _without(tables, USER_ID, gone, "bots", looked_at)
        steps += done
    return tables, steps


def _keep_core(tables: Tables, config: CleaningConfig) -> Outcome:
    if config.k_core is None:
        return tables, []
    least = config.k_core
    events = tables.interactions
    keep = core_events(events[USER_ID], events[ITEM_ID], least_of_user=least.user, least_of_item=least.item)
    looked_at = f"fewer than {least.user} events a user or {least.item} an item, repeatedly"
    tables, steps = _keep(tables, "interactions", keep, "k_core", looked_at)
    if not least.prune:
        return tables, steps
    left = tables.interactions
    tables, more = _keep_entities(
        tables, lambda column: pl.col(column).is_in(left[column].unique().implode()), "k_core", "no event left"
    )
    return tables, steps + more
