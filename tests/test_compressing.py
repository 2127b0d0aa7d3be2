"""`genre compress` on a run, on language models and on encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from genre import compressing
from genre.adaptation.compression import writers
from genre.adaptation.compression.measuring import of_questions
from genre.api import open_run
from genre.cli import app
from genre.compressing import Wish, compress
from genre.config_file import read_experiment
from genre.core.errors import ConfigError
from genre.data.files import load_split
from genre.evaluation.results import Results
from genre.evaluation.writing import WritingConfig
from genre.language.base import Prompt, Sampling
from genre.language.local import LocalGeneratorConfig
from genre.recommenders.compact import Compact
from genre.scenarios import standings
from genre.workspace import read_manifest, verify
from tests.language.models import write_tiny

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = WritingConfig(texts=2, max_text_tokens=16, max_answer_tokens=8, prompts=("Write.",), languages=("en",))
TEXTS = [f"This is text number {number}, about the sea and what is in it." for number in range(60)]


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("compress")
    training = {"epochs": 2, "tracker": "none"}
    models = {
        "sasrec": {"kind": "sasrec", "embedding_size": 32, "training": training},
        "ease": {"kind": "ease"},
        "both": {"kind": "fusion", "members": ["sasrec", "ease"]},
    }
    config = {"name": "films", "data": {"kind": "sample", "num_viewers": 80}, "models": models}
    (directory / "films.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    result = invoke("run", str(directory / "films.yaml"), "--runs", str(directory))
    assert result.exit_code == 0, result.output
    return directory / "films"


def test_the_small_form_is_a_run_of_its_own(run: Path) -> None:
    result = invoke("compress", str(run), "--method", "int8", "--model", "sasrec", "--budget", "NDCG@10=-20%")
    assert result.exit_code == 0, result.output
    small = run.with_name("films-int8")
    assert "size on disk" in result.output
    assert "Past the budget: nothing" in result.output
    manifest = read_manifest(small)
    assert (manifest["chosen"], set(manifest["ranking"])) == ("sasrec", {"sasrec", "popularity"})
    verify(small)
    told = {one["name"]: one for one in json.loads((small / "compression.json").read_text())["measures"]}
    assert list(told) == ["size", "weights", "latency", "latency@many", "NDCG@10"]
    assert "questions" in result.output
    assert (told["NDCG@10"]["count"], told["size"]["count"]) == (len(load_split(run / "data/split-0").validation), None)
    assert told["weights"]["change"]["mean"] < -0.5
    beside = json.loads((small / "compression.json").read_text())["beside"]
    source = Results.load(run).models
    assert beside["whole"]["accuracy"] == pytest.approx(source["sasrec"].test["NDCG@10"].mean)
    assert 0 < beside["whole"]["answer"] < 1
    assert set(beside["others"]) == {"both", "ease", "popularity"}
    assert beside["others"]["both"]["accuracy"] == source["both"].test["NDCG@10"].mean
    page = (small / "report.html").read_text(encoding="utf-8")
    assert "sasrec, whole was measured when it was compressed, the other grey ones when films was run." in page
    assert [one.name for one in standings([], run.parent)] == ["films"], "a small form is no scenario of its own"
    engine = open_run(small)
    assert isinstance(engine.model, Compact)
    whole = open_run(run, model="sasrec")
    one, other = (found.recommend(n=5) for found in (whole, engine))
    assert len(set(map(tuple, one.select("user_id", "item_id").rows())) & set(
        map(tuple, other.select("user_id", "item_id").rows())
    )) > 0.9 * len(one)  # fmt: skip
    answers = pl.read_parquet(small / "recommendations.parquet")
    assert answers["user_id"].n_unique() == len(engine.data.users.vocabulary.ids)
    assert invoke("evaluate", str(small)).exit_code == 0
    again = invoke("compress", str(run), "--method", "int8", "--model", "sasrec")
    assert again.exit_code == 1
    assert isinstance(again.exception, ConfigError)
    assert "there is something here" in str(again.exception)


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run an experiment whose models were moved from another, and taught by what was moved."""
    directory = tmp_path_factory.mktemp("moved")
    training = {"epochs": 1, "tracker": "none"}
    towers = {"kind": "two_tower", "embedding_size": 16, "vectors": {"encoder": {"kind": "hashing"}}}
    first = {"name": "first", "models": {"towers": {**towers, "training": training}}}
    source = {"kind": "adapted", "source": str(directory / "first.yaml"), "model": "towers", "learn": "nothing"}
    second = {
        "name": "second",
        "models": {
            "moved": {**source, "same_users": False},
            "known": {**source, "same_users": True},
            "taught": {
                "kind": "distilled",
                "teacher": "moved",
                "student": {"kind": "sasrec", "embedding_size": 16, "training": training},
            },
        },
        "few_users": {"models": ["moved"], "shares": [0]},
    }
    for config in (first, second):
        text = yaml.safe_dump(
            {**config, "data": {"kind": "sample", "num_viewers": 40}, "evaluation": {"bootstrap": 20}}
        )
        (directory / f"{config['name']}.yaml").write_text(text, encoding="utf-8")
    result = invoke("run", str(directory / "second.yaml"), "--runs", str(directory))
    assert result.exit_code == 0, result.output
    return directory / "second"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("taught", "sasrec"), ("moved", "two_tower")])
