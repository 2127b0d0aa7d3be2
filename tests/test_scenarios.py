"""Scenarios beside each other: their state, what they have in common, and one process that answers for all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from genre import pipeline
from genre.cli import app
from genre.config_file import digest_of, read_experiment
from genre.core.errors import ArtifactError, ConfigError, DataError
from genre.data.sample.worlds import SampleConfig, sample_tables
from genre.features.text import TextConfig, item_texts
from genre.language.scoring import bits_and_bytes
from genre.scenarios import Asked, Overlap, Scenarios, overlaps, standings
from tests.conftest import make_dataset
from tests.language.models import learn, write_tiny

pytestmark = pytest.mark.usefixtures("undrawn")


def files(world: Any, directory: Path) -> dict[str, str]:
    """Write a sample world whose users have the ids that those of any other have."""
    tables = sample_tables(SampleConfig(world=world, num_viewers=60))
    assert tables.items is not None
    names = {old: f"p{at}" for at, old in enumerate(sorted(set(tables.interactions["user_id"])))}
    log = tables.interactions.with_columns(pl.col("user_id").replace_strict(names))
    for frame, name in ((log, "interactions"), (tables.items, "items")):
        frame.write_parquet(directory / f"{world}-{name}.parquet")
    return {name: f"{world}-{name}.parquet" for name in ("interactions", "items")}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the configs of two scenarios, and their runs in `runs`."""
    directory = tmp_path_factory.mktemp("scenarios")
    write_tiny(directory / "base", context=2048)
    for seed, world in enumerate(("films", "courses")):
        learn(directory / "base", directory / f"{world}-adapter", seed)
        generator = {
            "kind": "local",
            "model": str(directory / "base"),
            "precision": "fp32",
            "adapter": f"{world}-adapter",
        }
        config: dict[str, Any] = {
            "name": world,
            "data": {"kind": "files", **files(world, directory)},
            "feedback": {"like_at": 3},
            "models": {"graph": {"kind": "graph"}},
            "evaluation": {"bootstrap": 20},
            "answer": {"examples": 1},
            "write": {
                "kinds": ["title"], "users": 1, "n": 1, "reason_draws": 0, "generator": generator, "candidates": 1,
                "draws": 1, "sampling": {"max_tokens": 8},
            },
        }  # fmt: skip
        (directory / f"{world}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        pipeline.run(read_experiment(directory / f"{world}.yaml"), directory / "runs")
    return directory


@pytest.fixture(scope="module")
def scenarios(place: Path) -> Scenarios:
    return Scenarios.open([place / "runs" / "films", place / "runs" / "courses"])


def test_what_is_done_is_told_with_what_it_found(place: Path) -> None:
    films, courses = standings([place / "films.yaml", place / "runs" / "courses"], place / "runs")
    assert (films.name, films.state, films.items, films.users) == ("films", "done", 280, 60)
    assert (films.model in {"graph", "popularity"}, films.metric) == (True, "NDCG@10")
    stored = json.loads((place / "runs" / "films" / "metrics.json").read_text())
    assert films.accuracy == stored["models"][films.model]["test"]["NDCG@10"]["mean"]
    assert (films.rules, films.writes, films.generator) == (("hide_seen",), ("title",), str(place / "base"))
    assert films.adapter == place / "films-adapter"
    assert courses.adapter == place / "courses-adapter"
    assert [one.name for one in standings([], place / "runs")] == ["courses", "films"]


def test_what_is_not_done_is_told(place: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((place / "films.yaml").read_text())
    config["data"] = {name: str(place / value) for name, value in config["data"].items() if name != "kind"}
    config["data"]["kind"] = "files"
    del config["write"]
    runs = tmp_path / "runs"
    shutil.copytree(place / "runs" / "films", runs / "films")
    shutil.copytree(place / "runs" / "courses", runs / "courses")
    (runs / "courses" / "metrics.json").write_text("{}")
    (runs / ".begun.partial").mkdir()
    for name, changes in (("changed", {"name": "films"}), ("new", {"name": "new"}), ("begun", {"name": "begun"})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**config, **changes}))
    states = [one.state for one in standings([tmp_path / f"{name}.yaml" for name in ("changed", "new", "begun")], runs)]
    assert states == ["changed", "new", "begun"]
    config["data"]["interactions"] = "gone.parquet"
    (tmp_path / "gone.yaml").write_text(yaml.safe_dump(config))
    (gone,) = standings([tmp_path / "gone.yaml"], runs)
    assert gone.state == "changed"
    assert "names a file that is not there" in gone.problem
    found = {one.name: one for one in standings([], runs)}
    assert {name: one.state for name, one in found.items()} == {"films": "done", "courses": "damaged", "begun": "begun"}
    assert "the metrics cannot be read" in found["courses"].problem


