"""From tables to the dense rows that models learn from.

Shapes: U users, I items, E events, S shown items.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER
from genre.core.ragged import offsets_of
from genre.data.columns import (
    CLICKED,
    ITEM_ID,
    LIST_ID,
    POSITION,
    PROPENSITY,
    TIMESTAMP,
    USER_ID,
)
from genre.data.dataset import Dataset, Entities, Impressions, Vocabulary
from genre.data.feedback import FeedbackConfig, weights
from genre.data.roles import ColumnRoles, deduce_roles, shape_columns
from genre.data.tables import Tables

LAST = np.iinfo(np.int64).max
"""Stands for a position that is not known: behind all others."""


def build_dataset(
    tables: Tables,
    feedback: FeedbackConfig | None = None,
    item_roles: ColumnRoles | None = None,
    user_roles: ColumnRoles | None = None,
) -> Dataset:
    """Number users and items, and sort each user's events.

    Items: the catalogue in its order, then those that only the log or the impressions know, with empty columns.
    Users: as they first appear in the log, then those that only the user table knows. Of an id that is in a table
    twice, the first row counts. Events are in the order of `position` where the log has it, otherwise of time; equal
    times stay in the order of the file. An event without a time takes that of the user's event before it, or else
    after it; without any time in the log all are 0.

    Args:
        tables: What was read, and perhaps cleaned.
        feedback: How strong a liking each event stands for; by default each is a like of weight 1.
        item_roles: What the items' columns are good for; None deduces it.
        user_roles: The same for users.

    Raises:
        ConfigError: `feedback` or the roles do not fit the tables.
    """
    log, shown = tables.interactions, tables.impressions
    item_ids = _distinct(ITEM_ID, tables.items, log, shown)
    user_ids = _distinct(USER_ID, log, tables.users)
    weight = weights(log, feedback or FeedbackConfig()).to_numpy()
    users = rows_of(log[USER_ID], user_ids)
    items = rows_of(log[ITEM_ID], item_ids)
    order, times = _in_order(users, log)
    return Dataset(
        Interactions(offsets_of(np.bincount(users, minlength=len(user_ids))), items[order], times, weight[order]),
        _entities(ITEM_ID, item_ids, tables.items, item_roles, "data.item_columns"),
        _entities(USER_ID, user_ids, tables.users, user_roles, "data.user_columns"),
        None if shown is None else _impressions(shown, user_ids, item_ids),
    )


def rows_of(ids: pl.Series, known: pl.Series) -> NDArray[np.int32]:
    """Return the place of each id (String) among the `known` ones, -1 where it is not among them."""
    places = ids.cast(pl.Enum(known), strict=False).to_physical()  # Faster than a join, which would also shuffle.
    return places.cast(pl.Int32).fill_null(-1).to_numpy()


def _distinct(name: str, *tables: pl.DataFrame | None) -> pl.Series:
    """Return the ids of all tables, each once, in the order in which they first appear."""
    parts = [table[name].drop_nulls().unique(maintain_order=True) for table in tables if table is not None]
    return pl.concat(parts).unique(maintain_order=True)


def _in_order(users: NDArray[np.int32], log: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the events (E,) of user after user, oldest first, and their times (E,) in this order."""
    times = log[TIMESTAMP] if TIMESTAMP in log.columns else None
    if POSITION in log.columns:
        order = _sorted_by(users, log[POSITION].fill_null(LAST).to_numpy())
        return order, _filled(times, users, order)
    if times is not None and times.null_count() == 0:
        known = times.to_numpy()
        order = _sorted_by(users, known)
        return order, known[order]
    order = np.argsort(users, kind="stable")  # As they stand in the file.
    known = _filled(times, users, order)
    again = _sorted_by(users[order], known)
    return order[again], known[again]


def _sorted_by(users: NDArray[np.int32], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the events (E,) ordered by user and then by key, equal ones as they stand."""
    if len(users) == 0:
        return np.empty(0, np.int64)
    low, high, top = int(keys.min()), int(keys.max()), int(users.max())
    if (top + 1) * (high - low + 1) > LAST:  # The two do not fit into one number: take ranks for the keys.
        keys = np.unique(keys, return_inverse=True)[1]
        low, high = 0, len(keys)
    both = users.astype(np.int64) * (high - low + 1) + (keys - low)
    order = pl.DataFrame({"both": both}).select(pl.arg_sort_by("both", maintain_order=True))
    return order.to_series().to_numpy().astype(np.int64)


def _filled(times: pl.Series | None, users: NDArray[np.int32], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the times in this order, a missing one taken from the user's neighbouring event."""
    if times is None:
        return np.zeros(len(users), np.int64)
    if times.null_count() == 0:
        return times.to_numpy()[order]
    time = pl.col("time")
    near = pl.coalesce(time.forward_fill().over("user"), time.backward_fill().over("user"), 0)
    return pl.DataFrame({"user": users[order], "time": times[order]}).select(near)["time"].to_numpy()


def _entities(name: str, ids: pl.Series, table: pl.DataFrame | None, roles: ColumnRoles | None, place: str) -> Entities:
    """Return the table in the order of the ids, with empty rows for ids that it does not have."""
    known = (table if table is not None else ids.to_frame()).unique(name, keep="first", maintain_order=True)
    chosen = deduce_roles(known, name) if roles is None else roles
    shaped = shape_columns(known, chosen, place)
    frame = ids.to_frame().join(shaped, on=name, how="left", maintain_order="left")
    return Entities(Vocabulary(ids), frame, chosen.as_roles())


def _impressions(shown: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> Impressions:
    users = rows_of(shown[USER_ID], user_ids)
    return Impressions(
        list_rows=rows_of(shown[LIST_ID], shown[LIST_ID].unique(maintain_order=True)),
        user_rows=np.where(users < 0, np.int32(UNKNOWN_USER), users),
        item_rows=rows_of(shown[ITEM_ID], item_ids),
        timestamps=shown[TIMESTAMP].fill_null(0).to_numpy(),
        positions=shown[POSITION].fill_null(0).cast(pl.Int32).to_numpy(),
        clicked=shown[CLICKED].to_numpy(),
        propensities=shown[PROPENSITY].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
    )
