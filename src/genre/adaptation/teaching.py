"""Teaching a language model to write as a catalogue wants it, under a budget for all the rest of its writing.

Shapes: Q lessons that are held back.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.adaptation.scale import Scale
from genre.adaptation.search import Search, SearchConfig
from genre.core.errors import ModelError
from genre.core.files import atomic_directory
from genre.core.run import RunContext
from genre.features.text import Language
from genre.generation.lessons import Lesson
from genre.generation.scenarios import ScenarioName
from genre.generation.write_config import WriteConfig
from genre.language.decoding import LoadedModel
from genre.language.merging import MERGED, save_merged
from genre.language.texts import short_key
from genre.recommenders.base import State
from genre.recommenders.learning_language import LanguageSettings, LearningLanguage, load_base
from genre.training.config import TrainingConfig

MEASURE: Final = "bits_saved"
"""Bits a byte of texts that are held back that a model needs less for them than its base."""
_FEWEST: Final = 20
"""Lessons without which nothing is taught."""


def _usual_training() -> TrainingConfig:
    """Return three short epochs: a few hundred texts are soon known by heart.

    Prompts are long: a step's sixteen at once would take a small model 16 GiB.
    """
    return TrainingConfig(
        epochs=3,
        batch_size=16,
        accumulate=4,
        learning_rate=5e-4,
        warm_up_steps=10,
        clip_norm=1.0,
        precision="bf16",
        tracker="none",
    )


class TeachConfig(SearchConfig, LanguageSettings):
    """What a language model is taught to write, what from, and what it may lose by it."""

    training: TrainingConfig = Field(default_factory=_usual_training)
    columns: dict[str, str] = Field(default_factory=dict)
    """Item columns that hold texts by people, by the kind of text that they are: `{title: tagline}`. The facts that the
    model is shown with such a text do not hold it."""
    drafts: tuple[str, ...] = ("title", "summary", "synopsis", "ad")
    """Kinds of which the model's own best drafts are learned from: those that pass every check, chosen as texts that
    are shown are."""
    items: int = Field(default=300, ge=1)
    """About so many items at most, drawn by the seed; drafts take most of the time."""
    language: Language = "en"
    scenario: ScenarioName = "shop"
    write: WriteConfig = WriteConfig()
    """How drafts are drawn, checked and weighed; its generator is `base`."""
    held_back: float = Field(default=0.1, gt=0, lt=1)
    """Share of the items whose texts are not learned from: ways to learn are compared on them."""

    @model_validator(mode="after")
    def _can_be_taught(self) -> TeachConfig:
        if not self.columns and not self.drafts:
            raise ValueError("`columns` and `drafts` are both empty: there is nothing to learn from")
        if self.tuning.method not in MERGED:
            raise ValueError(
                f"`tuning.method` is {self.tuning.method!r}, which leaves the model's weights as they are: choose from "
                f"{list(MERGED)}"
            )
        if self.protect.is_on:
            raise ValueError("`protect` is set, and `protections` takes its place; name it there")
        if self.write.generator is not None:
            raise ValueError("`write.generator` is set, and drafts are by `base`; leave it out")
        if self.write.audit is not None:
            raise ValueError("`write.audit` is set, and drafts are shown to nobody; leave it out")
        return self

    def check_installed(self) -> None:
        """Make sure that all libraries are there.

        Raises:
            DependencyError: One of them is not.
        """
        self.check_language()
        self.write.check_installed()


@dataclass(frozen=True)
class Teaching:
    """What came of it."""

    config: TeachConfig
    account: dict[str, Any]
    """Every point, and the choice, as the account of `guarded`."""
    state: State
    """What the kept model has learned."""

    @property
    def protection(self) -> str | None:
        """The protection of the kept model; None where none that learned is better inside the budget."""
        found: str | None = self.account["choice"]["protection"]
        return found

    def save(self, directory: Path, run: RunContext, *, adapter: Path) -> None:
        """Write the kept model, in the place of one that is there.

        Args:
            directory: Where the whole model is written to.
            run: Progress.
            adapter: Where what it has learned is written to by itself, where it can stand beside others.

        Raises:
            ModelError: None was kept.
        """
        if self.protection is None:
            raise ModelError(
                "no model that was taught is better than its base and inside the budget",
                place="teach",
                remedy="Allow more under `budget`, or give more to learn from.",
            )
        from genre.language.adapters import save_adapter

        language = _opened(self.config, self.protection, run)
        language.restore(self.state)
        shutil.rmtree(adapter, ignore_errors=True)
        if self.config.tuning.method == "lora":
            save_adapter(language.tuned, adapter, language.key)
        with atomic_directory(directory) as made:
            save_merged(language.tuned, language.loaded.tokenizer, made)
            (made / "teaching.json").write_text(json.dumps(self.account, indent=1, ensure_ascii=False), "utf-8")


def teach(
    config: TeachConfig,
    lessons: Sequence[Lesson],
    held_back: Sequence[Lesson],
    catalogue: Sequence[str],
    run: RunContext,
) -> Teaching:
    """Teach in several ways, and keep what learned most inside the budget.

    Args:
        config: How.
        lessons: What is learned from.
        held_back: What it is measured on: bits a byte less than the base needs.
        catalogue: Texts of items, for protection, and as a set that writing is measured on.
        run: Directory of checkpoints, seed and progress.

    Raises:
        ConfigError: The budget limits what is not measured.
        ModelError: There is too little to learn from.
    """
    if len(lessons) < _FEWEST or not held_back:
        raise ModelError(
            f"there are {len(lessons)} texts to learn from and {len(held_back)} to measure by, and it takes {_FEWEST} "
            "and 1",
            place="teach",
            remedy="Raise `items`, name more `drafts` or `columns`, or lower `write.least_told`.",
        )
    _, base = load_base(config.base, run)
    scale = Scale.of(base, config.writing, list(catalogue), run)
    sizes = np.array([len(lesson.answer.encode()) for lesson in held_back], np.float64)
    before = _bits(base, held_back)
    search = Search(config, scale, np.zeros(len(held_back)), {}, MEASURE)
    curves: dict[str, dict[str, list[float]]] = {}
    for name in config.protections:
        language = _opened(config, name, run, steps=_steps(config, len(lessons)))
        curves[name] = _learn(config, name, language, (lessons, held_back), catalogue, run)

        def look(language: LearningLanguage = language) -> tuple[NDArray[np.float64], LoadedModel, State]:
            writer = language.writer()
            # Over the mean size, so that the mean is that of all bytes together.
            return (before - _bits(writer, held_back)) / sizes.mean(), writer, language.state()

        search.add(name, language.tuned, look)
    account = {
        "measure": MEASURE,
        "budget": config.budget.model_dump(mode="json"),
        "points": search.told(),
        "choice": search.choice(run),
        "samples": scale.beside(search.kept.writing),
        "curves": curves,
        "lessons": len(lessons),
        "held_back": len(held_back),
        "base_bits": float(before.sum() / sizes.sum()),
    }
    return Teaching(config, account, search.state)


def _opened(config: TeachConfig, protection: str, run: RunContext, steps: int = 0) -> LearningLanguage:
    settings = config.model_copy(update={"protect": config.protections[protection]})
    return LearningLanguage(settings, run, total_steps=steps)


def _steps(config: TeachConfig, count: int) -> int:
    return config.training.epochs * -(-count // config.training.batch_size)


def _learn(
    config: TeachConfig,
    name: str,
    language: LearningLanguage,
    texts: tuple[Sequence[Lesson], Sequence[Lesson]],
    catalogue: Sequence[str],
    run: RunContext,
) -> dict[str, list[float]]:
    """Train, and return the loss of each epoch, on what is learned from and on what is held back."""
    from genre.training.answers import Answer, Answers, surprise
    from genre.training.loop import train

    lessons, held_back = ([Answer.of(language.loaded, one.prompt, one.answer) for one in some] for some in texts)
    training, model = config.training, language.tuned.language
    directory = None if run.directory is None else run.directory / name
    told = {"protection": config.protections[name].model_dump(), "tuning": config.tuning.model_dump()}
    device = next(model.parameters()).device

    def validate() -> float:
        return -float(surprise(model, held_back, device).sum() / sum(len(one.tokens) - one.start for one in held_back))

    found = train(
        model,
        Answers(lessons, batch_size=training.batch_size, parts=training.accumulate),
        training,
        name=f"teach, {name}",
        seed=run.seed,
        validate=validate,
        terms=language.protections(catalogue),
        directory=directory,
        about={"base": language.key, "lessons": short_key("lessons", all=[one.tokens for one in lessons]), **told},
        progress=run.progress,
    )
    return {
        "loss": [epoch.loss for epoch in found.epochs],
        "held_back": [-epoch.validation for epoch in found.epochs if epoch.validation is not None],
    }


def _bits(loaded: LoadedModel, lessons: Sequence[Lesson]) -> NDArray[np.float64]:
    """Return the bits (Q,) that a model needs for each lesson's answer."""
    from genre.language.scoring import evaluating
    from genre.training.answers import Answer, surprise

    device = next(loaded.model.parameters()).device
    with evaluating(loaded.model):
        return surprise(loaded.model, [Answer.of(loaded, one.prompt, one.answer) for one in lessons], device)
