"""Real data sets, where they are at hand: the numbers that their makers give."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre.data.build import build_dataset
from genre.data.check import check_files
from genre.data.dataset import Dataset
from genre.data.readers import FilesConfig, read_tables

HERE = Path(__file__).parents[2]


def files_of(name: str) -> FilesConfig:
    directory = HERE / os.environ.get("GENRE_DATA", "../shared/data") / name
    if not directory.exists():
        pytest.skip(f"{directory} is not there; set GENRE_DATA to a directory with the data set {name!r}")
    users = directory / "users.parquet"
    return FilesConfig(
        interactions=directory / "interactions.parquet",
        items=directory / "items.parquet",
        users=users if users.exists() else None,
    )


def sizes(data: Dataset) -> tuple[int, int, int]:
    return data.num_users, data.num_items, data.num_events


def test_amazon_beauty() -> None:
    config = files_of("amazon-beauty")
    tables = read_tables(config)
    data = build_dataset(tables)
    assert sizes(data) == (22_363, 12_101, 198_502)
    assert tables.interactions["timestamp"].null_count() == 287
    timeless = tables.interactions.filter(pl.col("timestamp").is_null().all().over("user_id"))
    assert (data.interactions.timestamps == 0).sum() == len(timeless) == 155, "all other missing times are filled"
    assert (data.items.roles.text, data.items.roles.category[:2]) == (("title",), ("brand", "categories"))
    log = tables.interactions.sort("user_id", "position")
    mine = data.items.vocabulary.names(data.interactions.item_rows)
    users = data.users.vocabulary.names(data.interactions.row_of_event)
    assert (
        pl.DataFrame({"u": users, "i": mine})
        .sort("u", maintain_order=True)["i"]
        .equals(log["item_id"], check_names=False)
    )


def test_movielens_100k() -> None:
    config = files_of("movielens-100k")
    data = build_dataset(read_tables(config))
    assert sizes(data) == (943, 1_682, 100_000)
    assert data.users.roles.category == ("gender", "occupation")
    assert data.items.frame["genres"].list.explode().n_unique() <= 20
    starts = np.zeros(data.num_events, bool)
    starts[data.interactions.offsets[:-1]] = True
    assert (np.diff(data.interactions.timestamps) >= 0)[~starts[1:]].all()
    assert [finding for finding in check_files(config) if finding.severity == "error"] == []
