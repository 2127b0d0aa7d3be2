"""Spaces: what may be varied is found, what may not is explained before anything starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from genre.config import Experiment
from genre.config_file import digest_of, read_experiment
from genre.core.errors import ConfigError, DependencyError
from genre.recommenders.base import RecommenderConfig
from genre.recommenders.ease import EaseConfig
from genre.recommenders.fusion import FusionConfig
from genre.recommenders.sasrec import SasrecConfig
from genre.tuning import config as tuning
from genre.tuning.config import TuneConfig, changed, number_of

MODELS: dict[str, RecommenderConfig] = {
    "ease": EaseConfig(),
    "sasrec": SasrecConfig(),
    "fusion": FusionConfig(members=("ease",)),
}


def read(tmp_path: Path, space: dict[str, Any], **tune: Any) -> Experiment:
    models = {"ease": {"kind": "ease"}, "sasrec": {"kind": "sasrec"}, "fusion": {"kind": "fusion", "members": ["ease"]}}
    path = tmp_path / "films.yaml"
    settings = {"data": {"kind": "sample"}, "models": models, "tune": {"space": space, **tune}}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return read_experiment(path)


GOOD = {
    "models.ease.regularization": {"low": 1, "high": 1000, "log": True},
    "models.sasrec.training.batch_size": {"low": 32, "high": 256, "step": 32},
    "models.sasrec.training.patience": {"choices": [5, None]},
    "models.sasrec.time_aware": {"choices": [True, False]},
}


def test_a_space_is_read(tmp_path: Path) -> None:
    tune = read(tmp_path, GOOD).tune
    assert tune is not None
    assert tune.space["models.ease.regularization"].bounds == (1, 1000)
    assert tune.space["models.sasrec.training.patience"].choices == (5, None)


def test_the_type_of_a_setting_decides_whether_numbers_are_whole() -> None:
    assert number_of(MODELS["ease"], ("regularization",)) is float
    assert number_of(MODELS["sasrec"], ("training", "patience")) is int
    assert number_of(MODELS["sasrec"], ("time_aware",)) is None
    assert number_of(MODELS["sasrec"], ("loss",)) is None


def test_settings_are_changed_together_and_others_stay() -> None:
    models = changed(
        MODELS, {"models.sasrec.embedding_size": 12, "models.sasrec.num_heads": 3, "models.ease.regularization": 7.0}
    )
    assert models["sasrec"] == SasrecConfig(embedding_size=12, num_heads=3)
    assert models["ease"] == EaseConfig(regularization=7)
    assert models["fusion"] is MODELS["fusion"]


LOG = {"low": 1, "high": 9, "log": True}


@pytest.mark.parametrize(
    ("path", "vary", "message"),
    [
        ("models.ease.regularisation", LOG, "there is no setting 'regularisation'; choose from ['history_decay', 'reg"),
        ("models.als.factors", LOG, "there is no model 'als'; choose from ['ease', 'fusion', 'popularity', 'sasrec']"),
        ("split.kind", {"choices": ["ratio", "temporal"]}, "only settings of models can be varied: write models.NAME"),
        ("models.ease", LOG, "only settings of models can be varied"),
        ("models.ease.kind", {"choices": ["ease", "als"]}, "there is no setting 'kind'"),
        (
            "models.sasrec.text.hidden",
            LOG,
            "models.sasrec.text is None, which has no parts: write it out under `models`",
        ),
        ("models.sasrec.loss", LOG, "the setting is no number: list what to try as `choices`"),
        ("models.ease.regularization", {"low": 5, "high": 2}, "`low` 5 is not below `high` 2: exchange them"),
        ("models.ease.regularization", {"low": 0, "high": 2, "log": True}, "`low` 0 has no logarithm"),
        ("models.ease.regularization", {**LOG, "step": 2}, "`log` and `step` 2 exclude each other"),
        ("models.ease.regularization", {"low": 1, "high": 10, "step": 4}, "`high` 10 cannot be reached from `low` 1"),
        ("models.ease.regularization", {"low": 1}, "say what to try: `choices: [64, 128]`, or both `low` and `high`"),
        ("models.ease.regularization", {"choices": [1, 2], "low": 1}, "`choices` stand alone"),
    ],
)
def test_a_wrong_space_names_place_value_and_remedy(
    tmp_path: Path, path: str, vary: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"films\.yaml.*: tune\.space\.{re.escape(path)}: .*{re.escape(message)}"):
        read(tmp_path, {path: vary})


@pytest.mark.parametrize(
    ("path", "vary", "message"),
    [
        ("models.ease.regularization", {"low": -3, "high": 2}, "low = -3.0: input should be greater than 0"),
        ("models.sasrec.dropout", {"low": 0.1, "high": 1}, "high = 1.0: input should be less than 1"),
        ("models.sasrec.embedding_size", {"low": 8.5, "high": 16}, "low = 8.5: the setting is a whole number"),
        ("models.sasrec.loss", {"choices": ["full", "half"]}, "choices.1 = 'half': input should be 'full'"),
    ],
)
def test_a_bound_that_a_setting_cannot_have_is_found_before_work_starts(
    tmp_path: Path, path: str, vary: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"films\.yaml: tune\.space\.{re.escape(f'{path}.{message}')}"):
        read(tmp_path, {path: vary})


def test_what_need_not_go_together_with_the_other_settings_of_now_is_left_to_the_trials(tmp_path: Path) -> None:
    space = {"models.sasrec.num_heads": {"choices": [1, 3]}, "models.sasrec.embedding_size": {"choices": [96, 128]}}
    assert read(tmp_path, space).tune is not None


def test_the_objective_must_be_measured_and_the_model_must_be_reached(tmp_path: Path) -> None:
    ease = {"models.ease.regularization": LOG}
    assert read(tmp_path, ease, model="fusion", objective="Recall@20").tune is not None
    with pytest.raises(ConfigError, match=r"tune\.objective is 'NDCG@7', which is not measured"):
        read(tmp_path, ease, objective="NDCG@7")
    with pytest.raises(ConfigError, match=r"tune\.model: there is no model 'als'; choose 'best' or from \['ease'"):
        read(tmp_path, ease, model="als")
    with pytest.raises(ConfigError, match=r"regularization: changes nothing of 'sasrec'.*leave one of the two out"):
        read(tmp_path, ease, model="sasrec")


def test_a_run_takes_no_notice_of_a_search(tmp_path: Path) -> None:
    experiment = read(tmp_path, GOOD)
    assert digest_of(experiment) == digest_of(experiment.model_copy(update={"tune": None}))


def test_without_optuna_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"tune: needs the library 'optuna'.*pip install 'genre-rec\[tune\]'"):
        TuneConfig.model_validate({"space": {"models.ease.regularization": LOG}}).check_installed()
