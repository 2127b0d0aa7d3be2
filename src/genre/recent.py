"""What has happened since the data was put together: it changes the next answer, long before a model learns from it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

import numpy as np

from genre.core.interactions import Interactions
from genre.core.ragged import offsets_of
from genre.data.dataset import Dataset

MOST: Final = 1_000
"""Events of one user that are held: more than a model reads, and one automaton cannot fill the memory. Of users there
is no bound: what was acknowledged is in the next answer, also while the database is away. An event takes 220 to 380
bytes."""


_TIME: Final = attrgetter("timestamp", "number")
"""By what events are ordered. Most come in that order; to sort a thousand again for each takes half a millisecond."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of somebody."""

    item_id: str
    timestamp: int
    """Seconds since 1970."""
    weight: float
    """Strength of the liking; 0 where the item was seen and not liked."""
    number: int
    """Of the event; the same event comes in once."""


class Recent:
    """The newest events of each user, in the order of their times. Any thread may add and ask."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._events: dict[str, tuple[Happened, ...]] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Return whether anything has happened."""
        return bool(self._events)

    def add(self, user_id: str, events: Sequence[Happened]) -> None:
        """Take somebody's events in, whichever order they come in; one that is known changes nothing."""
        with self._lock:
            before = self._events.get(user_id, ())
            known = {event.number for event in before}
            new = {event.number: event for event in events if event.number not in known}
            added = sorted(new.values(), key=_TIME)
            if before and added and _TIME(added[0]) < _TIME(before[-1]):
                added, before = sorted((*before, *added), key=_TIME), ()
            # A new tuple: whoever reads goes on with the old one.
            self._events[user_id] = (*before, *added)[-MOST:]

    def of(self, user_id: str) -> tuple[Happened, ...]:
        """Return somebody's events, oldest first."""
        return self._events.get(user_id, ())

    def forget(self, user_id: str) -> None:
        """Keep nothing of somebody."""
        with self._lock:
            self._events.pop(user_id, None)


def continued(history: Interactions, events: Sequence[tuple[Happened, ...]], data: Dataset) -> Interactions:
    """Return histories with later events in their places by time; on an item that is not in the catalogue, none.

    Args:
        history: B histories.
        events: B lists of what has happened since.
        data: Knows the items.
    """
    added = [(row, event) for row, some in enumerate(events) for event in some]
    if not added:
        return history
    items = data.items.vocabulary.rows([event.item_id for _, event in added])
    rows = np.concatenate([history.row_of_event, np.array([row for row, _ in added])])
    times = np.concatenate([history.timestamps, np.array([event.timestamp for _, event in added], np.int64)])
    item_rows = np.concatenate([history.item_rows, items])
    weights = np.concatenate([history.weights, np.array([event.weight for _, event in added], np.float32)])
    # Stable: of events at one time, those of the log come first. An item's row is below 0 where nobody knows it.
    order = np.lexsort((times, rows))
    order = order[item_rows[order] >= 0]
    offsets = offsets_of(np.bincount(rows[order], minlength=len(history)))
    return replace(
        history, offsets=offsets, item_rows=item_rows[order], timestamps=times[order], weights=weights[order]
    )
