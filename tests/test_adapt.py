"""From a finished run to another scenario: the command, what it fits, and what the report says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from genre import pipeline
from genre.adapt import SCRATCH, adapt, movable, moving, prompts, reading, taught, without_events
from genre.cli import app
from genre.config import Experiment
from genre.config_file import digest_of, read_experiment, to_yaml
from genre.core.errors import ConfigError, DataError
from genre.core.run import Silent
from genre.data.sample.worlds import SampleConfig, sample_tables
from genre.few_users import with_users
from genre.language.smollm import SmolLmConfig
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.two_tower import TwoTowerConfig
from genre.runs import forget, open_run
from genre.stages import Trial, prepare
from genre.workspace import FORMAT, Stages, verify
from tests.language.models import write_tiny

HASHING = {"encoder": {"kind": "hashing"}}
TRAINING = {"epochs": 2, "batch_size": 64, "tracker": "none"}
TOWERS = {"kind": "two_tower", "embedding_size": 16, "vectors": HASHING, "training": TRAINING}
SOURCE: dict[str, Any] = {
    "name": "first",
    "data": {"kind": "sample", "num_viewers": 90},
    "feedback": {"like_at": 3},
    "evaluation": {"bootstrap": 20},
    "models": {"ease": {"kind": "ease"}, "towers": TOWERS},
}
TARGET = {
    **SOURCE,
    "name": "second",
    "data": {"kind": "sample", "num_viewers": 80, "seed": 3},
    "models": {"ease": {"kind": "ease"}},
    "few_users": {"models": ["ease"], "shares": [0, 0.3]},
}

# Whole runs: what they are made of is tested quickly in `adaptation` and `evaluation`.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the command, with the configs in the directory of the runs."""
    directory = tmp_path_factory.mktemp("runs")
    (directory / "first.yaml").write_text(yaml.safe_dump(SOURCE), encoding="utf-8")
    (directory / "second.yaml").write_text(yaml.safe_dump(TARGET), encoding="utf-8")
    words = ["adapt", str(directory / "first.yaml"), "--to", str(directory / "second.yaml"), "--runs", str(directory)]
    result = CliRunner().invoke(app, [*words, "--method", "finetune", "--method", "zero_shot"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "finetune" in result.output
    return directory


def test_the_source_is_run_and_its_model_stands_beside_one_that_begins_anew(runs: Path) -> None:
    assert (runs / "first").is_dir()
    models = read_experiment(runs / "second" / "config.yaml").models
    assert list(models) == ["ease", "popularity", SCRATCH, "finetune", "zero_shot"]
    assert models[SCRATCH].kind == "two_tower"
    assert models["finetune"].source == runs / "first"  # type: ignore[attr-defined]
    assert models["zero_shot"].learn == "nothing"  # type: ignore[attr-defined]


def test_what_moved_is_told(runs: Path) -> None:
    account = json.loads((runs / "second" / "account.json").read_text(encoding="utf-8"))
    moved = account["accounts"]["finetune"]["moved"]
    assert moved["model"] == "towers"
    assert [point["share"] for point in moved["points"]][:2] == [0.0, 1.0]
    few = account["few_users"]
    assert few["models"] == [SCRATCH, "finetune", "zero_shot", "ease"], "the first is what the others stand beside"
    assert [point["share"] for point in few["points"]] == [0.0, 0.3, 1.0]
    assert few["points"][-1]["users"] > few["points"][0]["users"]
    for point in few["points"]:
        assert point["models"][SCRATCH]["over"]["mean"] == 0
    assert few["points"][0]["models"]["zero_shot"] == few["points"][-1]["models"]["zero_shot"] | {
        "over": few["points"][0]["models"]["zero_shot"]["over"]
    }
    assert not (runs / "second" / "few_users").exists()


def test_the_report_shows_both_scenarios_and_the_curves(runs: Path) -> None:
    page = (runs / "second" / "report.html").read_text(encoding="utf-8")
    assert "From one scenario to another" in page
    assert "NDCG@10 on first" in page
    assert "With the events of few users" in page
    pipeline.write_report(runs / "second")
    assert (runs / "second" / "report.html").read_text(encoding="utf-8") == page


def test_a_moved_model_answers_like_any_other(runs: Path) -> None:
    engine = open_run(runs / "second", model="finetune")
    user = str(engine.data.users.vocabulary.ids[0])
    assert len(engine.recommend([user], n=3)) == 3


def test_a_source_that_has_learned_otherwise_makes_another_run(runs: Path, tmp_path: Path) -> None:
    moved = {"kind": "adapted", "source": str(runs / "first"), "model": "towers"}
    one = Experiment.model_validate({**TARGET, "few_users": None, "models": {"moved": moved}})
    before = digest_of(one)
    assert digest_of(one.model_copy(update={"name": one.name})) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text("{}", encoding="utf-8")
    changed = one.models["moved"].model_copy(update={"source": other})
    assert digest_of(one.model_copy(update={"models": {**one.models, "moved": changed}})) != before


def test_a_source_of_the_same_name_is_refused(runs: Path, tmp_path: Path) -> None:
    moved = {"kind": "adapted", "source": str(runs / "first.yaml"), "model": "towers"}
    target = Experiment.model_validate({**TARGET, "name": "first", "few_users": None, "models": {"moved": moved}})
    with pytest.raises(ConfigError, match=r"models\.moved\.source: the source is called 'first' too"):
        pipeline.run(target, tmp_path)


def test_a_name_that_is_taken_is_refused(runs: Path) -> None:
    target = Experiment.model_validate({**TARGET, "few_users": None, "models": {SCRATCH: {"kind": "ease"}}})
    with pytest.raises(ConfigError, match="the target has a model 'from_scratch' already"):
        adapt(runs / "first", target, runs)


def test_a_run_without_a_model_that_reads_is_refused(tmp_path: Path) -> None:
    run = pipeline.run(Experiment.model_validate({**SOURCE, "models": {"ease": {"kind": "ease"}}}), tmp_path)
    with pytest.raises(ConfigError, match=r"none of the models .*'ease \(ease\)'.* can be moved"):
        movable(run)


def ranked(directory: Path, models: dict[str, Any]) -> Path:
    """Write what a finished run tells of its models, the best first."""
    directory.mkdir()
    experiment = Experiment.model_validate({**SOURCE, "models": models})
    (directory / "config.yaml").write_text(to_yaml(experiment), encoding="utf-8")
    (directory / "manifest.json").write_text(json.dumps({"format": FORMAT, "ranking": list(models)}), encoding="utf-8")
    return directory


def test_the_best_that_can_be_moved_is_no_small_form(tmp_path: Path) -> None:
    models = {"small": {**TOWERS, "form": "int8"}, "blind": {"kind": "sasrec"}, "towers": TOWERS}
    assert movable(ranked(tmp_path / "one", models)) == "towers"
    with pytest.raises(ConfigError, match=r"none of the models \['small \(two_tower\)', 'blind \(sasrec\)'\] can be"):
        movable(ranked(tmp_path / "other", {name: models[name] for name in ("small", "blind")}))


def test_what_was_guarded_taught_or_moved_can_be_moved(tmp_path: Path) -> None:
    language = {"kind": "llm_sequential", "base": {"kind": "local", "model": "x"}}
    student = {"kind": "sasrec", "text": {"vectors": HASHING}}
    models = {
        "ranks": {"kind": "guarded", "model": {"kind": "llm_ranker", "retriever": "ease"}},
        "blind": {"kind": "distilled", "teacher": "ease", "student": {"kind": "sasrec"}},
        "ease": {"kind": "ease"},
    }
    able: dict[str, Any] = {
        "guarded": {"kind": "guarded", "model": language},
        "taught": {"kind": "distilled", "teacher": "ease", "student": student},
        "moved": {"kind": "adapted", "source": tmp_path, "model": "m"},
    }
    for name, config in able.items():
        assert movable(ranked(tmp_path / name, {**models, name: config})) == name
    with pytest.raises(ConfigError, match="can be moved"):
        movable(ranked(tmp_path / "none", models))


def test_the_users_of_a_smaller_share_are_among_those_of_a_larger_one(tmp_path: Path) -> None:
    experiment = Experiment.model_validate(SOURCE)
    prepared = prepare(experiment)
    trial = Trial.of(experiment, prepared, 0, 0, Stages(tmp_path, tmp_path), Silent())
    parts = [with_users(trial.part, share, trial.run) for share in (0, 0.1, 0.5, 1.0)]
    users = [set(np.flatnonzero(part.train.interactions.lengths)) for part in parts]
    number, active = trial.part.train.num_users, set(np.flatnonzero(trial.part.train.interactions.lengths))
    assert users[0] == set()
    assert users[3] == active
    assert all(0 < len(some) <= round(share * number) for some, share in ((users[1], 0.1), (users[2], 0.5)))
    assert users[1] < users[2] < users[3]
    for part, some in zip(parts, users, strict=True):
        assert set(part.validation.queries.user_rows.tolist()) <= some
        assert len(part.test) == len(trial.part.test)
        assert part.train.num_items == trial.part.train.num_items


@pytest.mark.parametrize(
    ("few", "message"),
    [
        ({"models": ["ease", "other"]}, "few_users.models: there is no model 'other'"),
        ({"models": ["ease"], "shares": [1.0]}, r"\[1.0\] must be different numbers from 0 to below 1"),
        ({"models": ["ease"], "shares": [0.1, 0.1]}, "must be different numbers"),
        ({"models": []}, "at least 1"),
    ],
)
def test_shares_and_names_that_are_wrong(few: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experiment.model_validate({**TARGET, "few_users": few})


def test_what_cannot_be_fitted_with_nothing_has_no_value_there(tmp_path: Path) -> None:
    models = {
        "both": {"kind": "fusion", "members": ["ease", "graph"]},
        "ease": {"kind": "ease"},
        "graph": {"kind": "graph"},
    }
    few = {"models": ["both", "ease"]}
    target = {**TARGET, "models": models, "few_users": few, "split": {"kind": "leave_one_out"}}
    run = pipeline.run(Experiment.model_validate(target | {"few_users": few | {"shares": [0, 0.5]}}), tmp_path)
    points = json.loads((run / "account.json").read_text(encoding="utf-8"))["few_users"]["points"]
    assert [list(point["models"]) for point in points] == [["ease"], ["both", "ease"], ["both", "ease"]]
    assert [point["models"]["ease"]["over"] is None for point in points] == [True, False, False]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<td>0 % (0)</td><td>-</td><td>0.0000</td>" in page
    assert Experiment.model_validate(target).few_users.shares == (0, 0.01, 0.05, 0.2)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory, template=None, context=4096)
    return directory


def test_a_language_model_that_is_asked_stands_beside_the_moved_one(runs: Path, tiny: Path) -> None:
    target = moving(runs / "first", "towers", Experiment.model_validate(TARGET), ["prompt"], base=str(tiny))
    models: dict[str, Any] = dict(target.models)
    assert list(models) == ["ease", "popularity", SCRATCH, "zero_shot", "prompt", "prompt_examples"]
    assert models["prompt"].retriever == models["prompt_examples"].retriever == "zero_shot"
    assert (models["prompt"].examples, models["prompt_examples"].examples) == (0, 4)
    assert models["prompt"].tuning.method == "frozen"


@pytest.mark.slow
def test_with_the_events_of_nobody_there_are_no_examples(runs: Path, tiny: Path, tmp_path: Path) -> None:
    data = {"kind": "sample", "num_viewers": 20, "seed": 3}
    given = {**TARGET, "data": data, "answer": {"reasons": None}, "few_users": {"models": ["ease"], "shares": [0]}}
    target = moving(runs / "first", "towers", Experiment.model_validate(given), ["prompt"], base=str(tiny))
    models: dict[str, Any] = dict(target.models)
    quick = {"num_candidates": 4, "length": 2, "title_tokens": 12}
    models |= {name: models[name].model_copy(update=quick) for name in ("prompt", "prompt_examples")}
    run = pipeline.run(target.model_copy(update={"models": models}), tmp_path)
    account = json.loads((run / "account.json").read_text(encoding="utf-8"))
    assert account["accounts"]["prompt_examples"]["examples"] == {"wanted": 4, "shown": 4}
    nobody, everybody = account["few_users"]["points"]
    means = [{name: point["models"][name]["mean"] for name in point["models"]} for point in (nobody, everybody)]
    assert means[0]["prompt"] == means[0]["prompt_examples"], "there is nobody of whom it could be told"
    assert means[0]["prompt"] == means[1]["prompt"]


def test_it_is_asked_in_the_language_of_the_reasons() -> None:
    target = Experiment.model_validate({**TARGET, "few_users": None, "answer": {"reasons": "zh"}})
    found: Any = prompts(target, SmolLmConfig())["prompt"]
    assert (found.language, found.text.language, found.base.kind) == ("zh", "zh", "smollm2")


def test_the_moved_model_teaches_a_small_one_of_another_kind(runs: Path, tmp_path: Path) -> None:
    few, data = {"models": ["ease"], "shares": [0]}, {"kind": "sample", "num_viewers": 20, "seed": 3}
    target = Experiment.model_validate({**TARGET, "few_users": few, "data": data})
    run = adapt(runs / "first", target, tmp_path, methods=["distill"])
    models: Any = read_experiment(run / "config.yaml").models
    assert list(models)[-4:] == [SCRATCH, "domain", "distill", "student_from_scratch"]
    assert (models["distill"].teacher, models["distill"].student) == ("domain", models["student_from_scratch"])
    student = models["distill"].student
    assert (student.kind, student.embedding_size, student.num_blocks) == ("sasrec", 64, 1)
    assert student.text.vectors.encoder.kind == "hashing", "as the source reads"
    account = json.loads((run / "account.json").read_text(encoding="utf-8"))
    assert account["accounts"]["distill"]["distillation"]["lists"] > 50
    nobody = account["few_users"]["points"][0]["models"]
    assert nobody["distill"]["mean"] == nobody["student_from_scratch"]["mean"] == 0, "nobody to be taught about"
    assert nobody["domain"]["mean"] > 0


def test_who_teaches_and_who_is_taught(runs: Path) -> None:
    target = Experiment.model_validate(TARGET)

    def of(methods: list[str], **how: Any) -> Any:
        return moving(runs / "first", "towers", target, methods, **how).models["distill"]

    assert of(["finetune", "distill"]).teacher == "finetune"
    assert of(["finetune", "domain", "distill"]).teacher == "domain"
    two = of(["distill"], student="two_tower").student
    assert (two.kind, two.vectors.encoder.kind, two.embedding_size) == ("two_tower", "hashing", 64)
    assert of(["distill"]).student.kind == "sasrec", "another kind than the source's"
    small = of(["distill"], student="llm_sequential", base="small").student
    assert (small.kind, small.base.model, small.embedding_size) == ("llm_sequential", "small", 64)
    assert small.training == LlmSequentialConfig().training, "towers are trained otherwise"
    assert of(["distill"], student="llm_sequential").student.base == SmolLmConfig()
    of_sequence = taught("domain", SasrecConfig(), None, SmolLmConfig())
    assert of_sequence["student_from_scratch"].kind == "two_tower"
    with pytest.raises(ConfigError, match=r"there is no student 'ease'.*Choose from sasrec, two_tower, llm_seq"):
        of(["distill"], student="ease")


def test_a_small_language_model_is_taught(runs: Path, tiny: Path, tmp_path: Path) -> None:
    data = {"kind": "sample", "num_viewers": 20, "seed": 3}
    target = Experiment.model_validate({**TARGET, "data": data, "few_users": {"models": ["ease"], "shares": [0]}})
    how: Any = {"methods": ["finetune", "distill"], "student": "llm_sequential", "base": str(tiny)}
    run = adapt(runs / "first", target, tmp_path, **how)
    account = json.loads((run / "account.json").read_text(encoding="utf-8"))
    told = account["accounts"]["distill"]["distillation"]
    assert (told["teacher"], told["student"]) == ("finetune", "llm_sequential")
    assert told["lists"] > 50
    assert open_run(run, model="distill").recommend(n=3)["item_id"].n_unique() > 3


def test_a_target_without_events_is_told_what_answers_there(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n", encoding="utf-8")
    courses = sample_tables(SampleConfig(world="courses")).items
    assert courses is not None
    courses.select("item_id", "title", "description").write_csv(tmp_path / "items.csv")
    data = {"kind": "files", "interactions": tmp_path / "log.csv", "items": tmp_path / "items.csv"}
    target = Experiment.model_validate({**TARGET, "data": data})
    with pytest.raises(DataError, match=r"log\.csv: the log holds no event.*`genre\.adapt\.without_events\(SOURCE_RUN"):
        adapt(runs / "first", target, tmp_path, methods=["zero_shot"])
    assert not (tmp_path / "second").exists()
    engine = without_events(runs / "first", tmp_path / "items.csv")
    first = str(engine.data.items.vocabulary.ids[0])
    found = engine.recommend(histories=[[first]], n=5)["item_id"].to_list()
    assert len(set(found)) == 5
    assert first not in found
    other = without_events(runs / "first", tmp_path / "items.csv", model="towers", align=True)
    assert (
        other.recommend(histories=[[first]], n=5)["score"].to_list()
        != engine.recommend(histories=[[first]], n=5)["score"].to_list()
    )


def test_unlabelled_histories_teach_a_student_who_knows_nobody(runs: Path, tmp_path: Path) -> None:
    target = Experiment.model_validate({**TARGET, "few_users": {"models": ["ease"], "shares": [0]}})
    log = sample_tables(SampleConfig(num_viewers=80, seed=3)).interactions
    log.select("user_id", "item_id", "timestamp").head(300).write_csv(tmp_path / "visits.csv")
    with pytest.raises(ConfigError, match=r"adapt\.unlabelled: a teacher would be asked about .*visits\.csv"):
        adapt(runs / "first", target, tmp_path, methods=["domain"], unlabelled=tmp_path / "visits.csv")
    words = ["adapt", str(runs / "first"), "--to", str(tmp_path / "second.yaml"), "--runs", str(tmp_path)]
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(TARGET | {"few_users": {"models": ["ease"], "shares": [0]}}))
    words += ["--method", "distill", "--method", "zero_shot", "--unlabelled", str(tmp_path / "visits.csv")]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    account = json.loads((tmp_path / "second" / "account.json").read_text(encoding="utf-8"))
    assert account["accounts"]["distill"]["distillation"]["unlabelled"] > 5
    nobody = account["few_users"]["points"][0]["models"]
    assert nobody["distill"]["mean"] > 0 == nobody["student_from_scratch"]["mean"]


def test_a_language_model_reads_the_catalogue_first_where_enough_of_it_learns() -> None:
    for tuning, epochs, expected in (("lora", 0, 1), ("lora", 3, 3), ("frozen", 0, None)):
        source = LlmSequentialConfig.model_validate({"tuning": {"method": tuning}, "read_first": epochs})
        assert reading("domain", source).get("read_first") == expected
        assert reading("finetune", source) == {}
    assert reading("domain", TwoTowerConfig()) == {}


def test_settings_hold_for_all_that_is_moved_and_not_for_what_begins_anew(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Experiment] = []

    def run(experiment: Experiment, *_: Any, **__: Any) -> Path:
        made.append(experiment)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", run)
    words = ["adapt", str(runs / "first"), "--to", str(runs / "second.yaml"), "--method", "domain", "--method"]
    given = ["zero_shot", "--keep", "0.1", "--rehearse", "0", "--layers", "1", "--no-same-users"]
    CliRunner().invoke(app, [*words, *given])
    (experiment,) = made
    models: dict[str, Any] = dict(experiment.models)
    for name in ("domain", "zero_shot"):
        found = models[name]
        assert (found.keep, found.rehearse, found.layers, found.same_users) == (0.1, 0.0, 1, False)
    assert models["zero_shot"].learn == "nothing"
    assert models[SCRATCH].training.layers is None
    refused = CliRunner().invoke(app, [*words, "zero_shot", "--budget", "bits_per_byte=+1%"])
    assert "the model 'towers' is a 'two_tower', which writes nothing" in str(refused.exception)
    wrong = CliRunner().invoke(
        app, [*words[:1], str(runs / "first.yaml"), *words[2:], "zero_shot", "--budget", "wit=1"]
    )
    assert "wit" in str(wrong.exception)
    assert isinstance(wrong.exception, ConfigError)
    assert len(made) == 1, "the source is not run for what is wrong"


def test_another_method_is_refused(runs: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"there is no method 'wish'.*Choose from zero_shot, finetune, domain, prompt, distill"
    ):
        adapt(runs / "first", Experiment.model_validate(TARGET), runs, methods=["wish"])


def test_who_is_forgotten_is_in_no_model_of_the_run(runs: Path) -> None:
    moved = {"kind": "adapted", "source": runs / "first", "model": "towers", "learn": "nothing", "same_users": True}
    target = {**TARGET, "name": "known", "models": {"ease": {"kind": "ease"}, "moved": moved}, "few_users": None}
    run = pipeline.run(Experiment.model_validate(target), runs)
    before: Any = open_run(run, model="moved")
    held = before.model.holds(np.arange(before.data.num_users))
    name, other = before.data.users.vocabulary.ids.gather(np.flatnonzero(held)[:2])
    assert forget(run, [name, "nobody"]) == ["moved"]
    assert forget(run, [name]) == []
    after: Any = open_run(run, model="moved")
    assert after.model.holds(np.arange(before.data.num_users)).sum() == held.sum() - 1
    assert after.recommend([other]).equals(before.recommend([other]))
    verify(run)
