"""What enrichment has written, how it becomes part of a data set, and how it is kept on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import polars as pl

from genre.core.queries import Holdout, Queries
from genre.data.columns import USER_ID
from genre.data.dataset import Dataset, Entities, Vocabulary
from genre.data.splits import Split
from genre.features.enrich.nearest import with_events
from genre.features.versions import with_versions

BETTER_TITLE: Final = "better_title"
SUMMARY: Final = "summary"
PROFILE: Final = "profile"
ITEMS, USERS, IMAGINED, DROPS, ACCOUNT = "items.parquet", "profiles", "imagined", "drops.parquet", "account.json"
VERSIONS = "rewritten.parquet"


@dataclass(frozen=True, eq=False)
class Enrichment:
    """What was written of one data set and its splits. Frames hold those that were written about, and no others."""

    items: pl.DataFrame | None
    """`item_id`, `better_title` and `summary`; None where that was not wanted."""
    profiles: tuple[pl.DataFrame, ...] | None
    """For each split `user_id`, `profile` (the text), and as lists and strings `topics`, `interests`, `tone` and
    `keywords`; made of the split's training events."""
    imagined: tuple[pl.DataFrame, ...] | None
    """For each split, a row for each imagined item; see `nearest.SCHEMA`."""
    drops: pl.DataFrame
    """`stage`, `id`, `reason` and `detail` of every item and user that stays as it was."""
    account: list[dict[str, Any]]
    """What each stage did."""
    versions: pl.DataFrame | None = None
    """`item_id`, `way` and `text` of every version that was written; None where that was not wanted."""

    def apply(self, data: Dataset) -> Dataset:
        """Return all the data with the new columns; profiles are those of the first split. No event is added."""
        items = data.items if self.items is None else with_texts(data.items, self.items)
        items = items if self.versions is None else with_versions(items, self.versions)
        return replace(data, items=items, users=self._users(data.users, 0))

    def apply_split(self, part: Split, place: int) -> Split:
        """Return a split with the new columns, also of those who ask, and with the imagined events in training."""
        train = replace(self.apply(part.train), users=self._users(part.train.users, place))
        if self.imagined is not None:
            train = with_events(train, self.imagined[place])
        validation, test = (
            Holdout(self._queries(holdout.queries, part.train.users.vocabulary, place), holdout.targets)
            for holdout in (part.validation, part.test)
        )
        return replace(part, train=train, validation=validation, test=test)

    def save(self, directory: Path) -> None:
        """Write everything into an existing directory."""
        if self.items is not None:
            self.items.write_parquet(directory / ITEMS)
        if self.versions is not None:
            self.versions.write_parquet(directory / VERSIONS)
        for name, frames in ((USERS, self.profiles), (IMAGINED, self.imagined)):
            for place, frame in enumerate(frames or ()):
                frame.write_parquet(directory / f"{name}-{place}.parquet")
        self.drops.write_parquet(directory / DROPS)
        (directory / ACCOUNT).write_text(json.dumps(self.account, indent=2, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote."""
        items, versions = (
            pl.read_parquet(path) if path.exists() else None for path in (directory / ITEMS, directory / VERSIONS)
        )
        return cls(
            items,
            _read_all(directory, USERS),
            _read_all(directory, IMAGINED),
            pl.read_parquet(directory / DROPS),
            json.loads((directory / ACCOUNT).read_text(encoding="utf-8")),
            versions,
        )

    def _users(self, users: Entities, place: int) -> Entities:
        return users if self.profiles is None else with_texts(users, self.profiles[place].select(USER_ID, PROFILE))

    def _queries(self, queries: Queries, users: Vocabulary, place: int) -> Queries:
        """Add the profiles to the user columns of questions; where nothing else is known, they are the only ones."""
        if self.profiles is None:
            return queries
        known = pl.DataFrame({USER_ID: users.names(queries.user_rows)}) if queries.users is None else queries.users
        texts = self.profiles[place].select(USER_ID, PROFILE)
        return replace(queries, users=known.join(texts, on=USER_ID, how="left", maintain_order="left"))


def with_texts(table: Entities, texts: pl.DataFrame) -> Entities:
    """Return a table with new text columns, null in the rows that `texts` (by id) does not hold.

    The first text column stays the first, since it is the title that people know.
    """
    name, *columns = texts.columns
    frame = table.frame.join(texts, on=name, how="left", maintain_order="left")
    title, rest = table.roles.text[:1], table.roles.text[1:]
    return Entities(table.vocabulary, frame, replace(table.roles, text=(*title, *columns, *rest)))


def _read_all(directory: Path, name: str) -> tuple[pl.DataFrame, ...] | None:
    paths = sorted(directory.glob(f"{name}-*.parquet"), key=lambda path: int(path.stem.rpartition("-")[2]))
    return tuple(pl.read_parquet(path) for path in paths) or None
