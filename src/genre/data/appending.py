"""A log that goes on: new events of known and new people, put behind what they did before.

Shapes: U users, I items, E events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.errors import DataError
from genre.core.interactions import Interactions
from genre.core.ragged import offsets_of
from genre.data._parts import running_times
from genre.data.columns import EVENT, ITEM_ID, TIMESTAMP, USER_ID, VALUE
from genre.data.dataset import Dataset, Entities, Vocabulary
from genre.data.feedback import FeedbackConfig, faded, weights
from genre.data.growth import extended

_TYPES: Final[Mapping[str, tuple[type[pl.DataType], ...]]] = {
    USER_ID: (pl.String,),
    ITEM_ID: (pl.String,),
    TIMESTAMP: (pl.Float64, pl.Int64),
    EVENT: (pl.String,),
    VALUE: (pl.Float64,),
}
"""What columns are brought to, one type after the other: of seconds, a fraction is cut off."""


@dataclass(frozen=True, eq=False)
class Appended:
    """A longer data set, and what became of the events."""

    data: Dataset
    new: NDArray[np.bool_]
    """(E,) events of the longer log that were added."""
    known: int = 0
    """Events that were not added, since the log has one of the same user and item in the same second."""
    of_unknown_items: int = 0
    """Events that were not added, since their item is not in the catalogue."""
    of_unknown_kinds: int = 0
    """Events that were not added, since the feedback gives their kind no weight."""

    def account(self) -> dict[str, int]:
        """Return what became of the events as plain values."""
        return {
            "added": int(self.new.sum()),
            "known": self.known,
            "of_unknown_items": self.of_unknown_items,
            "of_unknown_kinds": self.of_unknown_kinds,
        }


def appended(
    data: Dataset,
    events: pl.DataFrame,
    feedback: FeedbackConfig | None = None,
    *,
    items: pl.DataFrame | Sequence[Mapping[str, Any]] = (),
    pseudonym: Callable[[str], str] | None = None,
) -> Appended:
    """Return the data set with new events in it; what stood in it keeps its rows and its order.

    New items and new users stand behind the old ones, users in the order of their first event. An event stands behind
    those of its user that are not younger, so that one that comes late still takes the place of its time. Without a
    time it has that of the newest event of all. Where events fade, all weights are those of the time of the newest
    event, old or new: the same, whether events come in one batch or in many.

    Args:
        data: What is known by now.
        events: A row for each event with `user_id` and `item_id`, and if known `timestamp`, `event` and `value`; other
            columns are left alone.
        feedback: How strong a liking each event stands for, as where the data was built.
        items: A row for each item that may be new, as `extended` takes them; those in the catalogue are left alone.
        pseudonym: Hashes a user's id as the data's were, where they were.

    Raises:
        ConfigError: `feedback` needs a column that the events do not have.
        DataError: A column or an id is missing, or a value is not of its column's type.
    """
    feedback = feedback or FeedbackConfig()
    frame = _typed(events)
    kinds = len(frame)
    if feedback.events and EVENT in frame.columns:
        frame = frame.filter(pl.col(EVENT).is_in(list(feedback.events)).fill_null(value=False))
    kinds -= len(frame)
    catalogue = _with_new(data.items, items)
    item_rows = catalogue.vocabulary.rows(frame[ITEM_ID])
    there = item_rows >= 0
    frame, item_rows = frame.filter(there), item_rows[there]
    names = frame[USER_ID]
    if pseudonym is not None:
        names = pl.Series([pseudonym(name) for name in names], dtype=pl.String)
    users = _with_names(data.users, names)
    user_rows = users.vocabulary.rows(names)
    if TIMESTAMP in frame.columns:
        frame = frame.with_columns(pl.col(TIMESTAMP).fill_null(data.end_time))
        times = frame[TIMESTAMP].to_numpy()
    else:
        times = np.full(len(frame), data.end_time)
    keep = _not_there(data.interactions, user_rows, item_rows, times)
    now = int(times[keep].max(initial=data.end_time))
    log, new = _merged(
        replace(data.interactions, weights=faded(data.interactions, feedback, end=data.end_time, now=now)),
        len(users),
        user_rows[keep],
        item_rows[keep],
        times[keep].astype(np.int64),
        weights(frame, feedback, now=now).to_numpy()[keep],
    )
    longer = replace(data, interactions=log, items=catalogue, users=users)
    return Appended(longer, new, int((~keep).sum()), int((~there).sum()), kinds)


def _typed(events: pl.DataFrame) -> pl.DataFrame:
    for column in (USER_ID, ITEM_ID):
        if column not in events.columns:
            raise DataError(
                f"there is no column `{column}`, only {', '.join(events.columns)}",
                place="new events",
                remedy="Give the columns user_id and item_id, and timestamp, event and value where they are known.",
            )
    columns = []
    for name, types in _TYPES.items():
        if name in events.columns:
            try:
                columns.append(reduce(pl.Series.cast, types, events[name]))
            except pl.exceptions.PolarsError as error:
                raise DataError(
                    f"a value is no {types[-1].__name__}: {error}",
                    place=f"new events, column `{name}`",
                    remedy="Correct it.",
                ) from error
    frame = pl.DataFrame(columns)
    for column in (USER_ID, ITEM_ID):
        if empty := int((frame[column].fill_null("") == "").sum()):
            raise DataError(
                f"`{column}` is missing in {empty:,} of {len(frame):,} events",
                place="new events",
                remedy="Leave such events out.",
            )
    return frame


def _with_new(items: Entities, rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> Entities:
    given = rows.to_dicts() if isinstance(rows, pl.DataFrame) else list(rows)
    known = set(items.vocabulary.ids)
    more = [row for row in given if str(row.get(ITEM_ID)) not in known]
    return extended(items, more) if more else items


def _with_names(users: Entities, names: pl.Series) -> Entities:
    """Return the users with those that are new behind; nothing but their ids is known of these."""
    seen = names.unique(maintain_order=True)
    new = seen.filter(users.vocabulary.rows(seen) < 0)
    if not len(new):
        return users
    id_column = users.frame.columns[0]
    frame = pl.concat([users.frame, pl.DataFrame({id_column: new})], how="diagonal")
    return Entities(Vocabulary(frame[id_column]), frame, users.roles)


def _not_there(
    log: Interactions, users: NDArray[np.int32], items: NDArray[np.int32], times: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which events are neither in the log nor among those before them; without a time none can be told."""
    old = pl.DataFrame({"user": log.row_of_event.astype(np.int32), "item": log.item_rows, "time": log.timestamps})
    new = pl.DataFrame({"user": users, "item": items, "time": times.astype(np.int64)})
    first = pl.concat([old, new]).select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    found: NDArray[np.bool_] = first[len(old) :] | (times == 0)
    return found


def _merged(
    log: Interactions,
    num_users: int,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    times: NDArray[np.int64],
    values: NDArray[np.float32],
) -> tuple[Interactions, NDArray[np.bool_]]:
    """Return the log with more events, and which of its events (E,) these are."""
    rows = np.concatenate([log.row_of_event, users])
    # The old events keep their order, even where it is not that of their times.
    keys = np.concatenate([running_times(log), times])
    order = np.lexsort((keys, rows))  # Stable: of equal times, the old ones stand first.
    longer = Interactions(
        offsets_of(np.bincount(rows, minlength=num_users)),
        np.concatenate([log.item_rows, items])[order],
        np.concatenate([log.timestamps, times])[order],
        np.concatenate([log.weights, values])[order],
    )
    return longer, order >= log.num_events
