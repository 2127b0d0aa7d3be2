"""What the files said, under Genre's own column names: the step between files and a `Dataset`."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a data set, with the names of `genre.data.columns` and ids as strings.

    Columns without a meaning to Genre keep their names and stand behind the others.
    """

    interactions: pl.DataFrame
    """`user_id` and `item_id` (String, never null); `timestamp` (Int64 seconds, may be null) and, where the file has
    them, `position` (Int64), `event` (String) and `value` (Float64). In the order of the file."""
    items: pl.DataFrame | None = None
    """`item_id` (String, never null) first."""
    users: pl.DataFrame | None = None
    """`user_id` (String, never null) first."""
    impressions: pl.DataFrame | None = None
    """`list_id`, `user_id` (null for somebody unknown), `item_id` (String), `timestamp` (Int64 seconds, may be null),
    `position` (Int64, from 0), `clicked` (Boolean), `propensity` (Float64, may be null)."""
    notices: tuple[str, ...] = ()
    """What was changed or looked odd while reading, for people."""
