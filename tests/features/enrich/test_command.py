"""`genre enrich`, and enrichment as a part of `genre run`."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from genre import pipeline
from genre.cli import app
from genre.config import Experiment
from genre.config_file import to_yaml
from genre.core.errors import ConfigError
from genre.language.fake import FakeGeneratorConfig
from genre.runs import open_run
from tests.features.enrich.writers import Reader, lines_of

pytestmark = pytest.mark.usefixtures("undrawn")

SETTINGS = {
    "name": "small",
    "data": {"kind": "sample", "num_viewers": 60},
    "feedback": {"like_at": 3},
    "enrich": {"method": "keywords"},
    "models": {"content": {"kind": "behaviour_content", "steps": 50}},
    "answer": {"examples": 3},
    "evaluation": {"bootstrap": 20},
}


def config_in(directory: Path, **changes: object) -> Path:
    path = directory / "small.yaml"
    path.write_text(to_yaml(Experiment.model_validate({**SETTINGS, **changes})), encoding="utf-8")
    return path


def genre(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_the_tables_are_written_with_an_account(tmp_path: Path) -> None:
    output = genre("enrich", str(config_in(tmp_path)), "--runs", str(tmp_path / "runs"))
    made = tmp_path / "runs" / "small-enriched"
    assert f"{made}" in output.replace("\n", "")
    assert "summarise: 280 of 280 accepted" in output
    items, users = pl.read_parquet(made / "items.parquet"), pl.read_parquet(made / "users.parquet")
    assert items["summary"].null_count() == 0
    assert {"better_title", "title"} <= set(items.columns)
    assert users["profile"].drop_nulls().str.starts_with("Topics: ").any()
    account = json.loads((made / "account.json").read_text(encoding="utf-8"))
    assert [stage["stage"] for stage in account] == ["summarise", "profile"]
    assert (made / "written" / "profiles-0.parquet").exists()


def test_a_dry_run_asks_nothing_and_writes_nothing(tmp_path: Path) -> None:
    config = config_in(tmp_path, enrich={"generator": {"kind": "fake"}, "tokens_per_second": 50})
    output = genre("enrich", str(config), "--dry-run", "--runs", str(tmp_path / "runs"))
    assert "summarise" in output
    assert "280" in output
    assert not (tmp_path / "runs" / "small-enriched").exists()


@pytest.mark.slow
def test_a_run_fits_on_what_was_written_and_answers_with_it(tmp_path: Path) -> None:
    run = pipeline.run(Experiment.model_validate(SETTINGS), tmp_path)
    account = json.loads((run / "account.json").read_text(encoding="utf-8"))
    assert account["data"]["enrichment"][0]["accepted"] == 280
    assert "Enrichment" in (run / "report.html").read_text(encoding="utf-8")
    engine = open_run(run)
    assert {"better_title", "summary"} <= set(engine.data.items.frame.columns)
    assert engine.data.users.roles.text == ("profile",)
    assert len(engine.recommend(n=3)) == 3 * engine.data.num_users
    assert engine.recommend(histories=[["spirited-away-2001"]], n=3)["rank"].to_list() == [1, 2, 3]


@pytest.mark.slow
def test_imagined_items_are_in_training_and_in_no_answer(tmp_path: Path) -> None:
    stages = [{"kind": "imagine", "longest_history": 50, "least_similarity": 0}]
    answer = '{"items": [{"title": "The ' + "x" * 40 + '", "description": "A film of love and of the sea."}]}'
    enrich = {"generator": {"kind": "fake", "answers": [answer]}, "stages": stages}
    plain = pipeline.run(Experiment.model_validate({**SETTINGS, "name": "plain", "enrich": None}), tmp_path)
    run = pipeline.run(Experiment.model_validate({**SETTINGS, "enrich": enrich}), tmp_path)
    assert open_run(run).data.fingerprint() == open_run(plain).data.fingerprint()
    imagined = pl.read_parquet(run / "enrichment" / "imagined-0.parquet")
    assert imagined["synthetic"].all()


def test_without_a_section_there_is_nothing_to_do(tmp_path: Path) -> None:
    config = config_in(tmp_path, enrich=None)
    result = CliRunner().invoke(app, ["enrich", str(config), "--runs", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "says nothing of enrichment" in str(result.exception)


@pytest.mark.parametrize("method", ["llm", "keywords"])
def test_a_config_reads_back(tmp_path: Path, method: str) -> None:
    from genre.config_file import read_experiment

    path = config_in(tmp_path, enrich={"method": method, "generator": {"kind": "fake"}})
    experiment = read_experiment(path, ["enrich.budget.max_items=5"])
    assert experiment.enrich is not None
    assert experiment.enrich.budget.max_items == 5
    assert experiment.enrich.method == method


REWRITING = {
    "enrich": {"generator": {"kind": "fake"}, "stages": [{"kind": "rewrite"}], "tokens_per_second": 50},
    "models": {
        "towers": {
            "kind": "two_tower",
            "vectors": {"encoder": {"kind": "hashing"}},
            "versions": {"field_dropout": 0.2, "rewritten": True},
            "embedding_size": 8,
            "training": {"epochs": 1, "tracker": "none"},
        }
    },
}


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Let the fake generator put a few words before what it is shown."""

    def says(prompt: str) -> str:
        before = "Once more" if "synonyms" in prompt else "In other words"
        return json.dumps({"text": f"{before}: {lines_of(prompt)[0]}"}, ensure_ascii=False)

    reader = Reader(says)
    monkeypatch.setattr(FakeGeneratorConfig, "build", lambda _: reader)
    return reader


