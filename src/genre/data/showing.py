"""What was shown since a data set was put together, and what came of it, put behind what was shown before.

Shapes: I items, S shown items.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.queries import UNKNOWN_USER
from genre.data.columns import EVENT, ITEM_ID, LIST_ID, POSITION, PROPENSITY, TIMESTAMP, USER_ID, VALUE
from genre.data.dataset import Dataset, Impressions
from genre.data.feedback import FeedbackConfig, weights

MOST: Final = 5_000_000
"""Shown items that are kept, the newest: 145 MB in memory and, for each version, twice on the disk. That is half a
million lists of ten; what was shown before says less and less of what an item is worth now."""
_SCHEMA: Final = pl.Schema(
    {"list": pl.UInt64(), "user": pl.Int32(), "item": pl.Int32(), "time": pl.Int64(), "position": pl.Int32(),
     "propensity": pl.Float32()}
)  # fmt: skip


def with_shown(
    data: Dataset, shown: Iterable[pl.DataFrame], events: pl.DataFrame, feedback: FeedbackConfig | None = None
) -> tuple[Dataset, dict[str, int]]:
    """Return the data set with more impressions, and how many of them there are, and how many clicks.

    A click is an event with the list and the item of an impression that says that the item was liked. If its list is
    not among the new ones, it is one on the newest impression before it of the same item to the same user. Items that
    are not in the catalogue are left out. Nothing is added to what is known of who liked what.

    Args:
        data: With the events in it.
        shown: Frames of `list_id, user_id, item_id, timestamp, position, propensity`, users called as in the data: read
            one at a time, so that a long log need not fit in memory. Of an item that was logged twice in a list, the
            first counts; a place that is not logged is that of the order of the log.
        events: What people did in the same time, as `appended` takes it, with `list_id` where it is known.
        feedback: Which events say that an item was liked, as where the data was built.
    """
    new = _read(data, shown)
    clicks = _clicks(data, events, feedback or FeedbackConfig())
    hit = clicks.select("list", "item").unique().with_columns(clicked=pl.lit(value=True))
    new = new.join(hit, on=["list", "item"], how="left", maintain_order="left")
    old = data.impressions or _none()
    late = _late(old, clicks.join(new, on=["list", "item"], how="anti"))
    added = Impressions(
        (int(old.list_rows.max(initial=-1)) + new["list"].rank("dense").cast(pl.Int64)).to_numpy().astype(np.int32),
        new["user"].to_numpy(),
        new["item"].to_numpy(),
        new["time"].to_numpy(),
        new["position"].to_numpy(),
        new["clicked"].fill_null(value=False).to_numpy(),
        new["propensity"].fill_null(float("nan")).to_numpy(),
    )
    account = {"shown": len(new), "clicked": int(added.clicked.sum()) + int(late.sum())}
    if not len(new) and not late.any():
        return data, account
    return replace(data, impressions=_newest(_behind(replace(old, clicked=old.clicked | late), added))), account


def _read(data: Dataset, shown: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return what was shown as numbers, as much of it as is kept; of strings there is never more than one part."""
    found = pl.DataFrame(schema=_SCHEMA)
    parts: list[pl.DataFrame] = []
    for part in shown:
        users = data.users.vocabulary.rows(part[USER_ID])
        rows = pl.DataFrame(
            {
                "list": part[LIST_ID].cast(pl.String).hash(),
                "user": np.where(users < 0, np.int32(UNKNOWN_USER), users),
                "item": data.items.vocabulary.rows(part[ITEM_ID]),
                "time": part[TIMESTAMP].cast(pl.Float64).fill_null(0.0).cast(pl.Int64),
                "position": part[POSITION].cast(pl.Int32),
                "propensity": part[PROPENSITY].cast(pl.Float32),
            },
            schema=_SCHEMA,
        )
        parts.append(rows.filter(pl.col("item") >= 0, part[LIST_ID].is_not_null()))
        if sum(map(len, parts)) > MOST:
            found, parts = pl.concat([found, *parts]).tail(MOST), []
    found = pl.concat([found, *parts]).tail(MOST).unique(["list", "item"], keep="first", maintain_order=True)
    place = pl.int_range(pl.len(), dtype=pl.Int32).over("list")
    return found.with_columns(pl.coalesce("position", place).alias("position"))


def _clicks(data: Dataset, events: pl.DataFrame, feedback: FeedbackConfig) -> pl.DataFrame:
    """Return `list, item, user, time` of likes that came from a list."""
    if LIST_ID not in events.columns:
        events = events.clear().with_columns(pl.lit(None, pl.String).alias(LIST_ID))
    events = events.filter(pl.col(LIST_ID).is_not_null())
    if feedback.events and EVENT in events.columns:
        events = events.filter(pl.col(EVENT).is_in(list(feedback.events)).fill_null(value=False))
    if VALUE in events.columns:
        events = events.with_columns(pl.col(VALUE).cast(pl.Float64))
    events = events.filter(weights(events, feedback) > 0)
    time = events[TIMESTAMP] if TIMESTAMP in events.columns else pl.Series([None] * len(events), dtype=pl.Float64)
    return pl.DataFrame(
        {
            "list": events[LIST_ID].cast(pl.String).hash(),
            "item": data.items.vocabulary.rows(events[ITEM_ID]),
            "user": data.users.vocabulary.rows(events[USER_ID]),
            "time": time.cast(pl.Float64).fill_null(data.end_time).cast(pl.Int64),
        }
    ).filter(pl.col("item") >= 0)


def _late(old: Impressions, clicks: pl.DataFrame) -> NDArray[np.bool_]:
    """Return which of what was shown before (S,) was clicked only now: for each click, the newest that it can mean."""
    shown = pl.DataFrame({"user": old.user_rows, "item": old.item_rows, "time": old.timestamps})
    shown = shown.with_row_index("at").filter(pl.col("user") >= 0).sort("time", maintain_order=True)
    found = (
        clicks.filter(pl.col("user") >= 0)
        .sort("time")
        .join_asof(shown, on="time", by=["user", "item"], strategy="backward", check_sortedness=False)["at"]
        .drop_nulls()
    )
    late = np.zeros(len(old.clicked), bool)
    late[found.to_numpy()] = True
    return late & ~old.clicked  # Who clicked and buys later has clicked once.


def _none() -> Impressions:
    rows, times = np.empty(0, np.int32), np.empty(0, np.int64)
    return Impressions(rows, rows, rows, times, rows, np.empty(0, bool), np.empty(0, np.float32))


def _behind(old: Impressions, new: Impressions) -> Impressions:
    both = ((getattr(old, field.name), getattr(new, field.name)) for field in fields(Impressions))
    return Impressions(*(np.concatenate(pair) for pair in both))


def _newest(shown: Impressions) -> Impressions:
    """Return what is kept; of equal times, what came last."""
    if len(shown.timestamps) <= MOST:
        return shown
    keep = np.zeros(len(shown.timestamps), bool)
    keep[np.argsort(shown.timestamps, kind="stable")[-MOST:]] = True
    return shown.where(keep)
