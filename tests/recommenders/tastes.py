"""A world in which words decide: half of the people like westerns and dislike ghost stories, the others the reverse."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from genre.core.interactions import Interactions
from genre.core.ragged import offsets_of
from genre.data.dataset import Dataset, Entities, Impressions, Roles, Vocabulary

WORDS = (("cowboy", "ranch", "saddle", "sheriff"), ("ghost", "crypt", "haunted", "phantom"))
NUM_ITEMS = 40


def kind_of(item: int) -> int:
    return item % 2


def tastes(
    *,
    num_users: int = 60,
    graded: bool = False,
    dislikes: bool = True,
    shuffled: bool = False,
    profiles: bool = False,
    impressions: Impressions | None = None,
    titles: list[str | None] | None = None,
    seed: int = 0,
) -> Dataset:
    """Return histories of ten different items: 1 and 0, or ratings of 5 and 4 against 1, or likes alone.

    Users of an even row like what has an even row. Shuffled, labels have nothing to do with anything.
    """
    rng = np.random.default_rng(seed)
    rows, weights = [], []
    for user in range(num_users):
        picked = rng.permutation(NUM_ITEMS)
        if not dislikes:
            picked = picked[picked % 2 == user % 2]
        picked = picked[:10]
        likes = picked % 2 == user % 2
        rows.append(picked)
        weights.append(np.where(likes, np.where(picked < NUM_ITEMS // 2, 5.0, 4.0), 1.0) if graded else likes * 1.0)
    weight = np.concatenate(weights).astype(np.float32)
    if shuffled:
        weight = rng.permutation(weight)
    log = Interactions(
        offsets_of(np.array([len(row) for row in rows])),
        np.concatenate(rows).astype(np.int32),
        np.concatenate([np.arange(1, len(row) + 1) for row in rows]).astype(np.int64),
        weight,
    )
    if titles is None:
        titles = [" ".join(rng.choice(WORDS[kind_of(item)], 3)) + f" {item}" for item in range(NUM_ITEMS)]
    columns: dict[str, Any] = {"user_id": [f"u{row}" for row in range(num_users)]}
    if profiles:
        columns["profile"] = [f"likes {' and '.join(WORDS[user % 2])}" for user in range(num_users)]
    items = pl.DataFrame({"item_id": [f"i{row}" for row in range(NUM_ITEMS)], "title": titles})
    users = pl.DataFrame(columns)
    return Dataset(
        log,
        Entities(Vocabulary(items["item_id"]), items, Roles(text=("title",))),
        Entities(Vocabulary(users["user_id"]), users, Roles(text=("profile",) if profiles else ())),
        impressions,
    )
