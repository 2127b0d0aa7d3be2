"""A tiny language model that learns what comes next."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genre.core.errors import ConfigError, ModelError
from genre.core.interactions import Interactions
from genre.core.queries import Queries
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles
from genre.data.growth import extended
from genre.recommenders.base import Recommender
from genre.recommenders.llm_sequential import LlmSequential, LlmSequentialConfig
from genre.recommenders.popularity import PopularityConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.store import load_model, save_model
from tests.language.models import write_tiny
from tests.recommenders.chains import NUM_ITEMS, chain

HASHING = {"encoder": {"kind": "hashing"}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return directory


def config(base: Path, **settings: Any) -> LlmSequentialConfig:
    training = {"epochs": 12, "batch_size": 16, "learning_rate": 0.02, "validate_every": 4, "tracker": "none"}
    training |= settings.pop("training", {})
    chosen = {"base": {"kind": "local", "model": str(base)}, "vectors": HASHING, "embedding_size": 16, **settings}
    return LlmSequentialConfig.model_validate({**chosen, "training": training})


def world() -> tuple[Dataset, Any]:
    """Return histories along a chain of items, each with a title of its own."""
    data, asked = chain()
    titles = pl.Series("title", [f"no {number}" for number in range(NUM_ITEMS)])
    items = Entities(data.items.vocabulary, data.items.frame.with_columns(titles), Roles(text=("title",)))
    return Dataset(data.interactions, items, data.users), asked


def fitted(base: Path, **settings: Any) -> LlmSequential:
    data, asked = world()
    found = config(base, **settings).build({}).fit(data, RunContext(validation=asked))
    assert isinstance(found, LlmSequential)
    return found


def hits(model: Recommender) -> float:
    _, asked = world()
    answer = model.recommend(asked.queries, 1, candidates=None)
    return float(np.mean(answer.item_rows[:, 0] == asked.targets.values))


@pytest.mark.parametrize(
    ("history", "method"),
    [
        ("items", "lora"),
        *(
            pytest.param(history, method, marks=pytest.mark.slow)
            for history, method in (("items", "frozen"), ("items", "prefix"), ("items", "full"), ("titles", "lora"))
        ),
    ],
)
def test_it_learns_what_comes_next(base: Path, history: str, method: str) -> None:
    model = fitted(base, history=history, tuning={"method": method, "rank": 2})
    assert hits(model) > 0.6, "by chance, one in 24"
    assert model.curve[-1, 0] < 0.5 * model.curve[0, 0]


def test_a_frozen_model_is_left_as_it_was_and_a_tuned_one_is_not(base: Path) -> None:
    from transformers import AutoModelForCausalLM

    tokens = torch.arange(3, 9)[None]
    expected = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()(tokens).logits
    for method, same in (("frozen", True), ("lora", False)):
        model = fitted(base, tuning={"method": method}, training={"epochs": 2})
        assert torch.equal(model.language.writer().model(tokens).logits, expected) == same
        with model.language.tuned.base_switched_on():
            assert torch.equal(model.language.writer().model(tokens).logits, expected)


@pytest.mark.parametrize("method", ["lora", "last_layers", "prefix"])
def test_saved_and_loaded_it_answers_alike_and_holds_nothing_of_the_base(
    base: Path, method: str, tmp_path: Path
) -> None:
    model = fitted(base, history="titles", tuning={"method": method, "layers": 1}, training={"epochs": 2})
    save_model(model, tmp_path)
    again = load_model(tmp_path, LlmSequentialConfig, {})
    _, asked = world()
    np.testing.assert_allclose(again.score(asked.queries), model.score(asked.queries), rtol=1e-4, atol=1e-4)  # type: ignore[attr-defined]
    assert not [name for name in model.state() if "embed_tokens" in name]


def test_another_language_model_is_an_error_that_says_what_to_do(base: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(base, own)
    model = fitted(own, training={"epochs": 1})
    save_model(model, tmp_path)
    write_tiny(own, seed=1)
    with pytest.raises(ModelError, match=r"and this was learned with .*Put the language model of that time back"):
        load_model(tmp_path, LlmSequentialConfig, {})


def test_new_items_are_read_by_their_titles(base: Path) -> None:
    model = fitted(base, history="titles", training={"epochs": 3})
    data, _ = world()
    longer = model.index(extended(data.items, [{"item_id": "new", "title": "no 3"}]), RunContext())
    queries = Queries.of(Interactions.of(Ragged.of([[NUM_ITEMS, 2]])))
    assert longer.score(queries).shape == (1, NUM_ITEMS + 1)
    assert np.isfinite(longer.score(queries)).all()


def begun(base: Path, begin: Recommender, **settings: Any) -> LlmSequential:
    """Return a model that begins with another one and learns next to nothing."""
    chosen = config(base, start_from="ids", training={"epochs": 1, "learning_rate": 1e-9}, **settings)
    assert chosen.member_names == ("ids",)
    model = chosen.build({"ids": begin}).fit(world()[0], RunContext())
    assert isinstance(model, LlmSequential)
    return model


def sasrec(**settings: Any) -> Any:
    training = {"epochs": 3, "learning_rate": 0.01, "tracker": "none"}
    chosen = SasrecConfig.model_validate({"embedding_size": 16, "training": training, **settings})
    return chosen.build({}).fit(world()[0], RunContext())


def with_a_new_item(model: Any) -> Any:
    return model.index(extended(world()[0].items, [{"item_id": "new", "title": "no 3 and 5"}]), RunContext())


def test_it_begins_with_the_vectors_of_another_model(base: Path) -> None:
    data, _ = world()
    begin = sasrec()
    model = begun(base, begin)
    torch.testing.assert_close(model.table, begin.table, rtol=0, atol=1e-6)
    assert not with_a_new_item(model).table[-1].abs().max() > 1e-6  # Ids say nothing of it.
    chosen = config(base, start_from="ids")
    other = {"ids": PopularityConfig().build({}).fit(data, RunContext())}
    with pytest.raises(ConfigError, match=r"vectors of 16 numbers are wanted from 'ids', which has none"):
        chosen.build(other)
    with pytest.raises(ConfigError, match=r"vectors of 8 numbers are wanted from 'ids', which has 16\."):
        config(base, start_from="ids", embedding_size=8).build({"ids": begin})


@pytest.mark.slow
@pytest.mark.parametrize("protect", [{"replay": 0.5, "hold": 0.02}, {"kl": 1.0, "elastic": 0.1, "hold": 0.01}])
def test_protected_it_learns_too(base: Path, protect: dict[str, float]) -> None:
    assert hits(fitted(base, protect={**protect, "tokens": 32}, training={"epochs": 8})) > 0.5


@pytest.mark.slow
def test_ranks_that_adapt_and_disturbed_vectors_learn_too(base: Path) -> None:
    model = fitted(base, tuning={"method": "adalora", "rank": 2}, training={"adversarial": 0.01})
    assert hits(model) > 0.5


@pytest.mark.parametrize("own", [True, False])
def test_what_another_model_says_of_texts_is_begun_with_too(base: Path, own: bool) -> None:
    begin = sasrec(text={"vectors": HASHING, "own": own})
    model = begun(base, begin)
    torch.testing.assert_close(model.table, begin.table, rtol=0, atol=1e-6)
    found, expected = with_a_new_item(model).table[-1], with_a_new_item(begin).table[-1]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert expected.abs().max() > 0.1
    # And elsewhere, where no item is the same.
    items = world()[0].items
    for align in (False, True):
        there = [
            one.moved(items, RunContext(), same=np.full(NUM_ITEMS, -1), align=align).table for one in (model, begin)
        ]
        torch.testing.assert_close(there[0], there[1], rtol=0, atol=1e-6)
    assert there[0].abs().max() > 0.1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param({"vectors": HASHING, "hidden": 8}, id="other layers"),
        pytest.param({"vectors": {"encoder": {"kind": "hashing", "size": 64}}}, id="another encoder"),
        pytest.param({"vectors": {**HASHING, "whitening": {"strength": 0.5}}}, id="another whitening"),
    ],
)
def test_of_one_that_reads_texts_otherwise_only_the_vectors_are_begun_with(base: Path, text: dict[str, Any]) -> None:
    begin = sasrec(text=text)
    model = begun(base, begin)
    torch.testing.assert_close(model.table, begin.table, rtol=0, atol=1e-6)
    assert with_a_new_item(begin).table[-1].abs().max() > 0.1
    assert not with_a_new_item(model).table[-1].abs().max() > 1e-6


def test_texts_that_the_same_encoder_reads_otherwise_are_seen_by_their_vectors(base: Path) -> None:
    begin = sasrec(text={"vectors": HASHING})
    begin.text = -begin.text
    model = begun(base, begin)
    torch.testing.assert_close(model.table, begin.table, rtol=0, atol=1e-6)
    assert not with_a_new_item(model).table[-1].abs().max() > 1e-6
