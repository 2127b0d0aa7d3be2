"""Logs written by hand, and splits of them read back: shared by the tests of splits."""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from genre.core.interactions import Interactions
from genre.core.queries import Holdout
from genre.core.ragged import offsets_of
from genre.data.dataset import Dataset, Entities, Impressions, Roles, Vocabulary
from genre.data.splits import Split, SplitConfig, split

NUM_ITEMS = 6
Row = list[tuple[int, int, float]]
"""(item, time, weight), oldest first."""


def dataset_of(rows: list[Row], num_items: int = NUM_ITEMS, impressions: Impressions | None = None) -> Dataset:
    """Return a data set of these users; they have an age, so that queries tell who asks."""
    events = [event for row in rows for event in row]
    items, times, weights = zip(*events, strict=True) if events else ([], [], [])
    log = Interactions(
        offsets_of(np.array([len(row) for row in rows])),
        np.array(items, np.int32),
        np.array(times, np.int64),
        np.array(weights, np.float32),
    )
    catalogue = pl.DataFrame({"item_id": [f"i{row}" for row in range(num_items)]})
    users = pl.DataFrame(
        {"user_id": [f"u{row}" for row in range(len(rows))], "age": [float(row) for row in range(len(rows))]}
    )
    return Dataset(
        log,
        Entities(Vocabulary(catalogue["item_id"]), catalogue),
        Entities(Vocabulary(users["user_id"]), users, Roles(number=("age",))),
        impressions,
    )


def likes(*items: int, time: int = 1) -> Row:
    """Return likes one after the other."""
    return [(item, time + step, 1.0) for step, item in enumerate(items)]


def config_of(**strategy: object) -> SplitConfig:
    return TypeAdapter(SplitConfig).validate_python(strategy)


def split_all(data: Dataset, seed: int = 0, **strategy: object) -> list[Split]:
    return split(data, config_of(**strategy), np.random.default_rng(seed))


def split_one(data: Dataset, seed: int = 0, **strategy: object) -> Split:
    (only,) = split_all(data, seed, **strategy)
    return only


def events_of(log: Interactions, row: int) -> Row:
    where = slice(log.offsets[row], log.offsets[row + 1])
    return list(
        zip(log.item_rows[where].tolist(), log.timestamps[where].tolist(), log.weights[where].tolist(), strict=True)
    )


def asked(holdout: Holdout) -> dict[int, tuple[Row, list[int]]]:
    """Return history and targets by user."""
    assert holdout.queries.users is not None
    users = [int(name[1:]) for name in holdout.queries.users["user_id"]]
    assert len(set(users)) == len(users)
    return {
        user: (events_of(holdout.queries.history, at), holdout.targets[at].tolist()) for at, user in enumerate(users)
    }
