"""From imagined items to training events: each stands for the real item that is most like it.

Shapes: K imagined items, I items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.ragged import offsets_of
from genre.core.run import Progress
from genre.data.columns import ITEM_ID, USER_ID
from genre.data.dataset import Dataset
from genre.features.enrich.answers import ImaginedItem, ImaginedItems
from genre.features.enrich.config import ImagineConfig
from genre.features.store import ContentStore
from genre.language.base import LearnsFromTexts

SCHEMA = {
    USER_ID: pl.String,
    "title": pl.String,
    "description": pl.String,
    ITEM_ID: pl.String,
    "similarity": pl.Float32,
    "weight": pl.Float32,
    "synthetic": pl.Boolean,
}
"""A row for each imagined item; `item_id` is the real one that it stands for, null where none is like it."""


_BLOCK = 256
"""Imagined items that are compared at a time."""


def with_nearest(
    imagined: Mapping[str, ImaginedItems],
    train: Dataset,
    texts: Sequence[str],
    config: ImagineConfig,
    store: ContentStore,
    progress: Progress,
) -> pl.DataFrame:
    """Return a row of `SCHEMA` for each imagined item.

    Only items that somebody liked in training are taken, so that cold items stay cold; never one of the user's own
    history, and none twice.

    Args:
        imagined: By user id.
        train: The training part.
        texts: (I,) what the items are compared by.
        config: The encoder, the least similarity, the weight.
        store: Where vectors are kept.
        progress: Shows how far it has come.
    """
    asked = [(user, item) for user, answer in imagined.items() for item in answer.items[: config.count]]
    if not asked:
        return pl.DataFrame(schema=SCHEMA)
    encoder = config.encoder.build()
    if isinstance(encoder, LearnsFromTexts):
        encoder = encoder.fit(texts)
    vectors = store.vectors(encoder, texts, role="item", progress=progress)
    queries = store.vectors(encoder, [text_of(item) for _, item in asked], role="query", progress=progress)
    rows = train.users.vocabulary.rows([user for user, _ in asked])
    items, values = _best(queries, vectors, rows, train, config.least_similarity)
    return pl.DataFrame(
        {
            USER_ID: [user for user, _ in asked],
            "title": [item.title for _, item in asked],
            "description": [item.description for _, item in asked],
            ITEM_ID: train.items.vocabulary.names(items),
            "similarity": values,
            "weight": np.where(items < 0, 0, _likes(train.interactions)[rows] * config.weight),
            "synthetic": np.ones(len(asked), bool),
        },
        schema=SCHEMA,
    )


def with_events(train: Dataset, imagined: pl.DataFrame) -> Dataset:
    """Return the training part with an event for each imagined item that stands for a real one.

    It is the oldest of its user, at the time of the first real event: what was really liked is never less recent.
    """
    events = imagined.drop_nulls(ITEM_ID)
    log = train.interactions
    users = train.users.vocabulary.rows(events[USER_ID])
    items = train.items.vocabulary.rows(events[ITEM_ID])
    first = np.minimum(log.offsets[users], log.num_events - 1)
    owners = np.concatenate([users, log.row_of_event])
    order = np.argsort(owners, kind="stable")
    return train.with_interactions(
        Interactions(
            offsets_of(np.bincount(owners, minlength=len(log))),
            np.concatenate([items, log.item_rows])[order],
            np.concatenate([log.timestamps[first], log.timestamps])[order],
            np.concatenate([events["weight"].to_numpy().astype(np.float32), log.weights])[order],
        )
    )


def text_of(item: ImaginedItem) -> str:
    """Return what an imagined item is compared by."""
    return f"{item.title}. {item.description}"


def _best(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], rows: NDArray[np.int32], train: Dataset, least: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return (K,) the best item for each query, -1 where none is near enough, and its similarity.

    Needs `_BLOCK * I` floats.
    """
    items = np.full(len(rows), -1, np.int32)
    values = np.zeros(len(rows), np.float32)
    unliked = train.interactions.item_counts(train.num_items) == 0
    taken: dict[int, set[int]] = {}
    for start in range(0, len(rows), _BLOCK):
        similar = queries[start : start + _BLOCK] @ vectors.T
        similar[:, unliked] = -1
        for at, scores in enumerate(similar, start):
            row = int(rows[at])
            used = taken.setdefault(row, set(train.interactions.items[row].tolist()))
            scores[list(used)] = -1
            best = int(scores.argmax())
            values[at] = max(scores[best], 0)
            if scores[best] > 0 and scores[best] >= least:
                items[at] = best
                used.add(best)
    return items, values


def _likes(log: Interactions) -> NDArray[np.float32]:
    """Return (U,) the mean weight of each user's likes."""
    liked = log.liked()
    total = np.bincount(liked.row_of_event, weights=liked.weights, minlength=len(log))
    return (total / np.maximum(liked.lengths, 1)).astype(np.float32)
