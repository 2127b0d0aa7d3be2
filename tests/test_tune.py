"""A whole search, small: the best config reproduces its value, it goes on, and no test question is ever looked at."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from genre import pipeline, stages, tune
from genre.cli import app
from genre.config import Experiment
from genre.config_file import read_experiment
from genre.core.errors import ConfigError
from genre.core.ragged import Ragged
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.evaluation import judge
from genre.evaluation.results import Results
from genre.recommenders.ease import Ease, EaseConfig
from genre.recommenders.fusion import Fusion
from genre.recommenders.item_knn import ItemKnn
from genre.tuning import study
from genre.tuning.trials import Found, Outcome

pytestmark = pytest.mark.usefixtures("undrawn")

SETTINGS: dict[str, Any] = {
    "name": "small",
    "data": {"kind": "sample", "num_viewers": 90},
    "feedback": {"like_at": 3},
    "models": {
        "ease": {"kind": "ease"},
        "item_knn": {"kind": "item_knn"},
        "fusion": {"kind": "fusion", "members": ["ease", "item_knn"]},
    },
    "tune": {"space": {"models.item_knn.k": {"low": 2, "high": 60}}, "trials": 4},
    "evaluation": {"bootstrap": 20},
}
SPACE = {"models.ease.regularization": {"low": 1, "high": 1000, "log": True}}


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate({**SETTINGS, **changes})


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tune.Tuned:
    return tune.tune(experiment(), tmp_path_factory.mktemp("runs"))


def test_a_search_leaves_the_best_config_all_trials_and_a_plot(tuned: tune.Tuned) -> None:
    assert tuned.directory.name == "small-tune"
    assert {"best.yaml", "trials.csv", "history.png"} < {path.name for path in tuned.directory.iterdir()}
    table = pl.read_csv(tuned.directory / "trials.csv")
    assert len(table) == len(tuned.found) == 4
    assert table["NDCG@10"].to_list() == sorted((one.value for one in tuned.found if one.value), reverse=True)
    assert table["trial"][0] == tuned.best.number


def test_running_the_best_config_reproduces_its_value(tuned: tune.Tuned) -> None:
    best = read_experiment(tuned.config)
    assert best.name == "small-best"
    assert best.tune is None
    run = pipeline.run(best, tuned.directory.parent)
    model = str(tuned.best.model)
    value = Results.load(run).models[model].validation["NDCG@10"].mean
    assert value == pytest.approx(tuned.best.value, abs=1e-9)
    compared = [Results.load(run).models[name].validation["NDCG@10"].mean for name in ("item_knn", "fusion")]
    assert value == max(compared), "of the models that the space changes, the best one counts"


def test_the_same_search_goes_on_and_another_one_begins_anew(tuned: tune.Tuned, tmp_path: Path) -> None:
    told: list[int] = []

    def tell(found: Found, *_: Any) -> None:
        told.append(found.number)

    for trials in (2, None):
        tune.tune(experiment(), tmp_path, trials=trials, told=tell)
    assert told == [0, 1, 2, 3]
    assert (tmp_path / "small-tune" / "best.yaml").read_bytes() == tuned.config.read_bytes()
    assert tune.tune(experiment(), tmp_path, told=tell).best == replace(
        tuned.best, seconds=tune.tune(experiment(), tmp_path).best.seconds
    )
    assert told == [0, 1, 2, 3], "all is done"
    tune.tune(experiment(tune={**SETTINGS["tune"], "objective": "Recall@20"}), tmp_path, trials=1, told=tell)
    assert told == [0, 1, 2, 3, 0]


def test_no_test_question_is_looked_at(tuned: tune.Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    whole = stages.prepare(experiment())

    def prepare_other(_: Experiment) -> stages.Prepared:
        """Return the same data, with other answers to the test questions."""
        part = whole.splits[0]
        other = Ragged(part.test.targets.offsets, (part.test.targets.values + 7) % whole.data.num_items)
        return replace(whole, splits=(replace(part, test=replace(part.test, targets=other)),))

    def fit(self: ItemKnn, data: Dataset, run: RunContext, original: Any = ItemKnn.fit) -> ItemKnn:
        assert data.num_events == whole.splits[0].train.num_events
        asked.append(data.num_events)
        return original(self, data, run)  # type: ignore[no-any-return]

    monkeypatch.setattr(tune, "prepare", prepare_other)
    monkeypatch.setattr(ItemKnn, "fit", fit)
    monkeypatch.setattr(judge.Judge, "of", lambda *_, **__: pytest.fail("a judge of test events was made"))
    again = tune.tune(experiment(), tmp_path)
    assert len(asked) == 4
    assert [(one.settings, one.value) for one in again.found] == [(one.settings, one.value) for one in tuned.found]


def test_the_bench_has_no_test_questions(tmp_path: Path) -> None:
    config = experiment().tune
    assert config is not None
    bench = tune.Bench(experiment(), config, tune.Stages(tmp_path / "study", tmp_path), tune.Silent())
    assert [len(part.test) for part in bench.data.splits] == [0]
    assert len(bench.task.holdout) == len(bench.data.splits[0].validation) > 0


def test_a_member_that_does_not_change_is_fitted_once_for_all_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[str] = []
    for kind in (Ease, ItemKnn, Fusion):

        def fit(self: Any, data: Dataset, run: RunContext, original: Any = kind.fit) -> Any:
            fits.append(self.config.kind)
            return original(self, data, run)

        monkeypatch.setattr(kind, "fit", fit)
    config = experiment(tune={**SETTINGS["tune"], "model": "fusion"})
    tune.tune(config, tmp_path, trials=2)
    tune.tune(config, tmp_path, trials=3)
    assert fits.count("ease") == 1
    assert fits.count("item_knn") == 3
    assert fits.count("fusion") == 3 * 3, "composite models rehearse twice"


def test_an_interrupted_search_keeps_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, left = ItemKnn.fit, [1, 1]

    def fit(self: ItemKnn, data: Dataset, run: RunContext) -> ItemKnn:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return original(self, data, run)

    with monkeypatch.context() as patch:
        patch.setattr(ItemKnn, "fit", fit)
        stopped = tune.tune(experiment(), tmp_path)
    assert stopped.interrupted
    assert [one.number for one in stopped.found] == [0, 1]
    done = tune.tune(experiment(), tmp_path)
    assert [one.number for one in done.found] == [0, 1, 3, 4], "the third was not finished, and another took its place"
    assert not done.interrupted


def test_interrupted_before_anything_was_found_it_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ItemKnn, "fit", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        tune.tune(experiment(), tmp_path)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


class Small:
    """Wants few neighbours."""

    name = "neighbours"

    def excess(self, outcome: Outcome) -> float:
        assert outcome.model in outcome.models
        return float(outcome.models["item_knn"].config.k - 30)  # type: ignore[attr-defined]


def test_a_trial_over_a_constraint_is_never_the_best(tuned: tune.Tuned, tmp_path: Path) -> None:
    small = tune.tune(experiment(), tmp_path, constraints=[Small()])
    over = [one.number for one in small.found if not one.feasible]
    assert over == [one.number for one in tuned.found if one.settings["models.item_knn.k"] > 30]
    assert small.best.settings["models.item_knn.k"] <= 30
    assert all(re.match(r"neighbours is over by \d+", small.found[number].note) for number in over)


def test_settings_that_cannot_be_are_given_up_and_the_search_goes_on(tmp_path: Path) -> None:
    space = {"models.fusion.members": {"choices": [["ease"], ["nothing"]]}}
    found = tune.tune(experiment(tune={"space": space, "trials": 6}), tmp_path).found
    wrong = [one for one in found if one.settings["models.fusion.members"] == ["nothing"]]
    assert 0 < len(wrong) < 6
    assert all("there is no model 'nothing'" in one.note for one in wrong)


def test_without_any_value_the_reason_is_named(tmp_path: Path) -> None:
    config = experiment(tune={"space": SPACE, "trials": 2, "model": "ease"}, memory_gib=0.0002)
    with pytest.raises(ConfigError, match=r"tune\.space: none of 2 trials gave a value.*trial 0: ease needs about"):
        tune.tune(config, tmp_path)


def test_what_cannot_be_tuned_is_refused_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tune: the experiment says nothing of a search\. Add a section"):
        tune.tune(experiment(tune=None), tmp_path)
    with pytest.raises(ConfigError, match=r"split\.kind: with 'k_fold', the validation events of one fold are test"):
        tune.tune(experiment(split={"kind": "k_fold"}), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a training be given up at the first look, once another one is done."""
    monkeypatch.setattr(study, "_COMPARED", 1)
    monkeypatch.setattr(study, "_WARM_UP", 0)
    return