def test_nothing_there_and_two_of_a_name_are_errors(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no run here\. Run an experiment"):
        standings([], tmp_path)
    with pytest.raises(ArtifactError, match=r"there is no run here\. Name a config"):
        standings([tmp_path / "nothing"], tmp_path)
    with pytest.raises(ConfigError, match="two scenarios are called 'films'"):
        standings([place / "films.yaml", place / "runs" / "films"], place / "runs")


def test_copies_of_a_run_are_told_apart_by_their_directories(place: Path, tmp_path: Path) -> None:
    for name in ("films", "backup"):
        shutil.copytree(place / "runs" / "films", tmp_path / name)
    assert [(one.name, one.run.name) for one in standings([], tmp_path)] == [("backup", "backup"), ("films", "films")]
    both = Scenarios.open([tmp_path / "backup", tmp_path / "films"])
    assert list(both) == ["backup", "films"]
    shutil.copytree(place / "runs" / "courses", tmp_path / "other")
    manifest = json.loads((tmp_path / "other" / "manifest.json").read_text())
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(manifest | {"name": "backup"}))
    assert [one.name for one in standings([], tmp_path)] == ["backup", "films", "other"]


def test_compressed_forms_are_no_scenarios_beside_their_source(place: Path, tmp_path: Path) -> None:
    for name in ("films", "films-int8"):
        shutil.copytree(place / "runs" / "films", tmp_path / name)
    told = json.dumps({"model": "graph", "run": "films", "method": "int8", "measures": []})
    (tmp_path / "films-int8" / "compression.json").write_text(json.dumps({"model": "graph", "method": "int8"}))
    (tmp_path / ".films-onnx.partial").mkdir()
    (tmp_path / ".films-onnx.partial" / "compression.json").write_text(told)
    shutil.copytree(tmp_path / "films-int8", tmp_path / "small")
    (tmp_path / "small" / "compression.json").write_text(told)
    assert [one.name for one in standings([], tmp_path)] == ["films"]
    assert [one.run.name for one in standings([tmp_path / "films-int8"], tmp_path)] == ["films-int8"]
    shutil.rmtree(tmp_path / "films")
    shutil.rmtree(tmp_path / ".films-onnx.partial")
    shutil.rmtree(tmp_path / "small")
    assert [one.run.name for one in standings([], tmp_path)] == ["films-int8"], "where it alone was brought"


def test_each_knows_its_own_users_and_items(scenarios: Scenarios) -> None:
    films, courses = scenarios["films"], scenarios["courses"]
    assert list(scenarios) == ["films", "courses"]
    (pair,) = scenarios.overlaps()
    assert pair == Overlap("films", "courses", users=60, items=0, same_items=0)
    user = "p7"
    assert set(films.history(user)["item_id"]) != set(courses.history(user)["item_id"])
    items = {name: set(scenarios[name].data.items.vocabulary.ids) for name in scenarios}
    for name in scenarios:
        assert set(scenarios[name].history(user)["item_id"]) <= items[name]
        assert set(scenarios[name].recommend(user)["item_id"]) <= items[name]
    with pytest.raises(DataError, match="not in the catalogue"):
        courses.recommend(histories=[[sorted(items["films"] - items["courses"])[0]]])
    with pytest.raises(ConfigError, match=r"there is no scenario 'news'. Choose from \['courses', 'films'\]"):
        scenarios["news"]


