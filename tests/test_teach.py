"""The story of a writer that is taught, from the command to a model that writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from genre import teach as story
from genre.cli import app
from genre.config import Experiment
from genre.config_file import read_experiment
from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.data.sample import SampleConfig, sample_tables
from genre.generation.kinds import kind_of
from genre.language.local import LocalGeneratorConfig
from genre.stages import prepare
from tests.adaptation.test_guard import WRITING
from tests.language.models import write_tiny


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write films with a hook that people might have written of them, and a model that knows nothing."""
    directory = tmp_path_factory.mktemp("films")
    tables = sample_tables(SampleConfig(num_viewers=90))
    hook = pl.col("description").str.split(" ").list.head(6).list.join(" ").str.strip_chars(",.;")
    items = tables.items.with_columns(hook.alias("hook"))
    items.with_columns(pl.when(pl.int_range(len(items)) % 3 > 0).then("hook").alias("hook")).write_parquet(
        directory / "items.parquet"
    )
    tables.interactions.write_parquet(directory / "log.parquet")
    write_tiny(directory / "tiny", context=2048)
    settings = {
        "name": "films",
        "data": {"kind": "files", "interactions": "log.parquet", "items": "items.parquet"},
        "feedback": {"like_at": 3},
        "models": {"popularity": {"kind": "popularity"}},
        "teach": {
            "base": {"kind": "local", "model": str(directory / "tiny"), "precision": "fp32"},
            "columns": {"title": "hook"},
            "drafts": [],
            "items": 120,
            "scenario": "video",
            "training": {"epochs": 1, "learning_rate": 0.01, "batch_size": 16, "tracker": "none"},
            "protections": {"unprotected": {}},
            "writing": WRITING,
            "budget": {"bits_per_byte": 100.0},
        },
    }
    path = directory / "films.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_model_is_taught_and_written(config: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["teach", str(config), "--runs", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "Kept: unprotected. Next, in a config: write: {generator: {kind: local, model:" in result.output
    directory = tmp_path / "films-teach"
    assert {"account.json", "frontier.svg", "model"} < {path.name for path in directory.iterdir()}
    account = json.loads((directory / "account.json").read_text())
    told = account["from"]["kinds"]["title"]
    assert account["lessons"] + account["held_back"] == told["taken"] <= told["asked"] < 120
    assert account["points"][1]["bits_saved"] > 0
    generator = LocalGeneratorConfig(model=str(directory / "model")).build()
    assert generator.count_tokens("the") == 3


@pytest.mark.slow
def test_where_nothing_is_kept_the_command_says_so(config: Path, tmp_path: Path) -> None:
    overrides = ["--set", "teach.budget={kl: 0.000001}", "--set", "teach.shares=[1.0]"]
    result = CliRunner().invoke(app, ["teach", str(config), "--runs", str(tmp_path), *overrides])
    assert result.exit_code == 1, result.output
    assert "None that learned is better and inside the budget: nothing was written." in result.output
    assert not (tmp_path / "films-teach" / "model").exists()


@pytest.mark.slow
def test_what_is_learned_is_shown_to_people_who_like_it_and_nothing_else_is_in_its_facts(config: Path) -> None:
    experiment = read_experiment(config)
    assert experiment.teach is not None
    data = prepare(experiment).splits[0].train
    teacher = story.Teacher(experiment.teach, data, RunContext())
    rows = teacher.rows()
    assert len(set(rows.tolist())) == len(rows) == 120
    liked = data.interactions.liked()
    book = teacher._book("hook")
    for row, request in zip(rows.tolist(), teacher._requests(kind_of("ad", "en"), book, rows.tolist()), strict=True):
        fans = [user for user in range(data.num_users) if row in liked.items[user]]
        own = [set(liked.items[user].tolist()) - {row} for user in fans]
        assert any(set(request.person.items) <= items for items in own) if fans else not request.person.items
        assert "hook" not in request.facts.labels
    lessons = teacher.lessons({"title": kind_of("title", "en")}, rows)
    hooks = dict(data.items.frame.select("title", "hook").iter_rows())
    for lesson in lessons.found:
        title = lesson.prompt.begin.removesuffix(":")
        assert lesson.answer.strip() == hooks[title]


def test_held_back_items_teach_nothing(config: Path) -> None:
    experiment = read_experiment(config)
    assert experiment.teach is not None
    data = prepare(experiment).splits[0].train
    learned, held = story._lessons(experiment.teach, {"title": kind_of("title", "en")}, data, RunContext())
    titles = [{lesson.prompt.begin for lesson in one.found} for one in (learned, held)]
    assert titles[0]
    assert titles[1]
    assert not titles[0] & titles[1]
    assert np.isclose(held.asked["title"] / (held.asked["title"] + learned.asked["title"]), 0.1, atol=0.06)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drafts": ["reason"]}, "teach: 'reason' is about 'item' and is given .*reason.*; before anything"),
        ({"drafts": ["profile"]}, "teach: 'profile' is about 'person'"),
        ({"drafts": ["sonnet"]}, "there is no kind of text 'sonnet'"),
        ({"columns": {"title": "slogan"}}, "there is no column 'slogan'"),
    ],
)
def test_what_cannot_be_taught(config: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    experiment = read_experiment(config)
    assert experiment.teach is not None
    teach = type(experiment.teach).model_validate({**experiment.teach.model_dump(), **changes})
    with pytest.raises(ConfigError, match=message):
        story.teach_writer(experiment.model_copy(update={"teach": teach}), tmp_path)


def test_an_experiment_that_says_nothing_of_it(tmp_path: Path) -> None:
    settings = {"data": {"kind": "sample"}, "models": {"popularity": {"kind": "popularity"}}}
    with pytest.raises(ConfigError, match="teach: the experiment says nothing of what a language model is taught"):
        story.teach_writer(Experiment.model_validate(settings), tmp_path)
