"""A world in which what comes next is known: item i is followed by i + 1, all around."""

from __future__ import annotations

import numpy as np
import polars as pl

from genre.core.interactions import Interactions
from genre.core.queries import Holdout
from genre.core.ragged import Ragged
from genre.data.dataset import Dataset, Entities, Vocabulary

NUM_ITEMS = 24


def chain_of(lists: list[list[int]], num_items: int = NUM_ITEMS) -> Dataset:
    """Return a data set with these histories and nothing else."""
    items = Ragged.of(lists)
    return Dataset(
        Interactions.of(items, np.arange(len(items.values))),
        entities("item_id", num_items),
        entities("user_id", len(lists)),
    )


def entities(column: str, size: int) -> Entities:
    """Return so many items or users, without columns."""
    ids = pl.Series(column, [f"{column[0]}{row}" for row in range(size)])
    return Entities(Vocabulary(ids), ids.to_frame())


def chain(
    num_users: int = 120, seed: int = 0, *, num_items: int = NUM_ITEMS, longest: int = 9
) -> tuple[Dataset, Holdout]:
    """Return histories of two items or more along the chain, and questions about what comes after them."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, num_items, num_users), rng.integers(2, longest + 1, num_users)
    rows = [[(start + step) % num_items for step in range(size)] for start, size in zip(starts, lengths, strict=True)]
    data = chain_of(rows, num_items)
    return data, Holdout(data.queries(), Ragged.of([[(row[-1] + 1) % num_items] for row in rows]))