def test_texts_of_several_are_written_together_as_alone(scenarios: Scenarios, place: Path) -> None:
    user = "p7"
    asked = [Asked(name, users=(user,), n=2) for name in ("films", "courses", "films")]
    together = scenarios.write(asked)
    assert [[text["kind"] for text in texts] for texts in together] == [["title"] * 2] * 3
    assert together[0] == together[2]
    for one, texts in zip(asked, together, strict=True):
        experiment = read_experiment(place / f"{one.scenario}.yaml")
        assert experiment.write is not None
        alone = scenarios[one.scenario].write(user, n=2, kinds="title", config=experiment.write)
        assert alone == texts
    with pytest.raises(ConfigError, match="there is no scenario 'news'"):
        scenarios.write([Asked("news", users=(user,))])


@pytest.mark.slow
def test_who_reads_the_texts_of_whom(scenarios: Scenarios) -> None:
    found = scenarios.matrix(5)
    assert {name: set(read) for name, read in found.items()} == {name: {"films", "courses"} for name in scenarios}
    assert found["films"]["films"] != found["films"]["courses"]
    generator: Any = scenarios.generator("courses")
    whole = scenarios.matrix(1000)["courses"]["courses"]
    texts = item_texts(scenarios["courses"].data.items, TextConfig())
    bits, size = bits_and_bytes(generator.load(), texts, max_tokens=256).sum(0)
    assert whole == pytest.approx(bits / size, rel=1e-4)


def test_ids_in_common_may_mean_something_else() -> None:
    first = make_dataset()
    titles = pl.when(pl.col("item_id") == "i3").then(pl.lit("a treatise on bees")).otherwise(pl.col("title"))
    changed = first.items.frame.with_columns(titles.alias("title"), pl.lit("").alias("genres"))
    other = replace(first, items=replace(first.items, frame=changed))
    texts_only = replace(first.items, roles=replace(first.items.roles, category=()))
    found = overlaps(
        {"a": replace(first, items=texts_only), "b": replace(other, items=replace(texts_only, frame=changed))}
    )
    assert found == [Overlap("a", "b", users=60, items=40, same_items=39)]
    assert overlaps({"a": first}) == []


def test_an_adapter_counts_by_what_it_has_learned(place: Path, tmp_path: Path) -> None:
    before = digest_of(read_experiment(place / "films.yaml"))
    shutil.copytree(place / "films-adapter", tmp_path / "elsewhere")
    settings = yaml.safe_load((place / "films.yaml").read_text())
    settings["write"]["generator"]["adapter"] = str(tmp_path / "elsewhere")
    (tmp_path / "films.yaml").write_text(yaml.safe_dump(settings))
    assert digest_of(read_experiment(tmp_path / "films.yaml")) == before
    shutil.rmtree(tmp_path / "elsewhere")
    learn(place / "base", tmp_path / "elsewhere", seed=7)
    assert digest_of(read_experiment(tmp_path / "films.yaml")) != before


def test_the_command_lists_them(place: Path) -> None:
    words = ["scenarios", str(place / "films.yaml"), str(place / "courses.yaml"), "--runs", str(place / "runs")]
    result = CliRunner().invoke(app, [*words, "--matrix"], catch_exceptions=False, env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    for part in ("films", "courses", "done", "hide_seen", "ids of users in common", "Bits per byte"):
        assert part in result.output


def test_what_may_be_lost_is_told_as_the_config_says_it(tmp_path: Path) -> None:
    config = {
        "name": "films",
        "data": {"kind": "sample"},
        "models": {"graph": {"kind": "graph"}},
        "answer": {"budget": {"bits_per_byte": "+2%"}},
        "teach": {"budget": {"distinct_2": "-5%", "kl": 0.1}},
    }
    (tmp_path / "films.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (one,) = standings([tmp_path / "films.yaml"], tmp_path)
    assert (one.budget, one.taught_budget) == ({"bits_per_byte": "+2%"}, {"distinct_2": "-5%", "kl": 0.1})
    words = ["scenarios", str(tmp_path / "films.yaml"), "--runs", str(tmp_path)]
    result = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "300"})
    for part in ("bits_per_byte +2%", "may lose, taught", "distinct_2 -5%, kl 0.1"):
        assert part in result.output
