"""A tiny language model reads a catalogue before it learns anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from genre.core.run import RunContext
from genre.language.scoring import evaluating
from genre.recommenders.learning_language import LearningLanguage
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.training.answers import Answer, surprise
from tests.language.models import write_tiny

TEXTS = [f"volume {number} of the saga" for number in range(24)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return directory


def config(base: Path, **settings: Any) -> LlmSequentialConfig:
    training = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "tracker": "none", "precision": "fp32"}
    given = {"base": {"kind": "local", "model": str(base)}, "training": training}
    return LlmSequentialConfig.model_validate({**given, **settings})


def bits(language: LearningLanguage) -> float:
    """Return what it needs for the texts."""
    answers = [Answer.alone(language.loaded, text) for text in TEXTS]
    with evaluating(language.tuned.language):
        return float(surprise(language.tuned.language, answers, torch.device("cpu")).sum())


@pytest.mark.parametrize("method", ["lora", "last_layers"])
def test_it_expects_the_words_of_a_catalogue_that_it_has_read(base: Path, method: str, tmp_path: Path) -> None:
    language = LearningLanguage(config(base, tuning={"method": method, "layers": 1}), RunContext())
    before = bits(language)
    language.read([*TEXTS, *TEXTS, ""], 4, RunContext(directory=tmp_path))
    assert bits(language) < 0.8 * before
    with language.tuned.base_switched_on():
        assert bits(language) == pytest.approx(before, rel=1e-6)
    # A training that was killed afterwards finds it read.
    again = LearningLanguage(language.config, RunContext())
    again.read(TEXTS, 4, RunContext(directory=tmp_path))
    assert bits(again) == bits(language)


def test_what_protects_holds_while_it_reads(base: Path) -> None:
    def after(weight: float) -> float:
        protect = {"kl": weight, "tokens": 32, "catalogue": 1.0}
        language = LearningLanguage(config(base, protect=protect if weight else {}), RunContext())
        protections = language.protections(TEXTS)
        language.read(TEXTS, 2, RunContext(), protections=protections)
        return bits(language)

    assert after(0.0) < after(100.0)


@pytest.mark.parametrize("method", ["frozen", "prefix"])
def test_what_learns_too_little_reads_nothing(base: Path, method: str) -> None:
    with pytest.raises(
        ValidationError, match=f"`read_first` is set, and with `tuning.method` '{method}' nothing learns"
    ):
        config(base, read_first=1, tuning={"method": method})
