"""Data sets and splits come back from disk as they were, and are refused when they are damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from genre.core.errors import ArtifactError
from genre.core.interactions import Interactions
from genre.core.queries import Holdout
from genre.data.dataset import Dataset, Entities, Impressions
from genre.data.files import load_dataset, load_split, save_dataset, save_split
from genre.data.splits import KFoldConfig, LeaveOneOutConfig, Split, split
from tests.conftest import make_dataset


def with_impressions(data: Dataset) -> Dataset:
    """Return the data set with three items shown."""
    shown = Impressions(
        np.array([0, 0, 1], np.int32),
        np.array([0, 0, -1], np.int32),
        np.array([1, 2, 3], np.int32),
        np.array([5, 5, 6], np.int64),
        np.array([0, 1, 0], np.int32),
        np.array([True, False, False]),
        np.array([0.5, np.nan, 1.0], np.float32),
    )
    return replace(data, impressions=shown)


def assert_same_arrays(one: object, two: object) -> None:
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
        assert getattr(one, field.name).dtype == getattr(two, field.name).dtype


def assert_same_entities(one: Entities, two: Entities) -> None:
    assert_frame_equal(one.frame, two.frame)
    assert one.vocabulary.ids.equals(two.vocabulary.ids)
    assert one.roles == two.roles


def assert_same_dataset(one: Dataset, two: Dataset) -> None:
    assert_same_arrays(one.interactions, two.interactions)
    assert_same_entities(one.items, two.items)
    assert_same_entities(one.users, two.users)
    assert (one.impressions is None) == (two.impressions is None)
    if one.impressions is not None:
        assert_same_arrays(one.impressions, two.impressions)


def assert_same_holdout(one: Holdout, two: Holdout) -> None:
    assert_same_arrays(one.targets, two.targets)
    assert_same_arrays(one.queries.history, two.queries.history)
    np.testing.assert_array_equal(one.queries.user_rows, two.queries.user_rows)
    np.testing.assert_array_equal(one.queries.times, two.queries.times)
    assert (one.queries.users is None) == (two.queries.users is None)
    if one.queries.users is not None:
        assert_frame_equal(one.queries.users, two.queries.users)


def some_split(data: Dataset) -> Split:
    return split(data, LeaveOneOutConfig(cold_items=0.1), np.random.default_rng(0))[0]


def some_directory(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("shown", [True, False])
def test_a_data_set_comes_back_as_it_was(tmp_path: Path, shown: bool) -> None:
    data = with_impressions(make_dataset()) if shown else make_dataset()
    save_dataset(data, tmp_path)
    again = load_dataset(tmp_path)
    assert_same_dataset(data, again)
    assert again.fingerprint() == data.fingerprint()
    assert again.items.vocabulary.rows(["i3", "nothing"]).tolist() == [3, -1]


def test_an_empty_data_set_comes_back(tmp_path: Path) -> None:
    data = make_dataset().with_interactions(Interactions.empty(60))
    save_dataset(data, tmp_path)
    assert_same_dataset(data, load_dataset(tmp_path))


def test_what_is_not_contiguous_in_memory_comes_back(tmp_path: Path) -> None:
    data = make_dataset()
    log = data.interactions
    strided = replace(log, weights=np.repeat(log.weights, 2)[::2])
    save_dataset(data.with_interactions(strided), tmp_path)
    np.testing.assert_array_equal(load_dataset(tmp_path).interactions.weights, log.weights)


@pytest.mark.parametrize("config", [LeaveOneOutConfig(cold_items=0.2), KFoldConfig()], ids=lambda config: config.kind)
def test_a_split_comes_back_as_it_was(tmp_path: Path, config: LeaveOneOutConfig | KFoldConfig) -> None:
    part = split(with_impressions(make_dataset()), config, np.random.default_rng(0))[0]
    save_split(part, tmp_path)
    again = load_split(tmp_path)
    assert_same_dataset(part.train, again.train)
    assert_same_holdout(part.validation, again.validation)
    assert_same_holdout(part.test, again.test)
    np.testing.assert_array_equal(part.cold_items, again.cold_items)


def test_a_split_of_users_without_columns_comes_back(tmp_path: Path) -> None:
    data = make_dataset()
    bare = replace(data, users=Entities(data.users.vocabulary, data.users.frame.select("user_id")))
    part = some_split(bare)
    save_split(part, tmp_path)
    assert_same_holdout(part.test, load_split(tmp_path).test)


def test_nothing_written_is_a_pickle(tmp_path: Path) -> None:
    save_split(some_split(make_dataset()), tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".parquet", ".safetensors"}
    assert all(path.read_bytes()[:1] != b"\x80" for path in files)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("arrays.safetensors", cut, r"arrays.safetensors: the file is not what was written.*run the experiment again"),
        ("arrays.safetensors", flip, r"arrays.safetensors: the file is not what was written"),
        ("items.parquet", flip, r"items.parquet: the file is not what was written"),
        ("users.parquet", remove, r"users.parquet: the file is missing\. Restore it"),
        ("dataset.json", remove, r"dataset.json: no dataset can be read here \(.*No such file"),
        ("dataset.json", cut, r"dataset.json: no dataset can be read here"),
    ],
)
def test_a_damaged_data_set_is_refused(tmp_path: Path, name: str, damage: Callable[[Path], None], message: str) -> None:
    save_dataset(make_dataset(), tmp_path)
    damage(tmp_path / name)
    with pytest.raises(ArtifactError, match=message):
        load_dataset(tmp_path)


@pytest.mark.parametrize("name", ["split.json", "arrays.safetensors", "test-users.parquet", "train/dataset.json"])
def test_a_damaged_split_is_refused(tmp_path: Path, name: str) -> None:
    save_split(some_split(make_dataset()), tmp_path)
    cut(tmp_path / name)
    with pytest.raises(ArtifactError, match=name):
        load_split(tmp_path)


def test_a_newer_form_is_refused(tmp_path: Path) -> None:
    save_dataset(make_dataset(), tmp_path)
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(ArtifactError, match=r"the dataset has format 99, this version reads up to 1.*pip install -U"):
        load_dataset(tmp_path)


def test_writing_the_same_twice_writes_the_same(tmp_path: Path) -> None:
    one, two = some_directory(tmp_path / "one"), some_directory(tmp_path / "two")
    for directory in (one, two):
        save_split(some_split(make_dataset()), directory)
    for path in one.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()


def test_long_ids_and_chinese_text_come_back(tmp_path: Path) -> None:
    data = make_dataset()
    frame = data.items.frame.with_columns(pl.lit("红楼梦 " * 100).alias("title"))
    save_dataset(replace(data, items=replace(data.items, frame=frame)), tmp_path)
    assert_frame_equal(load_dataset(tmp_path).items.frame, frame)
