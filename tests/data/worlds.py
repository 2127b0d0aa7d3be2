"""What can be counted in a sample world."""

from __future__ import annotations

import polars as pl

from genre.data.sample import SampleConfig, sample_tables
from genre.data.sample.behaviour import DAY, Weights
from genre.data.sample.labels import word_similarity
from genre.data.sample.world import END, NEW_ITEM_DAYS
from genre.data.tables import Tables


def without(part: str, world: str) -> Tables:
    """Return the default world with one part of the utility turned off."""
    return sample_tables(SampleConfig(world=world, weights=Weights(**{part: 0})))


def histories(tables: Tables) -> pl.DataFrame:
    """Return events with the columns of their items (suffix-free) and people (suffix `_user`), in everybody's order."""
    assert tables.items is not None
    assert tables.users is not None
    log = tables.interactions.sort("user_id", "timestamp", maintain_order=True)
    return log.join(tables.items, on="item_id", how="left", maintain_order="left").join(
        tables.users, on="user_id", how="left", suffix="_user", maintain_order="left"
    )


def text_match(tables: Tables) -> float:
    """Return the mean word similarity of items that follow one another in a history."""
    assert tables.items is not None
    rows = histories(tables).join(
        tables.items.with_row_index("row").select("item_id", "row"), on="item_id", how="left", maintain_order="left"
    )
    pairs = rows.select("row", last=pl.col("row").shift().over("user_id")).drop_nulls().to_numpy()
    return float(word_similarity(tables.items["description"])[pairs[:, 0], pairs[:, 1]].mean())


def head_share(tables: Tables) -> float:
    """Return the share of events that go to the most popular tenth of the items."""
    assert tables.items is not None
    counts = tables.interactions.group_by("item_id").len()["len"].sort(descending=True)
    return counts.head(len(tables.items) // 10).sum() / counts.sum()


def share_of_new_items(tables: Tables) -> float:
    """Return the share of the last days' events that go to items not taken before."""
    border = END - NEW_ITEM_DAYS * DAY
    late = tables.interactions.filter(pl.col("timestamp") >= border)
    known = tables.interactions.filter(pl.col("timestamp") < border)["item_id"].unique()
    return 1 - late["item_id"].is_in(known.to_list()).mean()
