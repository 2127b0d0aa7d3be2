"""Who asks: from ids and histories as people give them to queries in dense rows.

Shapes: B queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.errors import ConfigError, DataError
from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER, Queries
from genre.core.ragged import Ragged
from genre.data.columns import ITEM_ID
from genre.data.dataset import Dataset
from genre.recent import Recent, continued


def asked_by(
    data: Dataset,
    users: Sequence[str] | None,
    histories: Sequence[Sequence[str] | None] | None,
    pseudonym: Callable[[str], str] | None = None,
    recent: Recent | None = None,
) -> tuple[pl.Series, Queries]:
    """Return the ids (B,) of those who ask, and their queries.

    Args:
        data: What is known.
        users: Ids; None stands for every known user, or with histories for guests.
        histories: For each user, the ids of liked items, oldest first, in place of what the log knows; None leaves one
            to the log.
        pseudonym: Hashes a user's id as the data's were, where they were.
        recent: What has happened since the data was put together; it continues the histories of the log.

    Raises:
        ConfigError: There are not as many histories as users.
        DataError: A history names an item that is not in the catalogue.
    """
    if users is None and histories is None:
        if not recent:
            return data.users.vocabulary.ids, data.queries()
        users = data.users.vocabulary.ids.to_list()
    count = len(histories or ()) if users is None else len(users)
    if users is None:
        names = pl.Series([f"guest-{place}" for place in range(1, count + 1)], dtype=pl.String)
        rows = np.full(count, UNKNOWN_USER, np.int32)
    else:
        names = pl.Series([str(name) for name in users], dtype=pl.String)
        rows = data.users.vocabulary.rows(names)
        if pseudonym is not None:
            # Under their stored, hashed ids users are known at once, under their own only after hashing.
            hashed = data.users.vocabulary.rows([pseudonym(name) for name in names])
            rows = np.where(rows == UNKNOWN_USER, hashed, rows)
    if histories is not None and len(histories) != count:
        raise ConfigError(
            f"{len(histories)} histories for {count} users",
            place="recommend",
            remedy="Give one history for each user.",
        )
    log = data.interactions
    nobody = Interactions(np.append(log.offsets, log.offsets[-1]), log.item_rows, log.timestamps, log.weights)
    history = nobody.take(np.where(rows < 0, len(log), rows))
    if recent:
        events = [recent.of(name) or (recent.of(pseudonym(name)) if pseudonym else ()) for name in names]
        history = continued(history, events, data)
    if histories is not None:
        items = Ragged.of([[] if told is None else rows_of(data, told).tolist() for told in histories])
        instead = Interactions.of(items, np.full(len(items.values), data.end_time, np.int64))
        which = [at if told is None else count + at for at, told in enumerate(histories)]
        history = history.stacked(instead).take(np.array(which, np.int64))
    return names, data.queries(rows, history=history, times=np.maximum(history.end_times, data.end_time))


def rows_of(data: Dataset, ids: Iterable[str]) -> NDArray[np.int32]:
    """Return the rows of items.

    Raises:
        DataError: One is not in the catalogue.
    """
    wanted = [str(name) for name in ids]
    rows = data.items.vocabulary.rows(wanted)
    unknown = [name for name, row in zip(wanted, rows, strict=True) if row < 0]
    if unknown:
        raise DataError(
            f"{unknown[0]!r} is not in the catalogue",
            place=ITEM_ID,
            remedy="Use ids of the item file; `genre data check` lists what it holds.",
        )
    return rows
