"""Models that read other versions of texts in training: they do, and never else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.core.errors import ConfigError
from genre.core.queries import Holdout
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.data.growth import extended
from genre.features.versions import with_versions
from genre.recommenders.base import RecommenderConfig, State
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.store import load_model, save_model
from genre.recommenders.two_tower import TwoTowerConfig
from tests.language.models import write_tiny
from tests.recommenders.test_two_tower import NUM_ITEMS
from tests.recommenders.test_two_tower import world as one_column

VECTORS = {"encoder": {"kind": "hashing"}, "whitening": {}}
KINDS = ("sasrec", "two_tower", "llm_sequential")
OFF: dict[str, Any] = {}
BOTH = {"field_dropout": 0.4, "rewritten": True}


def world() -> tuple[Dataset, Holdout]:
    """Return items of two columns, each with two more versions of other words."""
    data, asked = one_column()
    ids, titles = data.items.vocabulary.ids, data.items.title
    frame = data.items.frame.with_columns(maker=pl.Series([[f"maker{row % 3}"] for row in range(NUM_ITEMS)]))
    items = replace(data.items, frame=frame, roles=replace(data.items.roles, category=("maker",)))
    texts = pl.concat(pl.DataFrame({"item_id": ids, "text": titles + f" in version {n}"}) for n in range(2))
    return replace(data, items=with_versions(items, texts)), asked


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return directory


def config(kind: str, base: Path, versions: dict[str, Any], **training: Any) -> RecommenderConfig:
    how = {"epochs": 2, "batch_size": 64, "learning_rate": 5e-3, "tracker": "none", **training}
    if kind == "sasrec":
        text = {"vectors": VECTORS, "versions": versions}
        return SasrecConfig.model_validate({"embedding_size": 16, "length": 6, "text": text, "training": how})
    common = {"vectors": VECTORS, "versions": versions, "embedding_size": 16, "training": how}
    if kind == "two_tower":
        return TwoTowerConfig.model_validate({**common, "hidden": 16, "num_hard": 1})
    local = {"kind": "local", "model": str(base)}
    return LlmSequentialConfig.model_validate({**common, "base": local, "tuning": {"method": "frozen"}})


def fitted(kind: str, base: Path, versions: dict[str, Any], data: Dataset | None = None) -> Any:
    return config(kind, base, versions).build({}).fit(data or world()[0], RunContext())


def same(one: State, other: State) -> bool:
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name], equal_nan=name == "curve") for name in one)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_chance_training_is_as_before_to_the_last_bit(kind: str, base: Path) -> None:
    before = fitted(kind, base, OFF).state()
    assert same(before, fitted(kind, base, {**BOTH, "share": 0}).state())
    assert same(before, fitted(kind, base, {"field_dropout": 0, "rewritten": False}).state())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("versions", [{"field_dropout": 0.4}, {"rewritten": True}], ids=str)
def test_training_reads_versions_by_the_seed(kind: str, base: Path, versions: dict[str, Any]) -> None:
    before, after, again = (fitted(kind, base, chosen).state() for chosen in (OFF, versions, versions))
    assert same(after, again)
    assert not same(before, after)
    for name in [name for name in before if name == "text" or name.startswith("reader.")]:
        np.testing.assert_array_equal(after[name], before[name], err_msg="real texts, and what was learned from them")
    assert {name: np.shape(value) for name, value in after.items()} == {
        name: np.shape(value) for name, value in before.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_reads_a_version(kind: str, base: Path, tmp_path: Path) -> None:
    """With the versions of the catalogue gone, the fitted model answers as it did; old, new and unliked items alike."""
    data, asked = world()
    model = fitted(kind, base, BOTH)
    save_model(model, tmp_path)
    again = load_model(tmp_path, type(model.config), {})
    new = [{"item_id": "new", "title": "whale and sailor of the ocean", "maker": "maker1"}]
    items = extended(data.items, new)
    bare = extended(replace(data.items, frame=data.items.frame.with_columns(rewritten=None)), new)
    expected = model.index(items, RunContext()).score(asked.queries)
    assert np.isfinite(expected).all()
    for one, table in ((model, bare), (again, items)):
        found = one.index(table, RunContext()).score(asked.queries)  # type: ignore[attr-defined]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model.score(asked.queries), model.score(asked.queries))
    vectors = (model.network.vectors if kind == "two_tower" else model.network.items).eval()
    real = model.text[model.known]
    np.testing.assert_array_equal(vectors.text.numpy(), real)
    assert len(vectors.versions) == 6
    assert not (vectors.versions[-1].numpy() == real).all(axis=1).any()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_it_is_the_same_to_the_last_bit(
    kind: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genre.training import loop

    data, _ = world()
    settings = config(kind, base, BOTH, checkpoint_seconds=0)
    whole = settings.build({}).fit(data, RunContext()).state()
    step, steps = loop._Training.step, 0

    def dies(training: Any, parts: list[Any]) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise KeyboardInterrupt
        step(training, parts)

    monkeypatch.setattr(loop._Training, "step", dies)
    with pytest.raises(KeyboardInterrupt):
        settings.build({}).fit(data, RunContext(directory=tmp_path))
    monkeypatch.undo()
    assert same(whole, settings.build({}).fit(data, RunContext(directory=tmp_path)).state())


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_is_told(kind: str, base: Path) -> None:
    data, _ = one_column()
    with pytest.raises(ConfigError, match=r"of the fields shall be left out.*that are read: title\. Set it to 0"):
        fitted(kind, base, {"field_dropout": 0.2}, data)
    with pytest.raises(ConfigError, match=r"nothing was rewritten.*Add the stage `\{kind: rewrite\}`"):
        fitted(kind, base, {"rewritten": True}, data)


@pytest.mark.parametrize(("kind", "wrong"), [("content", {"versions": BOTH}), ("semantic_id", {"versions": BOTH})])
def test_a_model_that_learns_nothing_from_texts_has_no_such_setting(kind: str, wrong: dict[str, Any]) -> None:
    from genre.config import Experiment

    with pytest.raises(ValueError, match="versions"):
        Experiment.model_validate({"data": {"kind": "sample"}, "models": {"one": {"kind": kind, **wrong}}})
