"""Small data that every test may use."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from genre.core.interactions import Interactions
from genre.core.ragged import offsets_of
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.evaluation import plots

# How long an example takes is the machine's affair.
settings.register_profile("genre", deadline=None)
settings.load_profile("genre")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector of garbage pass over what is imported, then and later: looking through it takes long.

    It was a quarter of the time until the first test, and a fifteenth of the time of all of them.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


NUM_USERS, NUM_ITEMS, NUM_GENRES = 60, 40, 4
DAY = 86_400


def make_dataset(*, num_users: int = NUM_USERS, num_items: int = NUM_ITEMS, seed: int = 0) -> Dataset:
    """Return users who mostly like one of four genres, with words, numbers, ages, repeats and a few dislikes.

    The last three items were never touched.
    """
    rng = np.random.default_rng(seed)
    genre_of_item = np.arange(num_items) % NUM_GENRES
    touched = max(1, num_items - 3)
    lengths = rng.integers(3, 12, num_users)
    lists = []
    for user in range(num_users):
        appeal = np.where(genre_of_item[:touched] == user % NUM_GENRES, 8.0, 1.0) / np.arange(1, touched + 1) ** 0.5
        lists.append(rng.choice(touched, lengths[user], p=appeal / appeal.sum()))
    item_rows = np.concatenate(lists).astype(np.int32)
    times = np.concatenate([np.sort(rng.integers(0, 300, size)) for size in lengths]) * DAY + 1_700_000_000
    weights = np.where(rng.random(len(item_rows)) < 0.1, 0.0, rng.choice([1.0, 2.0], len(item_rows)))
    names = ["comedy", "western", "horror", "音乐"]
    items = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(num_items)],
            "title": [f"{names[genre]} story {row}" for row, genre in enumerate(genre_of_item)],
            "genres": [[names[genre]] for genre in genre_of_item],
            "price": [float(row % 7) if row % 5 else None for row in range(num_items)],
        }
    )
    users = pl.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(num_users)],
            "country": [["CN"] if row % 3 else ["FR"] for row in range(num_users)],
            "age": [float(20 + row % 40) for row in range(num_users)],
        }
    )
    return Dataset(
        Interactions(offsets_of(lengths), item_rows, times.astype(np.int64), weights.astype(np.float32)),
        Entities(Vocabulary(items["item_id"]), items, Roles(text=("title",), category=("genres",), number=("price",))),
        Entities(Vocabulary(users["user_id"]), users, Roles(category=("country",), number=("age",))),
    )


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Return the small data set; nobody changes it."""
    return make_dataset()


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Leave the plots of reports empty, for files of tests that look at none: they take half of a small run's time.

    Whole reports are drawn in `test_cli.py`, `test_docs.py`, `test_adapt.py`, `test_guarding.py` and `evaluation`.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("dots", "scatter", "curves"):
            patch.setattr(plots, name, lambda *_, **__: "<svg></svg>")
        yield