def test_what_was_taught_or_moved_is_made_small_by_itself(moved: Path, name: str, kind: str) -> None:
    found = compress(str(moved), Wish("int8", ("NDCG@10=-90%",), model=name, out=moved.with_name(f"small-{name}")))
    assert not found.breaches
    assert {one.name: one for one in found.compared}["weights"].change.mean < 0
    told = json.loads((found.directory / "compression.json").read_text())
    assert told["made_of"] == read_experiment(moved / "config.yaml").models[name].model_dump(mode="json")
    assert set(read_experiment(found.directory / "config.yaml").models) == {name, "popularity"}
    engine, whole = open_run(found.directory), open_run(moved, model=name)
    assert isinstance(engine.model, Compact)
    assert (engine.model.config.kind, engine.model.config.form) == (kind, "int8")
    queries, inner = whole.data.queries(), getattr(whole.model, "student" if name == "taught" else "model")
    exact, scores = inner.score(queries), engine.model.score(queries)
    scorable = np.isfinite(exact)
    np.testing.assert_array_equal(np.isfinite(scores), scorable)
    assert np.corrcoef(scores[scorable], exact[scorable])[0, 1] > 0.99


@pytest.mark.slow
def test_what_people_liked_elsewhere_is_not_dropped_silently(moved: Path) -> None:
    with pytest.raises(ConfigError, match="'known' answers people by what they liked in the source, which a"):
        compress(str(moved), Wish("int8", model="known", out=moved.with_name("other")))


def test_past_the_budget_nothing_is_written(run: Path) -> None:
    before = sorted(path.name for path in run.parent.iterdir())
    result = invoke(
        "compress", str(run), "--method", "int8", "--model", "sasrec", "--out", str(run.with_name("tight")),
        "--budget", "weights=-99%",
    )  # fmt: skip
    assert result.exit_code == 1
    words = " ".join(result.output.split())
    assert "Past the budget: weights in memory went from" in words
    assert "the limit is −99 %" in words
    assert "Nothing was written." in words
    assert sorted(path.name for path in run.parent.iterdir()) == before


def test_a_loss_that_may_be_chance_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = np.array([1.0, 0.0] * 20), np.array([0.0, 1.0, 0.0, 0.0, *[1.0, 0.0] * 18])
    lost = of_questions("NDCG@10", before, after, np.random.default_rng(0))
    monkeypatch.setattr(compressing, "_compare_models", lambda *_: [lost])
    words = ("compress", str(run), "--method", "int8", "--model", "sasrec", "--out", str(run.with_name("doubtful")))
    result = invoke(*words, "--budget", "NDCG@10=-4%")
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert "Perhaps past the budget: NDCG@10 went from 0.5000 to 0.4750, −5.0 %, on 40 questions" in told
    (doubt,) = json.loads((run.with_name("doubtful") / "compression.json").read_text())["doubts"]
    assert "That cannot be told from chance" in doubt
    assert invoke(*words[:-1], str(run.with_name("refused")), "--budget", "NDCG@10=-2%").exit_code == 1
    assert not run.with_name("refused").exists()


@pytest.mark.slow
def test_a_graph_answers_for_a_run(run: Path) -> None:
    found = compress(str(run), Wish("onnx", model="sasrec", out=run.with_name("graph")))
    assert not found.breaches
    accuracy = found.compared[-1]
    assert accuracy.change.mean == pytest.approx(0.0, abs=1e-6)
    assert isinstance(open_run(run.with_name("graph")).model, Compact)


def test_what_cannot_be_compressed_is_explained(run: Path) -> None:
    out = run.with_name("other")
    with pytest.raises(ConfigError, match=r"the model 'ease' of kind 'ease' cannot be compressed\. Name one with"):
        compress(str(run), Wish("int8", model="ease", out=out))
    with pytest.raises(ConfigError, match=r"the run has no model 'none'"):
        compress(str(run), Wish("int8", model="none", out=out))
    with pytest.raises(ConfigError, match=r"'prune' is not for\. Choose from int8, onnx"):
        compress(str(run), Wish("prune", model="sasrec"))
    with pytest.raises(ConfigError, match=r"'kl' has a limit and is not measured here"):
        compress(str(run), Wish("int8", ("kl=0.1",), model="sasrec", out=out))
    with pytest.raises(ConfigError, match=r"neither a finished run nor a model at 'nowhere'"):
        compress("nowhere", Wish("int8"))


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_tiny(tmp_path / "tiny", context=512)
    monkeypatch.setattr(writers, "WINDOWS", 4)
    monkeypatch.setattr(writers, "WINDOW", 32)
    return tmp_path / "tiny"


