"""Pure functions on logs that the splits are made of.

Shapes: U users, I items, E events.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.interactions import Interactions

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Parts of a log, in the order of time."""


def in_order(
    log: Interactions, ties: Literal["file", "shuffled", "item"], ids: pl.Series, rng: np.random.Generator
) -> Interactions:
    """Return the log with each user's events of equal time ordered as `ties` says; `ids` are those of the items."""
    if ties == "file" or log.num_events < 2:
        return log
    rows = log.row_of_event
    with_previous = (rows[1:] == rows[:-1]) & (log.timestamps[1:] == log.timestamps[:-1]) & (log.timestamps[1:] != 0)
    run = np.concatenate([[0], np.cumsum(~with_previous)])
    tied = np.flatnonzero(np.append(False, with_previous) | np.append(with_previous, False))
    key = rng.random(len(tied)) if ties == "shuffled" else ids.rank("ordinal").to_numpy()[log.item_rows[tied]]
    order = np.arange(log.num_events)
    order[tied] = tied[np.lexsort((key, run[tied]))]
    return Interactions(log.offsets, log.item_rows[order], log.timestamps[order], log.weights[order])


def running_times(log: Interactions) -> NDArray[np.int64]:
    """Return (E,) times that never fall within a user: an event without a time has that of the one before it."""
    if log.num_events == 0:
        return log.timestamps
    first = int(log.timestamps.min())
    span = int(log.timestamps.max()) - first + 1
    shift = log.row_of_event * span - first
    return np.maximum.accumulate(log.timestamps + shift) - shift


def likes_of_users(log: Interactions) -> NDArray[np.int64]:
    """Return (U,) how many likes each user has."""
    return np.diff(_likes_before(log)[log.offsets])


def newest_likes(log: Interactions, validation: NDArray[np.integer], test: NDArray[np.integer]) -> NDArray[np.int8]:
    """Return the parts (E,) that hold out each user's newest likes, and the events in between.

    Args:
        log: The log.
        validation: (U,) how many likes come into the validation part.
        test: (U,) how many likes come into the test part, after those.
    """
    rows = log.row_of_event
    before = _likes_before(log)
    so_far = before[1:] - before[log.offsets[rows]]
    likes = np.diff(before[log.offsets])
    in_test = so_far > (likes - test)[rows]
    parts: NDArray[np.int8] = np.add(in_test, so_far > (likes - test - validation)[rows], dtype=np.int8)
    return parts


def _likes_before(log: Interactions) -> NDArray[np.int64]:
    """Return (E + 1,) the likes of all users before each event."""
    before = np.zeros(log.num_events + 1, np.int64)
    np.cumsum(log.weights > 0, out=before[1:])
    return before


def share_of(counts: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return this share of each count, at least 1."""
    return np.maximum((counts * share).astype(np.int64), 1)


def is_among(few: NDArray[np.int64], many: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (len(few),) which numbers occur among the many.

    The many are only looked up in a table of the few, never sorted or hashed: 10 million take a second, where
    `np.isin` takes twenty.
    """
    wanted, past = pl.Series(few), pl.Series(many)
    found = past.filter(past.is_in(wanted.implode()))
    return wanted.is_in(found.implode()).to_numpy()
