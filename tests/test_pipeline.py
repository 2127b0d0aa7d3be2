"""A whole run, small: what it leaves behind, that it resumes, and that what is saved answers as it did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import polars as pl
import pytest
import yaml

from genre import pipeline, stages
from genre.config import Experiment
from genre.core.errors import ArtifactError, ConfigError, DataError
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.evaluation.results import Results
from genre.recommenders.base import Estimate, Similar
from genre.recommenders.ease import Ease, EaseConfig
from genre.recommenders.fusion import Fusion, FusionConfig
from genre.recommenders.popularity import PopularityConfig
from genre.runs import open_run
from genre.training.config import CHECKPOINT_FILE
from genre.workspace import read_manifest

pytestmark = pytest.mark.usefixtures("undrawn")

T = TypeVar("T")

SETTINGS: dict[str, Any] = {
    "name": "small",
    "data": {"kind": "sample", "num_viewers": 60},
    "feedback": {"like_at": 3},
    "split": {"kind": "leave_one_out", "cold_items": 0.02},
    "models": {
        "ease": {"kind": "ease", "regularization": 50},
        "item_knn": {"kind": "item_knn"},
        "fusion": {"kind": "fusion", "members": ["ease", "popularity"]},
    },
    "answer": {"strategies": [{"kind": "hide_seen"}, {"kind": "cap", "column": "director", "most": 1}], "examples": 3},
    "evaluation": {"bootstrap": 50},
}


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate({**SETTINGS, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipeline.run(experiment(), tmp_path_factory.mktemp("runs"))


def test_a_run_leaves_everything_behind(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "account.json", "config.yaml", "content.jsonl", "data", "manifest.json", "metrics.json", "models",
        "per_query.npz", "recommendations.parquet", "report.html",
    }  # fmt: skip
    assert {path.name for path in (finished / "models").iterdir()} == {"ease", "item_knn", "fusion", "popularity"}
    assert [path.name for path in finished.parent.iterdir()] == ["small"]


def test_on_courses_models_that_learn_are_well_above_what_is_popular(tmp_path: Path) -> None:
    models = {
        "popularity": {"kind": "popularity"},
        "item_knn": {"kind": "item_knn"},
        "ease": {"kind": "ease", "regularization": 50},
        "content": {"kind": "behaviour_content", "steps": 100},
    }
    data = {"kind": "sample", "world": "courses"}
    cap = {"kind": "cap", "column": "subjects", "most": 1}
    directory = pipeline.run(experiment(data=data, models=models, answer={"strategies": [cap]}), tmp_path)
    found = {name: model.test["NDCG@10"].mean for name, model in Results.load(directory).models.items()}
    learned = min(value for name, value in found.items() if name != "popularity")
    assert learned > 1.5 * found["popularity"]
    report = (directory / "report.html").read_text(encoding="utf-8")
    assert "the courses are invented, the learners are simulated" in report


def test_the_config_of_a_run_is_whole_and_reads_back(finished: Path) -> None:
    settings = yaml.safe_load((finished / "config.yaml").read_text(encoding="utf-8"))
    assert Experiment.model_validate(settings) == experiment()
    assert settings["evaluation"]["primary"] == "NDCG@10"


def test_the_best_model_on_validation_is_chosen(finished: Path) -> None:
    manifest, results = read_manifest(finished), Results.load(finished)
    values = {name: model.validation["NDCG@10"].mean for name, model in results.models.items()}
    assert values[manifest["chosen"]] == max(values.values())
    assert manifest["ranking"] == sorted(values, key=lambda name: -values[name])


def test_everybody_is_answered_within_the_rules(finished: Path) -> None:
    answers = pl.read_parquet(finished / "recommendations.parquet")
    engine = open_run(finished)
    assert answers["user_id"].n_unique() == engine.data.num_users
    assert answers.group_by("user_id").len()["len"].min() == 10
    directors = dict(zip(engine.data.items.vocabulary.ids, engine.data.items.frame["director"], strict=True))
    for user in answers["user_id"].unique().sort()[:10]:
        shown = answers.filter(pl.col("user_id") == user)["item_id"]
        names = [name for item in shown for name in directors[item]]
        assert len(names) == len(set(names))


def test_the_opened_run_answers_as_the_run_did(finished: Path) -> None:
    answers = pl.read_parquet(finished / "recommendations.parquet")
    again = open_run(finished).recommend(n=10)
    assert again.equals(answers)


def test_examples_carry_reasons_and_evidence(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "content.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len({line["user_id"] for line in lines}) == 3
    assert all(line["reason"].endswith(".") and "liked_by" in line["evidence"] for line in lines)


def test_a_run_writes_the_texts_that_are_wanted(tmp_path: Path) -> None:
    wanted = {"kinds": ["title", "synopsis"], "users": 3, "n": 2, "scenario": "video", "references": "title"}
    run = pipeline.run(experiment(name="texts", write=wanted), tmp_path)
    lines = [json.loads(line) for line in (run / "content.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [line for line in lines if line["kind"] != "example"]
    assert [line["kind"] for line in texts] == ["title", "synopsis"] * 6
    assert len({line["user_id"] for line in texts}) == 3
    assert all(line["text"] and line["provenance"]["facts"] for line in texts)
    assert [line["reference"] for line in texts] == [line["title"] for line in texts]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "What was written" in page
    assert "ROUGE-L" in page


@pytest.mark.slow
def test_a_run_measures_its_texts(tmp_path: Path) -> None:
    hashing = {"kind": "hashing", "size": 256}
    wanted = {
        "kinds": ["ad", "reason"], "users": 4, "n": 2, "scenario": "video", "candidates": 1, "draws": 1,
        "generator": {"kind": "fake", "answers": ["Because it is good.", "A film."]},
        "personal": {"encoder": hashing, "people": 12, "items": 1},
        "judge": {"generator": {"kind": "fake", "answers": ['{"better": "A"}']}},
        "least_told": 0,
    }  # fmt: skip
    run = pipeline.run(experiment(name="measured", write=wanted), tmp_path)
    told = json.loads((run / "account.json").read_text(encoding="utf-8"))["texts"]
    assert told["reasons"]["reasons"] == 8
    assert 0 <= told["reasons"]["share"]["mean"] <= 1
    assert set(told["personal"]) == {"ad", "reason"}
    assert (told["personal"]["ad"]["texts"], told["personal"]["ad"]["people"]) == (12, 12)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Texts against chance" in page
    assert "name an event of the history" in page


@pytest.mark.slow
def test_profiles_and_paths_are_not_judged_by_the_facts_of_an_item(tmp_path: Path) -> None:
    wanted = {
        "kinds": ["profile", "path", "title"], "users": 4, "n": 3, "scenario": "video", "candidates": 1, "draws": 1,
        "generator": {"kind": "fake", "answers": ["You like drama."]}, "least_told": 0,
        "personal": {"encoder": {"kind": "hashing", "size": 256}, "people": 10, "items": 1},
        "judge": {"generator": {"kind": "fake", "answers": ['{"better": "A"}']}},
    }  # fmt: skip
    run = pipeline.run(experiment(name="about", write=wanted), tmp_path)
    told = json.loads((run / "account.json").read_text(encoding="utf-8"))["texts"]
    assert (set(told["personal"]), set(told["judge"])) == ({"title"}, {"title"})


def test_who_weighs_texts_does_not_measure_them() -> None:
    with pytest.raises(ValueError, match=r"`personal\.encoder` is the `encoder` that texts are chosen with"):
        experiment(write={"personal": {"encoder": {"kind": "hashing"}}})
    with pytest.raises(ValueError, match="there is no `generator`"):
        experiment(write={"judge": {"generator": {"kind": "fake"}}})


def test_a_run_writes_about_people_and_about_several_items(tmp_path: Path) -> None:
    wanted = {"kinds": ["profile", "path", "translation"], "users": 2, "n": 2, "scenario": "video", "language": "zh"}
    run = pipeline.run(experiment(name="kinds", write={**wanted, "references": "title"}), tmp_path)
    texts = [json.loads(line) for line in (run / "content.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [line for line in texts if line["kind"] != "example"]
    assert [line["kind"] for line in texts] == ["profile", "path", "translation", "translation"] * 2
    assert [line["reference"] is None for line in texts] == [True, True, False, False] * 2
    assert "None" not in (run / "report.html").read_text(encoding="utf-8").partition("<h2>Texts</h2>")[2]


def test_references_that_are_not_there_are_found_before_anything_is_fitted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no references in 'tagline'.*\n?.*title"):
        pipeline.run(experiment(name="none", write={"references": "tagline"}), tmp_path)


def test_a_kind_that_is_not_there_is_found_before_work_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "prepare", lambda _: pytest.fail("work was begun"))
    with pytest.raises(ConfigError, match="no kind of text 'poem'"):
        pipeline.run(experiment(write={"kinds": ["poem"]}), tmp_path)
    with pytest.raises(ConfigError, match="'answer' answers a question"):
        pipeline.run(experiment(write={"kinds": ["answer"]}), tmp_path)


def test_a_finished_run_is_not_run_again(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "prepare", lambda _: pytest.fail("the data was prepared again"))
    assert pipeline.run(experiment(), finished.parent) == finished
    with pytest.raises(ConfigError, match=r"a finished run of another config.*--force"):
        pipeline.run(experiment(seeds=[5]), finished.parent)


def test_an_interrupted_run_goes_on_and_ends_the_same(finished: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ease, "fit", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipeline.run(experiment(models={"item_knn": {"kind": "item_knn"}, **SETTINGS["models"]}), tmp_path)
    assert not (tmp_path / "small").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "prepare", lambda _: pytest.fail("the data was prepared again"))
        directory = pipeline.run(experiment(models={"item_knn": {"kind": "item_knn"}, **SETTINGS["models"]}), tmp_path)
    answers = pl.read_parquet(directory / "recommendations.parquet")
    assert answers.equals(pl.read_parquet(finished / "recommendations.parquet"))


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_seeds_and_folds_are_summed_up_and_only_the_first_models_kept(tmp_path: Path) -> None:
    several = experiment(
        seeds=[1, 2],
        split={"kind": "k_fold", "folds": 3},
        models={"ease": {"kind": "ease", "regularization": 50}},
    )
    directory = pipeline.run(several, tmp_path)
    results = Results.load(directory)
    assert results.models["ease"].seeds["NDCG@10"].low <= results.models["ease"].test["NDCG@10"].mean
    assert not (directory / "trials").exists()
    users = sum(len(part.test) for part in stages.Prepared.load(directory / "data").splits)
    assert len(results.per_query["ease"]) == users


def test_a_model_that_does_not_fit_is_skipped_with_the_figure() -> None:
    plan = stages.make_plan(experiment(memory_gib=0.0002), stages.prepare(experiment()).data)
    skipped = {planned.name: planned.skipped for planned in plan}
    assert skipped["popularity"] is None
    assert skipped["ease"] is not None
    assert "MiB may be used" in skipped["ease"]
    assert {planned.name for planned in plan if not planned.fitted} >= {"ease", "fusion"}


def test_a_composite_model_does_without_a_skipped_member(tmp_path: Path) -> None:
    models = {"large": {"kind": "ease"}, "fusion": {"kind": "fusion", "members": ["large", "popularity", "item_knn"]}}
    small = experiment(models={**models, "item_knn": {"kind": "item_knn"}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EaseConfig, "estimate", lambda *_: Estimate(memory=2**60, seconds=1.0))
        directory = pipeline.run(small, tmp_path)
    assert read_manifest(directory)["skipped"]["fusion"] == "does without the skipped large"
    assert not (directory / "models" / "large").exists()
    assert len(open_run(directory, model="fusion").recommend(n=3)) > 0


def test_what_an_interrupted_run_has_fitted_stays_in_the_plan() -> None:
    small = experiment(memory_gib=0.0002)
    plan = stages.make_plan(small, stages.prepare(small).data, done={"ease"})
    assert [planned.fitted for planned in plan if planned.name == "ease"] == [True]


def test_the_model_that_shall_answer_must_fit() -> None:
    named = experiment(memory_gib=0.0002, answer={"model": "ease"})
    with pytest.raises(ConfigError, match=r"'ease' shall answer and cannot be fitted: it needs about 0\.\d+ MiB"):
        pipeline.dry_run(named)


def test_a_model_of_ones_own_runs_from_python(tmp_path: Path) -> None:
    class OwnConfig(PopularityConfig):
        kind: str = "own"  # type: ignore[assignment]

    own = experiment(models={"own": OwnConfig(half_life_days=3)})
    directory = pipeline.run(own, tmp_path)
    assert (directory / "report.html").exists()
    assert len(open_run(directory, model="own", experiment=own).recommend("viewer-0001", n=3)) == 3


def test_hashed_users_are_found_under_their_own_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRE_PRIVACY_KEY", "a key that is long enough to be used as one")
    hashed = experiment(privacy={"hash_users": True}, models={"item_knn": {"kind": "item_knn"}})
    directory = pipeline.run(hashed, tmp_path)
    engine = open_run(directory)
    assert "viewer-0003" not in engine.data.users.vocabulary.ids
    assert set(engine.recommend("viewer-0003", n=3)["source"]) == {"personal"}
    monkeypatch.delenv("GENRE_PRIVACY_KEY")
    assert set(open_run(directory).recommend("viewer-0003", n=3)["source"]) == {"popular"}


def test_a_composite_model_is_not_chosen_by_the_questions_it_learned_from(tmp_path: Path) -> None:
    asked: list[set[int]] = []

    class Nosy(Fusion):
        def fit(self, data: Dataset, run: RunContext) -> Self:
            assert run.validation is not None
            asked.append(set(run.validation.queries.user_rows))
            return super().fit(data, run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FusionConfig, "build", lambda config, members: Nosy(config, members))
        directory = pipeline.run(experiment(data={"kind": "sample", "num_viewers": 90}), tmp_path)
    whole, first, second = asked
    assert first.isdisjoint(second)
    assert first | second == whole
    results = Results.load(directory)
    alone = max(results.models[name].validation["NDCG@10"].mean for name in ("ease", "popularity"))
    assert results.models["fusion"].validation["NDCG@10"].mean != pytest.approx(alone)


def test_nothing_that_fits_is_an_error_before_work_starts() -> None:
    with pytest.raises(
        ConfigError, match=r"models: no model can be fitted: ease needs about .* MiB.*raise `memory_gib`"
    ):
        pipeline.dry_run(experiment(memory_gib=1e-9))


def test_a_run_can_be_judged_again_with_other_settings(finished: Path) -> None:
    results = pipeline.evaluate_again(finished, ["ks=[3,10]"])
    assert "NDCG@3" in results.models["ease"].test
    before = Results.load(finished).models["ease"].test["NDCG@10"].mean
    assert results.models["ease"].test["NDCG@10"].mean == pytest.approx(before)


def test_other_models_of_a_run_can_answer(finished: Path) -> None:
    assert open_run(finished, model="popularity").recommend(n=1)["source"].unique().to_list() == ["popular"]
    assert len(open_run(finished, able=Similar).similar("spirited-away-2001", n=3)) == 3
    with pytest.raises(ConfigError, match=r"the run has no model 'als'\. Choose from \["):
        open_run(finished, model="als")


def test_a_damaged_model_is_refused(finished: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    state = copy / "models" / "popularity" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match=r"state\.safetensors: the file is not what the run wrote"):
        open_run(copy, model="popularity")


def test_a_missing_file_is_named_before_work_starts(tmp_path: Path) -> None:
    settings = {**SETTINGS, "data": {"kind": "files", "interactions": str(tmp_path / "none.csv")}}
    with pytest.raises(DataError, match=r"none\.csv: `data\.interactions` names a file that is not there"):
        pipeline.run(Experiment.model_validate(settings), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_left_after_cleaning_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"interactions: .*Loosen `clean`"):
        pipeline.run(experiment(feedback={"like_at": 99}), tmp_path)


class InterruptTraining:
    """A progress that stops the work in the middle of a training."""

    def __init__(self, after: int) -> None:
        self.left = after

    def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        for step in steps:
            if "train" in description:
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt
            yield step


@pytest.mark.slow
def test_a_run_that_is_stopped_while_training_goes_on_and_ends_alike(tmp_path: Path) -> None:
    training = {"epochs": 4, "batch_size": 64, "checkpoint_seconds": 0}
    models = {
        "sasrec": {"kind": "sasrec", "embedding_size": 8, "length": 10, "training": training},
        "both": {"kind": "ensemble", "members": ["sasrec"], "num_seeds": 2},
    }
    small = experiment(models=models)
    whole = pipeline.run(small, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(small, tmp_path / "stopped", progress=InterruptTraining(7))
    logs = tmp_path / "stopped" / ".small.partial" / "logs"
    assert (logs / "sasrec" / CHECKPOINT_FILE).exists()
    done = pipeline.run(small, tmp_path / "stopped")
    assert not list(done.rglob(CHECKPOINT_FILE))
    assert list((done / "logs" / "sasrec").rglob("events.out.*"))
    for model in ("sasrec", "both"):
        state = f"models/{model}/state.safetensors"
        assert (whole / state).read_bytes() == (done / state).read_bytes()
    assert (
        Results.load(whole).models["both"].test["NDCG@10"].mean
        == Results.load(done).models["both"].test["NDCG@10"].mean
    )
    assert open_run(done, model="both").recommend(n=3).height > 0
