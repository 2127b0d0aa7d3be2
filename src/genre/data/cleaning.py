"""Cleaning: take out what cannot be learned from, by named rules, and tell what each of them took.

Only what needs no statistics happens here. A mean or a median is fitted on the training part, after the split:
see `genre.data.transforms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from genre.core.config import Config
from genre.core.errors import ConfigError, DataError
from genre.data.columns import EVENT, ITEM_ID, POSITION, TIMESTAMP, USER_ID
from genre.data.tables import Tables

MISSING = "(missing)"
"""The category of rows that have none."""
DAY = 86_400
_TABLES = ("interactions", "items", "users", "impressions")


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
    """The rules, in the order in which they are applied. Rows without a user or an item id always go."""

    times: TimeLimits | None = TimeLimits()
    """Drops interactions and impressions with an impossible time. On by default, since one event of the year 2100
    would move a split by time. Events without a time stay."""
    missing: dict[str, Literal["drop", "category"] | FillValue] = {}
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
        _drop_nameless,
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
                place="cleaning",
                remedy="Loosen or turn off this rule, or check that the columns are mapped and in the right unit.",
            )
    return tables, CleaningReport(tuple(steps))


def _keep(tables: Tables, table: str, keep: pl.Expr | pl.Series, rule: str, looked_at: str) -> Outcome:
    """Keep the rows of one table for which `keep` is true."""
    frame: pl.DataFrame = getattr(tables, table)
    kept = frame.filter(keep)
    step = CleaningStep(rule, table, looked_at, len(frame), rows_dropped=len(frame) - len(kept))
    return replace(tables, **{table: kept}), [step]


def _keep_in_all(tables: Tables, column: str, gone: pl.Series, rule: str, looked_at: str) -> Outcome:
    """Drop the rows of every table that name one of the users or items `gone`."""
    steps: list[CleaningStep] = []
    named = pl.col(column).is_in(gone.implode()).fill_null(value=False)
    for table, _ in _present(tables, column):
        tables, done = _keep(tables, table, ~named, rule, looked_at)
        steps += done
    return tables, steps


def _present(tables: Tables, column: str, among: tuple[str, ...] = _TABLES) -> list[tuple[str, pl.DataFrame]]:
    """Return the tables that are there and have this column."""
    found = ((table, getattr(tables, table)) for table in among)
    return [(table, frame) for table, frame in found if frame is not None and column in frame.columns]


def _drop_nameless(tables: Tables, config: CleaningConfig) -> Outcome:
    # An impression may be of somebody unknown.
    steps: list[CleaningStep] = []
    for column, among in ((USER_ID, ("interactions", "users")), (ITEM_ID, ("interactions", "items", "impressions"))):
        for table, _ in _present(tables, column, among):
            tables, done = _keep(tables, table, ~_is_empty(pl.String, column), "ids", f"no {column}")
            steps += done
    return tables, steps


def _drop_impossible_times(tables: Tables, config: CleaningConfig) -> Outcome:
    steps: list[CleaningStep] = []
    if config.times is None:
        return tables, steps
    earliest = config.times.earliest
    latest = config.times.latest or datetime.now(UTC).date() + timedelta(days=1)
    seconds = pl.col(TIMESTAMP)
    possible = (seconds >= _midnight(earliest)) & (seconds < _midnight(latest + timedelta(days=1)))
    looked_at = f"time before {earliest} or after {latest}"
    for table, _ in _present(tables, TIMESTAMP):
        tables, done = _keep(tables, table, possible | seconds.is_null(), "times", looked_at)
        steps += done
    return tables, steps


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def _treat_missing(tables: Tables, config: CleaningConfig) -> Outcome:
    steps: list[CleaningStep] = []
    for name, treatment in config.missing.items():
        table, _, column = name.partition(".")
        frame: pl.DataFrame | None = getattr(tables, table)
        if frame is None or column not in frame.columns:
            there = "no such table" if frame is None else f"one of {', '.join(frame.columns)}"
            raise ConfigError(f"{name!r} is not in the data", place="cleaning.missing", remedy=f"There is {there}.")
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
    looked_at = f"no {column}"
    if table not in ("items", "users"):
        return _keep(tables, table, ~empty, "missing", looked_at)
    id_column = ITEM_ID if table == "items" else USER_ID
    gone = frame.filter(empty)[id_column]
    return _keep_in_all(tables, id_column, gone, "missing", f"{table[:-1]} has no {column}")


def _fill_empty(tables: Tables, table: str, frame: pl.DataFrame, column: str, value: str | float | bool) -> Outcome:
    dtype = frame.schema[column]
    cell = [value] if isinstance(dtype, pl.List) else value
    try:
        fill = pl.Series([cell]).cast(dtype)
    except pl.exceptions.PolarsError:
        fill = pl.Series([None])
    if fill.to_list() != [cell]:
        raise ConfigError(
            f"{value!r} cannot stand in the column {column!r} of type {dtype}",
            place=f"cleaning.missing.{table}.{column}",
            remedy="Give a `value` of the column's type, or `drop`; means and medians are set under `columns`.",
        )
    empty = _is_empty(dtype, column)
    filled = frame.with_columns(pl.when(empty).then(pl.lit(fill)).otherwise(pl.col(column)).alias(column))
    count = int(frame.select(empty.sum()).item())
    step = CleaningStep("missing", table, f"no {column}, now {value}", len(frame), cells_filled=count)
    return replace(tables, **{table: filled}), [step]


def _drop_duplicates(tables: Tables, config: CleaningConfig) -> Outcome:
    if config.duplicates == "keep":
        return tables, []
    events = tables.interactions
    if config.duplicates == "exact":
        keep, looked_at = _first_of_each(_identity(events)), "same user, item, time and event before"
    else:
        order = [column for column in (TIMESTAMP, POSITION) if column in events.columns]
        keep, looked_at = _oldest_of_each(events, order), "same user and item earlier"
    tables, steps = _keep(tables, "interactions", keep, "duplicates", looked_at)
    for table, column in (("items", ITEM_ID), ("users", USER_ID)):
        for _, frame in _present(tables, column, (table,)):
            first = frame[column].is_first_distinct()
            tables, done = _keep(tables, table, first, "duplicates", f"same {column} before")
            steps += done
    return tables, steps


def _identity(events: pl.DataFrame) -> pl.DataFrame:
    """Return the columns in which two records of one event agree."""
    keys = events.select(column for column in (USER_ID, ITEM_ID, TIMESTAMP, EVENT) if column in events.columns)
    if POSITION not in events.columns:
        return keys
    position = pl.col(POSITION)
    if TIMESTAMP in events.columns:
        position = pl.when(pl.col(TIMESTAMP).is_null()).then(position)
    return keys.with_columns(events.select(position))


def _first_of_each(keys: pl.DataFrame) -> pl.Series:
    """Return (E,) true for the first row of each combination.

    Only rows whose hash is shared are compared, as most are alone: about four times faster than comparing all.
    """
    shared = keys.hash_rows().is_duplicated().to_numpy()
    rows = np.flatnonzero(shared)
    compared = keys[rows].with_columns(pl.Series("__row", rows))
    first = compared.unique(subset=keys.columns, keep="first", maintain_order=True)["__row"]
    keep = ~shared
    keep[first.to_numpy()] = True
    return pl.Series(keep)


def _oldest_of_each(events: pl.DataFrame, order: list[str]) -> pl.Series:
    """Return (E,) true for the oldest event of each user and item; one without a time counts as newest."""
    sorted_rows = events.select(pl.arg_sort_by(order, nulls_last=True, maintain_order=True)) if order else None
    rows = np.arange(len(events)) if sorted_rows is None else sorted_rows.to_series().to_numpy()
    keep = np.zeros(len(events), bool)
    keep[rows[_first_of_each(events.select(USER_ID, ITEM_ID)[rows]).to_numpy()]] = True
    return pl.Series(keep)


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
        events = tables.interactions.filter(expression.is_not_null() for expression in per)
        gone = events.group_by(USER_ID, *per).len().filter(pl.col("len") > limit)[USER_ID].unique()
        looked_at = f"more than {limit:,} {what} ({len(gone):,} users)"
        tables, done = _keep_in_all(tables, USER_ID, gone, "bots", looked_at)
        steps += done
    return tables, steps


def _keep_core(tables: Tables, config: CleaningConfig) -> Outcome:
    if config.k_core is None:
        return tables, []
    least = config.k_core
    keep = pl.Series(core_events(tables.interactions[USER_ID], tables.interactions[ITEM_ID], least))
    looked_at = f"fewer than {least.user} events a user or {least.item} an item, repeatedly"
    tables, steps = _keep(tables, "interactions", keep, "k_core", looked_at)
    if least.prune:
        for table, column in (("items", ITEM_ID), ("users", USER_ID)):
            for _ in _present(tables, column, (table,)):
                left = pl.col(column).is_in(tables.interactions[column].unique().implode())
                tables, done = _keep(tables, table, left, "k_core", "no event left")
                steps += done
    return tables, steps


def core_events(users: pl.Series, items: pl.Series, least: CoreLimits) -> NDArray[np.bool_]:
    """Return (E,) which events belong to the core: the largest set in which every user and item has enough events."""
    sides = [(_codes(users), least.user), (_codes(items), least.item)]
    kept = np.arange(len(users))
    before = -1
    while len(kept) != before:
        before = len(kept)
        for codes, minimum in sides:
            present = codes[kept]
            kept = kept[np.bincount(present)[present] >= minimum]
    inside = np.zeros(len(users), bool)
    inside[kept] = True
    return inside


def _codes(ids: pl.Series) -> NDArray[np.uint32]:
    """Return (E,) a number for each id."""
    return ids.cast(pl.Categorical).to_physical().to_numpy()