@pytest.mark.slow
def test_a_run_rewrites_once_and_trains_on_it(tmp_path: Path, writer: Reader) -> None:
    experiment = Experiment.model_validate({**SETTINGS, **REWRITING})
    run = pipeline.run(experiment, tmp_path)
    account = json.loads((run / "account.json").read_text(encoding="utf-8"))
    synonyms, paraphrase = account["data"]["enrichment"]
    assert synonyms["accepted"] == paraphrase["accepted"] == synonyms["subjects"] > 200
    assert len(writer.asked) == 2 * synonyms["subjects"], "items that nobody liked in training are left alone"
    (reading,) = account["reading"]
    assert reading["versions"] == 4 + 2
    engine = open_run(run)
    assert "rewritten" not in engine.data.items.roles.text + engine.data.items.roles.category
    answers = engine.recommend(n=3, reasons="en")
    assert len(answers) == 3 * engine.data.num_users
    told = (run / "report.html").read_text(encoding="utf-8") + (run / "content.jsonl").read_text(encoding="utf-8")
    assert "In other words" not in told + str(answers.to_dicts())
    asked = len(writer.asked)
    pipeline.run(experiment, tmp_path, force=True)
    assert len(writer.asked) == asked


@pytest.mark.slow
def test_the_table_of_items_holds_no_versions(tmp_path: Path, writer: Reader) -> None:
    """It may be the file of another experiment, to which a list of texts would be labels."""
    config = config_in(tmp_path, **REWRITING)
    output = genre("enrich", str(config), "--dry-run", "--runs", str(tmp_path / "runs"))
    assert "synonyms" in output
    assert writer.asked == []
    assert "other versions" in genre("encode", str(config), "--runs", str(tmp_path / "runs"))
    genre("enrich", str(config), "--runs", str(tmp_path / "runs"))
    made = tmp_path / "runs" / "small-enriched"
    assert "rewritten" not in pl.read_parquet(made / "items.parquet").columns
    versions = pl.read_parquet(made / "written" / "rewritten.parquet")
    assert versions.columns == ["item_id", "way", "text"]
    assert set(versions["way"]) == {"synonyms", "paraphrase"}


@pytest.mark.parametrize("enrich", [None, {"stages": [{"kind": "summarise"}]}])
@pytest.mark.parametrize("guarded", [False, True])
def test_versions_that_nobody_writes_are_told_before_anything_is_paid(enrich: object, guarded: bool) -> None:
    versions = {"rewritten": True}
    sequential = {"kind": "llm_sequential", "versions": versions}
    model = {"kind": "guarded", "model": sequential} if guarded else sequential
    with pytest.raises(ValueError, match=r"models\.mine: `versions\.rewritten` is true, and no stage writes versions"):
        Experiment.model_validate({**SETTINGS, "enrich": enrich, "models": {"mine": model}})
