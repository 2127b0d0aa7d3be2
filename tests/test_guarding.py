"""`genre guard` on a run with a tiny language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from genre import guarding
from genre.cli import app
from genre.core.errors import ConfigError
from genre.core.run import Silent
from genre.evaluation.writing import WritingConfig
from genre.workspace import read_manifest
from tests.language.models import write_tiny

SMALL = WritingConfig(texts=2, max_text_tokens=16, max_answer_tokens=8, prompts=("Write.",), languages=("en",))

# Whole runs: what they are made of is tested quickly in `adaptation` and `evaluation`.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run on the sample world, of few events, with a guarded model and one that is not."""
    directory = tmp_path_factory.mktemp("guard")
    write_tiny(directory / "tiny", context=512)
    model: dict[str, Any] = {
        "kind": "llm_sequential",
        "base": {"kind": "local", "model": str(directory / "tiny")},
        "vectors": {"encoder": {"kind": "hashing"}},
        "embedding_size": 8,
        "length": 5,
        "training": {"epochs": 1, "learning_rate": 0.05, "tracker": "none", "precision": "fp32"},
    }
    safe = {
        "kind": "guarded",
        "model": model,
        "budget": {"bits_per_byte": 50},
        "protections": {"free": {}},
        "shares": [1.0],
        "writing": SMALL.model_dump(mode="json"),
    }
    judge = {
        "kind": "text_classifier",
        "reader": "language",
        "base": model["base"],
        "retriever": "popularity",
        "num_candidates": 3,
        "length": 2,
        "user_tokens": 32,
        "max_pairs": 40,
        "vectors": {"text": {"fields": ["title"], "max_tokens": 16}},
        "training": {**model["training"], "batch_size": 8},
    }
    codes = {
        "kind": "semantic_id",
        "vectors": {"encoder": {"kind": "hashing"}},
        "codebook_size": 8,
        "length": 5,
        "beam_width": 5,
        "max_validated": 10,
        "decoder": {"kind": "pretrained", "base": model["base"], "training": model["training"]},
    }
    models = {"plain": model, "safe": safe, "codes": codes, "judge": judge}
    config = {"name": "guard", "data": {"kind": "sample", "num_viewers": 60}, "models": models}
    (directory / "guard.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    result = CliRunner().invoke(
        app, ["run", str(directory / "guard.yaml"), "--runs", str(directory)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return directory / "guard"


def test_the_report_draws_the_frontier(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "What fine-tuning costs the writing" in page
    assert "frozen base" in page
    search = json.loads((run / "models" / "safe" / "search.json").read_text())
    assert [point["protection"] for point in search["points"]] == [None, "free"]
    assert [len(curve) for curve in search["curves"]["free"].values()] == [1, 1]


def test_the_report_tells_what_a_classifier_gets_right(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "always saying the commonest class" in page
    told = json.loads((run / "models" / "judge" / "search.json").read_text())["classification"]
    assert [one["label"] for one in told["classes"]] == ["not liked", "liked"]


@pytest.mark.parametrize("name", ["plain", "safe", "codes", "judge"])
def test_a_model_is_measured_against_its_base(run: Path, name: str) -> None:
    found = guarding.guard_run(run, name, ["bits_per_byte=+5000%"], Silent(), SMALL)
    assert found.breaches == []
    if name != "safe":
        assert found.before.values["bits_per_byte"] != found.after.values["bits_per_byte"]


def test_over_the_budget_it_ends_with_one_and_says_where(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(guarding, "WritingConfig", lambda: SMALL)
    asked = ["guard", str(run), "--model", "plain", "--budget", "bits_per_byte=+0.000001%", "--out"]
    result = CliRunner().invoke(app, [*asked, str(tmp_path / "out.json")])
    told = json.loads((tmp_path / "out.json").read_text())
    worse = told["after"]["values"]["bits_per_byte"] > told["before"]["values"]["bits_per_byte"]
    assert result.exit_code == int(worse), result.output
    assert ("Over the budget: nothing" in result.output) != worse


def test_a_model_over_the_budget_is_marked_and_does_not_answer(run: Path) -> None:
    config = yaml.safe_load((run.parent / "guard.yaml").read_text(encoding="utf-8"))
    models = {"plain": config["models"]["plain"], "both": {"kind": "fusion", "members": ["plain", "graph"]}}
    models["graph"] = {"kind": "graph"}
    student = {"kind": "sasrec", "embedding_size": 8, "training": {"epochs": 1, "tracker": "none"}}
    models["student"] = {"kind": "distilled", "teacher": "plain", "student": student}  # It writes nothing itself.
    budget = {"budget": {"kl": 1e-9}, "writing": SMALL.model_dump(mode="json")}
    config |= {"name": "kept", "models": models, "answer": {"model": "plain", **budget}}
    (run.parent / "kept.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    asked = ["run", str(run.parent / "kept.yaml"), "--runs", str(run.parent)]
    result = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert "plain is over the budget for writing: distance from the base rose" in " ".join(result.output.split())
    manifest = read_manifest(run.parent / "kept")
    assert set(manifest["over_budget"]) == {"plain", "both"}
    assert manifest["over_budget"]["both"] == [f"plain: {words}" for words in manifest["over_budget"]["plain"]]
    assert manifest["chosen"] == next(name for name in manifest["ranking"] if name in ("graph", "popularity"))
    page = (run.parent / "kept" / "report.html").read_text(encoding="utf-8")
    assert "is over the budget for its writing, and does not answer" in page
    assert read_manifest(run)["over_budget"] == {}


def test_what_cannot_be_guarded_is_explained(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"the model 'popularity' has no language model that could write"):
        guarding.guard_run(run, "popularity", [], Silent())
    with pytest.raises(ConfigError, match=r"'much' is no limit"):
        guarding.guard_run(run, "plain", ["much"], Silent())
    with pytest.raises(ConfigError, match="there is no measure 'style' of writing"):
        guarding.guard_run(run, "plain", ["style=+2%"], Silent())
