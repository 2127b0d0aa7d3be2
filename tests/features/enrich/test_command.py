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
from genre.runs import open_run

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