@pytest.mark.usefixtures("impatient")
def test_a_hopeless_training_is_given_up(tmp_path: Path) -> None:
    training = {"epochs": 3, "batch_size": 64}
    models = {"sasrec": {"kind": "sasrec", "embedding_size": 8, "length": 10, "training": training}}
    space = {"models.sasrec.training.learning_rate": {"choices": [0.02, 1e-7]}}
    found = tune.tune(experiment(models=models, tune={"space": space, "trials": 8, "seed": 1}), tmp_path).found
    slow = [one for one in found if one.settings["models.sasrec.training.learning_rate"] == 1e-7]
    assert any(re.match(r"given up after \d looks at 0\.\d+", one.note) for one in slow)


def test_members_do_not_tell_how_they_are_getting_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[bool] = []

    class Told(Ease):
        def fit(self, data: Dataset, run: RunContext) -> Self:
            watched.append(run.watch is not None)
            return super().fit(data, run)

    monkeypatch.setattr(EaseConfig, "build", lambda config, _: Told(config))
    for model in ("ease", "fusion"):
        tune.tune(experiment(tune={"space": SPACE, "trials": 1, "model": model}), tmp_path)
    assert watched == [True, False]


@pytest.mark.slow
def test_two_processes_share_a_search_from_the_shell(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(yaml.safe_dump({**SETTINGS, "tune": {"space": SPACE, "model": "ease"}}), encoding="utf-8")
    code = "from genre.cli import main; main()"
    command = [sys.executable, "-c", code, "tune", str(config), "--trials", "10", "--runs", str(tmp_path / "runs")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    numbers = sorted(int(number) for output in outputs for number in re.findall(r"^trial (\d+):", output, re.MULTILINE))
    assert numbers in (list(range(10)), list(range(11)))
    assert "best.yaml" in outputs[0]


def test_the_command_tells_the_best_so_far_and_what_to_do_next(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    command = ["tune", str(config), "--runs", str(tmp_path / "runs"), "--trials", "12", "--minutes", "10"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert re.search(r"^trial 11: NDCG@10 0\.\d+; best 0\.\d+ \(trial \d+\); \d+\.\d s$", result.output, re.MULTILINE)
    assert "The best of 12 trials" in result.output
    assert re.search(r"models\.item_knn\.k │\s+1\n", result.output), "the only setting has all importance"
    assert f"Next: genre run {tmp_path / 'runs' / 'small-tune' / 'best.yaml'}" in result.output
