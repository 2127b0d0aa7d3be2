"""The guard on a tiny language model: what it keeps is the best of what writes well enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genre.adaptation.guard import Guarded, GuardedConfig
from genre.core.errors import ModelError
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles
from genre.recommenders.store import load_model, save_model
from tests.language.models import write_tiny
from tests.recommenders.chains import NUM_ITEMS, chain

WRITING = {
    "texts": 4,
    "max_text_tokens": 24,
    "max_answer_tokens": 8,
    "languages": ["en"],
    "prompts": ["Write.", "Go on."],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory, context=512)
    return directory


def world() -> tuple[Dataset, Any]:
    data, asked = chain()
    titles = pl.Series("title", [f"volume {number} of the saga" for number in range(NUM_ITEMS)])
    items = Entities(data.items.vocabulary, data.items.frame.with_columns(titles), Roles(text=("title",)))
    return Dataset(data.interactions, items, data.users), asked


def config(base: Path, **settings: Any) -> GuardedConfig:
    model = {
        "kind": "llm_sequential",
        "base": {"kind": "local", "model": str(base)},
        "vectors": {"encoder": {"kind": "hashing"}},
        "embedding_size": 8,
        "tuning": {"method": "lora", "rank": 4},
        "training": {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "tracker": "none", "precision": "fp32"},
    }
    chosen = {
        "protections": {"unprotected": {}, "kl": {"kl": 2.0, "tokens": 32}},
        "writing": WRITING,
        "model": model | settings.pop("model", {}),
        **settings,
    }
    return GuardedConfig.model_validate(chosen)


def guarded(base: Path, **settings: Any) -> Guarded:
    data, asked = world()
    return config(base, **settings).build({}).fit(data, RunContext(validation=asked))


@pytest.fixture(scope="module")
def wide(base: Path) -> Guarded:
    """Return a model whose budget allows anything."""
    return guarded(base, budget={"bits_per_byte": 100.0})


def test_with_a_wide_budget_the_most_accurate_is_kept(wide: Guarded) -> None:
    assert [point["protection"] for point in wide.points] == [None, "unprotected", "kl"]
    assert all(point["share"] == 1 and not point["breaches"] for point in wide.points)
    best = max(wide.points, key=lambda point: point["NDCG@10"])
    assert wide.choice["protection"] == best["protection"]
    assert wide.choice["gain"]["mean"] == pytest.approx(best["NDCG@10"] - wide.points[0]["NDCG@10"])
    assert wide.choice["nearest"] is None


def test_the_account_tells_how_each_training_went(wide: Guarded) -> None:
    assert list(wide.curves) == ["frozen base", "unprotected", "kl"]
    assert "rise" not in wide.curves["frozen base"]
    for name in ("unprotected", "kl"):
        assert len(wide.curves[name]["NDCG@10"]) == len(wide.curves[name]["rise"]) == 3
    assert wide.curves["kl"]["rise"] != wide.curves["unprotected"]["rise"]


def test_less_and_less_of_what_was_learned_counts_until_it_writes_well_enough(base: Path, wide: Guarded) -> None:
    free = next(point for point in wide.points if point["protection"] == "unprotected")
    rise = free["writing"]["bits_per_byte"] / wide.points[0]["writing"]["bits_per_byte"] - 1
    assert rise > 0
    model = guarded(
        base,
        budget={"bits_per_byte": f"+{100 * rise / 2:.5f}%"},
        protections={"unprotected": {}},
        shares=[1.0, 0.5, 0.1],
    )
    tried = [point for point in model.points if point["protection"] == "unprotected"]
    assert [point["share"] for point in tried] == [1.0, 0.5, 0.1][: len(tried)]
    assert tried[0]["breaches"]
    assert all(point["breaches"] for point in tried[:-1])
    rises = [point["writing"]["bits_per_byte"] for point in tried]
    assert rises[-1] == min(rises) < rises[0]  # Between all and little, a tiny model need not change steadily.
    if not tried[-1]["breaches"] and model.choice["protection"]:
        assert model.choice["share"] == tried[-1]["share"]


@pytest.mark.slow
def test_where_nothing_learned_is_inside_the_frozen_base_is_kept(base: Path) -> None:
    model = guarded(base, budget={"kl": 0.0}, protections={"unprotected": {}}, shares=[1.0])
    assert model.choice["protection"] is None
    tokens = torch.arange(3, 9)[None]
    with model.language.tuned.base_switched_on():
        expected = model.language.writer().model(tokens).logits
    assert torch.equal(model.language.writer().model(tokens).logits, expected)
    better = [point for point in model.points[1:] if point["NDCG@10"] > model.points[0]["NDCG@10"]]
    assert (model.choice["nearest"] is not None) == bool(better)


def test_the_kept_model_is_what_was_measured_and_is_saved(wide: Guarded, tmp_path: Path) -> None:
    _, asked = world()
    save_model(wide, tmp_path)
    again = load_model(tmp_path, GuardedConfig, {})
    assert isinstance(again, Guarded)
    assert again.account() == wide.account()
    before, after = (one.recommend(asked.queries, 5) for one in (wide, again))
    np.testing.assert_array_equal(before.item_rows, after.item_rows)
    assert len(wide.samples) == 2
    assert wide.samples[0]["prompt"] == "Write."


@pytest.mark.slow
def test_codes_in_a_language_model_are_guarded_too(base: Path, tmp_path: Path) -> None:
    data, asked = world()
    around = {"vectors": {"encoder": {"kind": "hashing"}}, "codebook_size": 4, "levels": 2, "length": 8}
    training = {"epochs": 2, "batch_size": 16, "learning_rate": 0.02, "tracker": "none", "precision": "fp32"}
    decoder = {"kind": "pretrained", "base": {"kind": "local", "model": str(base)}, "training": training}
    chosen = GuardedConfig.model_validate(
        {
            "model": {"kind": "semantic_id", **around, "decoder": decoder},
            "protections": {"unprotected": {}},
            "shares": [1.0, 0.5],
            "budget": {"bits_per_byte": "+0.0001%"},
            "writing": WRITING,
            "num_questions": 40,
        }
    )
    model = chosen.build({}).fit(data, RunContext(validation=asked))
    assert [(point["protection"], point["share"]) for point in model.points[:2]] == [(None, 1.0), ("unprotected", 1.0)]
    assert model.points[0]["writing"]["bits_per_byte"] != model.points[1]["writing"]["bits_per_byte"]
    save_model(model, tmp_path)
    again = load_model(tmp_path, GuardedConfig, {})
    before, after = (one.recommend(asked.queries, 5) for one in (model, again))
    np.testing.assert_array_equal(before.item_rows, after.item_rows)
    scratch = {"kind": "semantic_id", **around}
    with pytest.raises(ValueError, match=r"`model\.decoder\.kind` is 'scratch', which writes nothing"):
        GuardedConfig.model_validate({"model": scratch})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protections": {}}, "`protections` is empty"),
        ({"shares": [0.5]}, r"`shares` \(0\.5,\) must be above 0 and at most 1, and hold 1"),
        ({"model": {"tuning": {"method": "frozen"}}}, "nothing is learned that could be guarded"),
        ({"model": {"tuning": {"method": "prefix"}}}, "a share of a prefix means nothing"),
        ({"model": {"protect": {"kl": 1.0}}}, "`protections` takes its place"),
        ({"budget": {"bits_per_byte": "-2%"}}, "asks for an improvement"),
        ({"budget": {"style": "+2%"}}, "there is no measure 'style' of writing"),
    ],
)
def test_a_search_that_cannot_be_is_an_error_before_work_starts(
    base: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config(base, **settings)


def test_without_validation_questions_nothing_can_be_compared(base: Path) -> None:
    data, _ = world()
    with pytest.raises(ModelError, match="guarded: it is put together on validation events, and there are 0"):
        config(base).build({}).fit(data, RunContext())