@pytest.mark.parametrize("method", ["int8", "int4", "prune"])
@pytest.mark.slow
def test_a_language_model_is_written_that_others_load(tiny: Path, method: Any, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), encoding="utf-8")
    wish = Wish(method, ("bits_per_byte=+500%",), texts=tmp_path / "texts.jsonl", writing=SMALL)
    found = compress(str(tiny), wish)
    assert found.breaches == ()
    assert found.directory == tmp_path / f"tiny-{method}"
    measured = {one.name: one for one in found.compared}
    assert {"size", "weights", "latency", "latency@many", "bits_per_byte", "bits_per_byte@catalogue", "kl"} <= set(
        measured
    )
    assert measured["weights"].after < measured["weights"].before
    assert measured["kl"].before == 0 < measured["kl"].after
    generator = LocalGeneratorConfig(model=str(found.directory)).build()
    assert generator.generate([Prompt("ab")], sampling=Sampling(max_tokens=3))[0].finish != "error"
    told = json.loads((found.directory / "compression.json").read_text())
    assert (len(told["taken_away"]) if method == "prune" else told.get("taken_away")) == (
        1 if method == "prune" else None
    )
    if method != "prune":
        with pytest.raises(ConfigError, match="is in few bits already"):
            compress(str(found.directory), Wish("int8", writing=SMALL))


@pytest.mark.slow
def test_heads_are_taken_away(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressing, "WritingConfig", lambda: SMALL)
    words = ("--method", "prune", "--epochs", "0", "--budget", "bits_per_byte=+500%")
    result = invoke("compress", str(tiny), *words, "--heads", "1")
    assert result.exit_code == 0, result.output
    smaller = tiny.with_name("tiny-prune")
    settings = json.loads((smaller / "config.json").read_text())
    found = [settings[name] for name in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim")]
    assert found == [2, 2, 1, 8]
    told = json.loads((smaller / "compression.json").read_text())
    assert "taken_away" not in told
    assert [len(lost) for lost in told["heads_taken_away"]] == [1, 1]
    generator = LocalGeneratorConfig(model=str(smaller)).build()
    assert generator.generate([Prompt("ab")], sampling=Sampling(max_tokens=3))[0].finish != "error"
    both = invoke("compress", str(tiny), *words, "--heads", "1", "--layers", "1", "--out", str(tiny) + "-both")
    assert both.exit_code == 0, both.output
    settings = json.loads((tiny.with_name("tiny-both") / "config.json").read_text())
    assert (settings["num_hidden_layers"], settings["num_attention_heads"]) == (1, 2)


def test_what_is_to_go_is_never_silently_left(tiny: Path) -> None:
    with pytest.raises(ConfigError, match=r"--heads: 'int4' takes none away, and 1 are to go\. Leave it out, or take"):
        compress(str(tiny), Wish("int4", heads=1))
    with pytest.raises(ConfigError, match=r"--layers: 'int8' takes none away, and 2 are to go"):
        compress(str(tiny), Wish("int8", layers=2))
    with pytest.raises(ConfigError, match=r"--heads: 2 cannot be taken from the 2 groups"):
        compress(str(tiny), Wish("prune", heads=2))
    with pytest.raises(ConfigError, match=r"--layers: 0 layers cannot be taken from 2"):
        compress(str(tiny), Wish("prune", layers=0))
    assert [path.name for path in tiny.parent.iterdir()] == ["tiny"]


@pytest.mark.slow
def test_a_language_model_past_its_budget_is_not_written(tiny: Path) -> None:
    found = compress(str(tiny), Wish("int8", ("kl=0.0000001",), writing=SMALL))
    assert len(found.breaches) == 1
    assert not found.directory.exists()
    assert [path.name for path in tiny.parent.iterdir()] == ["tiny"]
    with pytest.raises(ConfigError, match=r"which 'onnx' is not for\. Choose from int8, int4, prune"):
        compress(str(tiny), Wish("onnx"))


def test_windows_are_of_both_kinds_of_text(tiny: Path) -> None:
    loaded = LocalGeneratorConfig(model=str(tiny), precision="fp32").build().load_own()
    run = compressing.RunContext()
    own = ["z" * 50] * 9
    both = writers.windows_of(loaded, own, run)
    assert both.shape == (4, 32)
    assert ["zzzz" in loaded.text_of(row) for row in both.tolist()] == [True, True, False, False]
    assert writers.windows_of(loaded, [], run).shape == (4, 32)
    np.testing.assert_array_equal(both, writers.windows_of(loaded, own, run))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("method", ["int8", "onnx"])
def test_the_embedded_encoder_becomes_a_graph(tmp_path: Path, method: Any) -> None:
    found = compress("minilm", Wish(method, out=tmp_path / "graph"))
    assert found.breaches == ()
    cosine = found.compared[-1]
    assert cosine.after > (0.99 if method == "int8" else 0.9999)
    assert (tmp_path / "graph" / "model.onnx").is_file()
