"""A tiny model learns to answer: what it needs fewer bits for, what it keeps, and what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from genre.adaptation.teaching import MEASURE, TeachConfig, Teaching, teach
from genre.core.errors import ModelError
from genre.core.run import RunContext
from genre.generation.lessons import Lesson
from genre.language.base import Prompt, Sampling
from genre.language.local import LocalGeneratorConfig
from tests.adaptation.test_guard import WRITING
from tests.language.models import write_tiny

LESSONS = [Lesson("title", Prompt(f"Item {at}?"), " red") for at in range(24)]
HELD_BACK = [Lesson("title", Prompt("Item 99?"), " red")]
CATALOGUE = ["A red film.", "A blue film."]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return directory


def config(base: Path, **changes: Any) -> TeachConfig:
    training = {"epochs": 6, "batch_size": 8, "learning_rate": 0.02, "tracker": "none"}
    settings = {
        "base": {"kind": "local", "model": str(base), "precision": "fp32"},
        "training": training,
        "protections": {"unprotected": {}},
        "writing": WRITING,
        "budget": {"bits_per_byte": 100.0},
    }
    return TeachConfig.model_validate(settings | changes)


@pytest.fixture(scope="module")
def taught(base: Path) -> Teaching:
    return teach(config(base), LESSONS, HELD_BACK, CATALOGUE, RunContext())


def test_what_was_learned_takes_fewer_bits(taught: Teaching) -> None:
    frozen, learned = taught.account["points"]
    assert frozen[MEASURE] == 0
    assert 0.5 * taught.account["base_bits"] < learned[MEASURE] < taught.account["base_bits"]
    assert taught.account["choice"]["gain"]["mean"] == pytest.approx(learned[MEASURE])
    assert taught.protection == "unprotected"
    losses = taught.account["curves"]["unprotected"]
    assert losses["loss"][-1] < 0.2 * losses["loss"][0]
    assert len(losses["held_back"]) == len(losses["loss"]) == 6


def test_the_written_model_answers_as_it_was_taught(taught: Teaching, tmp_path: Path) -> None:
    taught.save(tmp_path / "model", RunContext(), adapter=tmp_path / "adapter")
    generator = LocalGeneratorConfig(model=str(tmp_path / "model"), precision="fp32").build()
    (answer,) = generator.generate([Prompt("Item 7?")], sampling=Sampling(max_tokens=8))
    assert (answer.text, answer.finish) == (" red", "stop")
    beside = taught.config.base.model_copy(update={"adapter": tmp_path / "adapter"})
    assert beside.build().generate([Prompt("Item 7?")], sampling=Sampling(max_tokens=8)) == [answer]
    assert json.loads((tmp_path / "model" / "teaching.json").read_text())["lessons"] == 24


def test_without_anything_inside_the_budget_nothing_is_kept(base: Path, tmp_path: Path) -> None:
    strict = config(base, budget={"bits_per_byte": 1e-9}, shares=[1.0])
    found = teach(strict, LESSONS, HELD_BACK, CATALOGUE, RunContext())
    assert found.protection is None
    assert found.account["choice"]["nearest"]["protection"] == "unprotected"
    with pytest.raises(
        ModelError, match="teach: no model that was taught is better than its base and inside the budget"
    ):
        found.save(tmp_path / "model", RunContext(), adapter=tmp_path / "adapter")
    assert not (tmp_path / "model").exists()


def test_too_little_to_learn_from_is_told_before_anything_is_measured(base: Path) -> None:
    with pytest.raises(ModelError, match="there are 3 texts to learn from and 1 to measure by, and it takes 20 and 1"):
        teach(config(base), LESSONS[:3], HELD_BACK, CATALOGUE, RunContext())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drafts": []}, "`columns` and `drafts` are both empty"),
        ({"tuning": {"method": "prefix"}}, "`tuning.method` is 'prefix', which leaves the model's weights as they are"),
        ({"tuning": {"method": "frozen"}}, "`tuning.method` is 'frozen', which leaves"),
        ({"protect": {"kl": 1.0}}, "`protect` is set, and `protections` takes its place"),
        ({"protections": {}}, "`protections` is empty"),
        ({"shares": [0.5]}, r"`shares` \(0.5,\) must be above 0"),
        ({"write": {"generator": {"kind": "smollm2"}}}, "`write.generator` is set, and drafts are by `base`"),
        ({"write": {"audit": "log.jsonl"}}, "`write.audit` is set, and drafts are shown to nobody"),
    ],
)
def test_settings_that_do_not_go_together(base: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(base, **changes)
