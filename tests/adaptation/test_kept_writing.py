"""A search with a budget for writing: what writes too badly is never the best, however well it recommends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genre.adaptation.kept_writing import KeptWriting
from genre.config import Experiment
from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.evaluation.writing import Budget, WritingConfig
from genre.recommenders.ease import EaseConfig
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.tune import tune
from genre.tuning.trials import Outcome
from tests.adaptation.test_guard import WRITING, config, world
from tests.language.models import write_tiny

SETTINGS = WritingConfig.model_validate(WRITING)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory, context=512)
    return directory


def language_model(base: Path, **changes: Any) -> LlmSequentialConfig:
    return LlmSequentialConfig.model_validate(config(base).model.model_dump() | changes)


@pytest.mark.slow
def test_the_excess_is_of_the_worst_language_model(base: Path) -> None:
    data, asked = world()
    settings = {"frozen": language_model(base, tuning={"method": "frozen"}), "tuned": language_model(base)}
    budget = Budget.of({"bits_per_byte": "+0.0001%"})
    kept = KeptWriting(budget, SETTINGS, [*settings.values(), EaseConfig()], ["a text"], RunContext())
    run = RunContext(validation=asked)
    models = {name: one.build({}).fit(data, run) for name, one in settings.items()}
    models["ease"] = EaseConfig().build({}).fit(data, run)

    def excess(*names: str) -> float:
        return kept.excess(Outcome(names[-1], 0.0, {name: models[name] for name in names}, 0.0, 0))

    assert excess("ease") == 0
    assert excess("frozen") <= 0
    assert excess("tuned") > 1
    assert excess("frozen", "tuned", "ease") == excess("tuned")


def test_a_budget_without_a_language_model_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no model that the search fits is a language model"):
        KeptWriting(Budget.of({"bits_per_byte": "+1%"}), SETTINGS, [EaseConfig()], [], RunContext())


def test_a_limit_of_what_is_not_measured_is_told_before_the_first_trial(base: Path) -> None:
    with pytest.raises(ConfigError, match="was not measured"):
        KeptWriting(Budget.of({"lm_eval@piqa": -0.1}), SETTINGS, [language_model(base)], [], RunContext())


@pytest.mark.slow
def test_a_search_keeps_to_the_budget(base: Path, tmp_path: Path) -> None:
    model = language_model(base).model_dump(mode="json")
    model["training"] |= {"epochs": 2, "warm_up_steps": 0}
    settings = {
        "name": "budget",
        "data": {"kind": "sample", "num_viewers": 60},
        "feedback": {"like_at": 3},
        "models": {"llm": model},
        "tune": {
            "space": {"models.llm.training.learning_rate": {"choices": [1e-9, 0.05]}},
            "trials": 4,
            "budget": {"kl": 1e-6},
            "writing": WRITING,
        },
    }
    found = tune(Experiment.model_validate(settings), tmp_path)
    rates = {one.settings["models.llm.training.learning_rate"]: one for one in found.found}
    assert rates[1e-9].feasible
    assert not rates[0.05].feasible
    assert "writing is over by" in rates[0.05].note
    assert found.best.settings["models.llm.training.learning_rate"] == 1e-9
