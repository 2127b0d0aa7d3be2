"""The data set: a log, a catalogue and its users, in dense rows; external ids stay at its edges.

Shapes: U users, I items, E events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from uuid import uuid4

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER, Queries


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """External ids (strings) and the dense rows that stand for them."""

    ids: pl.Series
    """(size,) unique strings; the place of an id is its row."""

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.ids)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def rows(self, ids: pl.Series | Sequence[str]) -> NDArray[np.int32]:
        """Return the rows of ids, -1 for an id that is not known."""
        if isinstance(ids, pl.Series) and len(ids) > len(self):
            right = pl.DataFrame({"id": self.ids, "row": np.arange(len(self), dtype=np.int32)})
            joined = pl.DataFrame({"id": ids.cast(pl.String)}).join(right, on="id", how="left", maintain_order="left")
            return joined["row"].fill_null(-1).to_numpy().astype(np.int32)
        return np.fromiter((self._rows.get(str(name), -1) for name in ids), np.int32, count=len(ids))

    def names(self, rows: NDArray[np.integer]) -> pl.Series:
        """Return the ids of rows, null for negative rows."""
        wanted = pl.Series(rows.ravel()).cast(pl.Int64)
        return self.ids.gather(wanted.set(wanted < 0, None))


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are good for."""

    text: tuple[str, ...] = ()
    """Words to read, the most important column first."""
    category: tuple[str, ...] = ()
    """One label or a list of labels."""
    number: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    """Paths of pictures."""


@dataclass(frozen=True, eq=False)
class Entities:
    """Items or users: their ids, and whatever columns are known of them, row by row."""

    vocabulary: Vocabulary
    frame: pl.DataFrame
    """One row for each id, in the order of the vocabulary, its id column first. Categories are lists of strings."""
    roles: Roles = Roles()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.vocabulary)

    @cached_property
    def title(self) -> pl.Series:
        """(size,) the first text column, or the id where there is none."""
        ids = self.vocabulary.ids
        return self.frame[self.roles.text[0]].fill_null(ids) if self.roles.text else ids

    def behind(self, row: int) -> Entities:
        """Return those from a row on."""
        return Entities(Vocabulary(self.vocabulary.ids[row:]), self.frame[row:], self.roles)

    def title_in(self, language: str | None) -> pl.Series:
        """(size,) the column `title_zh` for the language `zh` and so on where there is one, `title` otherwise."""
        column = f"title_{language}"
        return self.frame[column].fill_null(self.title) if column in self.frame.columns else self.title


@dataclass(frozen=True, eq=False)
class Impressions:
    """What was shown, where, and whether it was chosen: S shown items."""

    list_rows: NDArray[np.int32]
    """(S,) items with the same number were shown together."""
    user_rows: NDArray[np.int32]
    """(S,) `UNKNOWN_USER` for somebody without any interaction."""
    item_rows: NDArray[np.int32]
    timestamps: NDArray[np.int64]
    positions: NDArray[np.int32]
    clicked: NDArray[np.bool_]
    propensities: NDArray[np.float32]
    """(S,) probability of having been shown; NaN where not logged."""

    def where(self, keep: NDArray[np.bool_]) -> Impressions:
        """Return what was shown where `keep` (S,) is true."""
        return Impressions(*(getattr(self, field.name)[keep] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a recommender learns from. Immutable: every change returns a new one that shares the unchanged parts."""

    interactions: Interactions
    """One row for each user, oldest event first."""
    items: Entities
    users: Entities
    impressions: Impressions | None = None

    @property
    def num_users(self) -> int:
        """U."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """I; items nobody has touched included."""
        return len(self.items)

    @property
    def num_events(self) -> int:
        """E."""
        return self.interactions.num_events

    @cached_property
    def end_time(self) -> int:
        """Time of the newest event, in seconds; 0 without any."""
        return int(self.interactions.timestamps.max(initial=0))

    def with_interactions(self, interactions: Interactions) -> Dataset:
        """Return the same catalogue and users with another log."""
        return replace(self, interactions=interactions)

    def without_user(self, row: int) -> Dataset:
        """Return the data without what is known of a user: their row stays, since models count on it, and is nobody's.

        What models have learned from many, this one among them, is not taken back.
        """
        name, *others = self.users.frame.columns
        here = pl.int_range(pl.len()) == row
        frame = self.users.frame.with_columns(
            pl.when(here).then(pl.lit(f"erased-{uuid4().hex}")).otherwise(pl.col(name)).alias(name),
            *(pl.when(here).then(None).otherwise(pl.col(other)).alias(other) for other in others),
        )
        shown = self.impressions
        return replace(
            self,
            interactions=self.interactions.where(self.interactions.row_of_event != row),
            users=Entities(Vocabulary(frame[name]), frame, self.users.roles),
            impressions=None if shown is None else shown.where(shown.user_rows != row),
        )

    def queries(
        self,
        user_rows: NDArray[np.integer] | None = None,
        *,
        history: Interactions | None = None,
        times: NDArray[np.int64] | None = None,
    ) -> Queries:
        """Ask for these users (all by default).

        Args:
            user_rows: (B,) who asks; `UNKNOWN_USER` is allowed where `history` is given.
            history: B histories to answer from, by default all that the data set knows of each user.
            times: (B,) when they ask, by default just after the data set's newest event.
        """
        rows = np.arange(self.num_users) if user_rows is None else np.asarray(user_rows)
        asked = self.interactions.take(rows) if history is None else history
        known = self.users.frame if len(self.users.frame.columns) > 1 else None
        columns = None
        if known is not None:
            wanted = pl.Series(rows).cast(pl.Int64)
            wanted = wanted.set(wanted == UNKNOWN_USER, None)
            columns = known.select(pl.all().gather(wanted)) if len(known) else None
        when = np.full(len(rows), self.end_time) if times is None else times
        return Queries(asked, rows.astype(np.int32), when.astype(np.int64), columns)

    def fingerprint(self) -> str:
        """Return a short hash of the log and of both tables, equal for equal data."""
        digest = hashlib.sha256()
        log = self.interactions
        for part in (log.offsets, log.item_rows, log.timestamps, log.weights):
            digest.update(np.ascontiguousarray(part).tobytes())
        for table in (self.items, self.users):
            digest.update(table.frame.write_ndjson().encode())
        return digest.hexdigest()[:16]
