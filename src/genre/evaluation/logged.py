"""What a service has shown, with which probability and to which effect, as questions that another model can be asked.

Shapes: L lists, S shown items in all, E events.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.errors import DataError
from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER, Queries
from genre.core.ragged import offsets_of
from genre.data.columns import (
    CLICKED,
    EVENT,
    ITEM_ID,
    LIST_ID,
    POSITION,
    PROPENSITY,
    TIMESTAMP,
    USER_ID,
)
from genre.data.dataset import Dataset
from genre.data.feedback import FeedbackConfig, weights

IMPRESSION: Final = "impression"
"""The type of an event that says that an item was shown."""
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class LoggedLists:
    """Lists that were shown, and what was clicked. Items that the model does not know are -1, as are their places."""

    queries: Queries
    """L questions: what each person had done before their list was shown."""
    people: NDArray[np.int64]
    """(L,) a number for each person; a list of somebody without an id is a person of its own."""
    lists: NDArray[np.int64]
    """(S,) rising: the list of each shown item."""
    item_rows: NDArray[np.int32]
    """(S,) -1 for an item that is not in the catalogue."""
    positions: NDArray[np.int64]
    """(S,) from 0."""
    clicked: NDArray[np.bool_]
    """(S,)"""
    propensities: NDArray[np.float64]
    """(S,) NaN where not logged."""
    num_learned: int = 0
    """Lists that were left out, since they were shown before the newest event that the model may have learned from."""

    def __len__(self) -> int:
        """Return the number of lists, L."""
        return len(self.queries)

    @classmethod
    def of(
        cls,
        data: Dataset,
        shown: pl.DataFrame,
        events: pl.DataFrame | None = None,
        *,
        feedback: FeedbackConfig | None = None,
        pseudonym: Callable[[str], str] | None = None,
        also_learned: bool = False,
    ) -> Self:
        """Ask once for each list, at the time of its first item.

        Args:
            data: What the model knows: the catalogue, and histories up to its newest event.
            shown: `list_id, user_id, item_id, timestamp, position, clicked, propensity`, as a file of impressions has
                them, or `shown_of_events`.
            events: What people did, with `user_id, item_id, timestamp` and, where there are any, `event` and `value`:
                what happened after the newest event of the data belongs to their histories too.
            feedback: How strong a liking each of these stands for; types that it does not name are left out.
            pseudonym: Hashes a user's id as the data's were, where they were.
            also_learned: Keep lists from before the newest event of the data. A model that has learned from what came
                of a list is judged too well by it.

        Raises:
            DataError: Nothing was shown, or only before the newest event of the data.
        """
        end = data.end_time
        shown = shown.with_columns(pl.col(TIMESTAMP).cast(pl.Float64).fill_null(0.0))
        times = shown.group_by(LIST_ID, maintain_order=True).agg(pl.col(TIMESTAMP).min(), pl.col(USER_ID).first())
        learned = pl.col(TIMESTAMP).is_between(0, end, closed="right") & (not also_learned)
        kept = times.filter(~learned)
        if kept.is_empty():
            raise DataError(
                f"all {len(times):,} lists were shown before the newest event of the model's data"
                if len(times)
                else "nothing was shown",
                place="impressions",
                remedy="Judge by lists that were shown since, or say that earlier ones may count too."
                if len(times)
                else "Log what is shown as events of the type 'impression'.",
            )
        ids = kept[USER_ID].unique(maintain_order=True).drop_nulls()
        rows = _rows(data, ids, pseudonym)
        places = {name: place for place, name in enumerate(ids)}
        person = np.array([places.get(name, -1) for name in kept[USER_ID]], np.int64)  # (L,) a row of ids.
        moments = kept[TIMESTAMP].to_numpy()
        histories = _histories(data, ids, rows, events, feedback or FeedbackConfig())
        users = np.where(person < 0, UNKNOWN_USER, rows[person] if len(rows) else UNKNOWN_USER).astype(np.int32)
        asked = _before(histories, person, moments)
        queries = data.queries(users, history=asked, times=np.where(moments > 0, moments, end).astype(np.int64))
        order = {name: number for number, name in enumerate(kept[LIST_ID])}
        items = shown.filter(pl.col(LIST_ID).is_in(kept[LIST_ID].implode()))
        items = items.with_columns(number=pl.col(LIST_ID).replace_strict(order, return_dtype=pl.Int64))
        items = items.sort("number", POSITION, maintain_order=True)
        return cls(
            queries,
            np.where(person < 0, len(ids) + np.arange(len(person)), person),
            items["number"].to_numpy(),
            data.items.vocabulary.rows(items[ITEM_ID]),
            items[POSITION].cast(pl.Int64).to_numpy(),
            items[CLICKED].to_numpy(),
            items[PROPENSITY].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
            len(times) - len(kept),
        )


def shown_of_events(events: pl.DataFrame, clicks: Collection[str] | None = None) -> pl.DataFrame:
    """Return what was shown, and whether it was clicked, from a log of events such as a service keeps.

    Args:
        events: `user_id, item_id, timestamp, event, list_id, position, propensity`. An item counts as clicked if any
            event with its list and item is among the clicks.
        clicks: The types of event that count; by default all but impressions.

    Returns:
        What may stand in `Tables.impressions`, one row for each item of each list, the first one where it was logged
        twice: `list_id, user_id, item_id, timestamp, position, clicked, propensity`. A place that is not logged is that
        of the order of the log.
    """
    impression = pl.col(EVENT) == IMPRESSION
    counts = ~impression.fill_null(value=False) if clicks is None else pl.col(EVENT).is_in(list(clicks))
    chosen = events.filter(counts & pl.col(LIST_ID).is_not_null()).select(LIST_ID, ITEM_ID).unique()
    shown = events.filter(impression & pl.col(LIST_ID).is_not_null())
    shown = shown.unique([LIST_ID, ITEM_ID], keep="first", maintain_order=True)
    shown = shown.join(chosen.with_columns(pl.lit(value=True).alias(CLICKED)), on=[LIST_ID, ITEM_ID], how="left",
                       maintain_order="left")  # fmt: skip
    place = pl.int_range(pl.len(), dtype=pl.Int64).over(LIST_ID)
    return shown.select(
        LIST_ID,
        USER_ID,
        ITEM_ID,
        pl.col(TIMESTAMP).cast(pl.Int64),
        pl.coalesce(POSITION, place).alias(POSITION),
        pl.col(CLICKED).fill_null(value=False),
        PROPENSITY,
    )


def _rows(data: Dataset, ids: pl.Series, pseudonym: Callable[[str], str] | None) -> NDArray[np.int32]:
    rows = data.users.vocabulary.rows(ids)
    if pseudonym is None:
        return rows
    return np.where(rows < 0, data.users.vocabulary.rows([pseudonym(str(name)) for name in ids]), rows)


def _histories(
    data: Dataset, ids: pl.Series, rows: NDArray[np.int32], events: pl.DataFrame | None, feedback: FeedbackConfig
) -> Interactions:
    """Return what each of these people did, by the data and, after its end, by the events; nobody's is the last row."""
    log = data.interactions
    nobody = Interactions(np.append(log.offsets, log.offsets[-1]), log.item_rows, log.timestamps, log.weights)
    old = nobody.take(np.append(np.where(rows < 0, len(log), rows), len(log)))
    if events is None:
        return old
    new = events.filter(pl.col(TIMESTAMP) > data.end_time, pl.col(USER_ID).is_in(ids.implode()))
    if EVENT in new.columns:
        new = new.filter((pl.col(EVENT) != IMPRESSION).fill_null(value=True))
        if feedback.events:
            new = new.filter(pl.col(EVENT).is_in(list(feedback.events)))
    known = data.items.vocabulary.rows(new[ITEM_ID])
    new, items = new.filter(known >= 0), known[known >= 0]
    places = {name: place for place, name in enumerate(ids)}
    people = np.concatenate([old.row_of_event, np.array([places[name] for name in new[USER_ID]], np.int64)])
    times = np.concatenate([old.timestamps, new[TIMESTAMP].to_numpy().astype(np.int64)])
    order = np.lexsort((np.where(np.arange(len(times)) < old.num_events, -1, times), people))
    return Interactions(
        offsets_of(np.bincount(people, minlength=len(old))),
        np.concatenate([old.item_rows, items])[order],
        times[order],
        np.concatenate([old.weights, weights(new, feedback, now=data.end_time).to_numpy()])[order],
    )


def _before(histories: Interactions, person: NDArray[np.int64], moments: NDArray[np.float64]) -> Interactions:
    """Return what each list's person had done when it was shown; all that they did where that is not known."""
    asked = histories.take(np.where(person < 0, len(histories) - 1, person))
    # What happened in the same second is left out: it may have come of the list.
    limit = np.array([int(moment) if moment > 0 else _NEVER for moment in moments], np.int64)
    return asked.where(asked.timestamps < limit[asked.row_of_event])
