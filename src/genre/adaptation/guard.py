"""The guard: of several ways to fine-tune a language model, the one that recommends best and writes well enough.

Shapes: B queries, Q validation questions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.adaptation.scale import Scale
from genre.adaptation.search import Search, SearchConfig
from genre.core.parts import text_as_array, text_of_array
from genre.core.queries import Candidates, Queries, Recommendations
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.features.text import TextConfig, item_texts
from genre.features.vectors import VectorsConfig
from genre.features.versions import VersionsConfig
from genre.language.decoding import LoadedModel
from genre.language.tuning import TuningConfig
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, State
from genre.recommenders.learning_language import LearningLanguage
from genre.recommenders.llm_ranker import LlmRankerConfig
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.members import accuracy_of, questions_to_learn_from
from genre.recommenders.semantic_id import SemanticIdConfig
from genre.recommenders.text_classifier import TextClassifierConfig

CHOICE: Final = "choice"
"""Name of the part of a guarded model that tells which point was kept."""
_FRONTIER, _SAMPLES, _CURVES = "frontier", "samples", "curves"


class GuardedConfig(SearchConfig, RecommenderConfig):
    """Settings of `guarded`."""

    extra: ClassVar[str | None] = "torch"
    kind: Literal["guarded"] = "guarded"
    model: Annotated[
        LlmSequentialConfig | LlmRankerConfig | SemanticIdConfig | TextClassifierConfig, Field(discriminator="kind")
    ]
    """What is fine-tuned, and how; `semantic_id` with a pretrained decoder, `text_classifier` with a
    language model for reader."""
    num_questions: int = Field(default=1000, ge=10)
    """Validation questions that models are compared on."""

    @model_validator(mode="after")
    def _can_be_guarded(self) -> GuardedConfig:
        if isinstance(self.model, TextClassifierConfig) and self.model.reader != "language":
            raise ValueError(f"`model.reader` is {self.model.reader!r}, which does not write; set `language`")
        learning = self.model.learning
        if learning is None:
            raise ValueError("`model.decoder.kind` is 'scratch', which writes nothing that could be guarded")
        if learning.tuning.method == "frozen":
            raise ValueError("`model.tuning.method` is 'frozen': nothing is learned that could be guarded")
        if learning.protect.is_on:
            raise ValueError("`model.protect` is set, and `protections` takes its place; name it there")
        if learning.tuning.method == "prefix" and self.shares != (1.0,):
            raise ValueError("a share of a prefix means nothing; set `shares: [1.0]`")
        return self

    @property
    def member_names(self) -> tuple[str, ...]:
        """The models that the guarded one needs."""
        return self.model.member_names

    @property
    def learns_from_validation(self) -> bool:
        """It chooses one of a few on the validation questions, as early stopping does, and weighs nothing."""
        return False

    @property
    def reads(self) -> VectorsConfig | None:
        """How texts become vectors."""
        return self.model.reads

    @property
    def reads_in_training(self) -> VersionsConfig:
        """Those of the guarded model."""
        return self.model.reads_in_training

    def check_installed(self) -> None:
        """Make sure that the guarded model's libraries are there.

        Raises:
            DependencyError: One of them is not.
        """
        self.model.check_installed()

    def guarding(self, name: str | None) -> RecommenderConfig:
        """Return the settings of the model with a protection; with a frozen base where none is named."""
        changes: dict[str, Any] = {"tuning": TuningConfig(method="frozen")}
        if name is not None:
            changes = {"protect": self.protections[name].model_copy(update={"watch": True})}
        return self.model.with_learning(**changes)

    def build(self, members: Mapping[str, Recommender]) -> Guarded:
        """Return the unfitted component."""
        return Guarded(self, members)

    def estimate(self, size: DataSize) -> Estimate:
        """A training for each protection, one with a frozen base, and two minutes for each look at the writing."""
        one = self.model.estimate(size)
        fits = 1 + len(self.protections)
        return Estimate(memory=one.memory + (1 << 29), seconds=fits * one.seconds + 120 * (fits + 1))


class Tuned(Recommender, Protocol):
    """A recommender that is a language model which still writes."""

    language: LearningLanguage
    curve: NDArray[np.float64]
    """(epochs, 2) training loss and validation NDCG@10."""


class Guarded:
    """Fine-tune in several ways, measure what each recommends and writes like, and keep the best inside the budget.

    1. Measure the base's writing.
    2. Fit the model with a frozen base: only what stands around it learns, and it writes as ever. What fine-tuning is
       worth is what it gains over this one.
    3. For each protection, fit; then let all of what was learned count, or less and less of it, until writing is inside
       the budget (see `Search`).
    4. Of all that are inside, keep the one with the best NDCG@10 on the validation questions. The frozen one always is.

    `account` tells every point, how each training went, which was kept, and what share of the unprotected gain that is.
    """

    def __init__(self, config: GuardedConfig, members: Mapping[str, Recommender]) -> None:
        """Keep the settings, and what the guarded model needs."""
        self.config, self.members = config, members
        self.points: list[dict[str, Any]] = []
        self.samples: list[dict[str, str]] = []
        self.curves: dict[str, dict[str, list[float]]] = {}
        self.choice: dict[str, Any] = {}

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Search.

        Raises:
            ConfigError: The budget limits what is not measured.
            ModelError: There are no validation questions to compare models on.
        """
        questions, candidates = questions_to_learn_from(run, "guarded", most=self.config.num_questions)
        frozen = self._fitted(data, run, None)
        self.curves = {"frozen base": _curve_of(frozen)}
        catalogue = [text for text in item_texts(data.items, TextConfig()) if text]
        scale = Scale.of(frozen.language.writer(), self.config.writing, catalogue, run)
        search = Search(self.config, scale, accuracy_of(frozen, questions, candidates), frozen.state())
        for name in self.config.protections:
            model = self._fitted(data, run, name)
            self.curves[name] = _curve_of(model)

            def look(model: Tuned = model) -> tuple[NDArray[np.float64], LoadedModel, State]:
                return accuracy_of(model, questions, candidates), model.language.writer(), model.state()

            search.add(name, model.language.tuned, look)
        self.points = search.told()
        self.samples = scale.beside(search.kept.writing)
        self.choice = search.choice(run)
        self.model = self._built(search.kept.protection)
        self.model.restore(search.state)
        return self

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return what the kept model recommends."""
        return self.model.recommend(queries, n, candidates=candidates)

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that knows the new items too."""
        grown = copy(self)
        grown.model = self.model.index(items, run)  # type: ignore[attr-defined]
        return grown

    @property
    def language(self) -> LearningLanguage:
        """What the kept model has learned, and writes with."""
        return self.model.language

    def account(self) -> dict[str, Any]:
        """Return every point, and the choice."""
        budget = self.config.budget.model_dump(mode="json")
        told = {"points": self.points, "choice": self.choice, "samples": self.samples, "curves": self.curves}
        return {"budget": budget, **told}

    def state(self) -> State:
        """Return the kept model, and the account of the search."""
        told = {_FRONTIER: self.points, CHOICE: self.choice, _SAMPLES: self.samples, _CURVES: self.curves}
        return {
            **self.model.state(),
            **{name: text_as_array(json.dumps(value, ensure_ascii=False)) for name, value in told.items()},
        }

    def restore(self, state: State) -> None:
        """Take both back."""
        told = (_FRONTIER, CHOICE, _SAMPLES, _CURVES)
        self.points, self.choice, self.samples, self.curves = (json.loads(text_of_array(state[name])) for name in told)
        self.model = self._built(self.choice["protection"])
        self.model.restore({name: value for name, value in state.items() if name not in told})

    def _built(self, name: str | None) -> Tuned:
        """Return the guarded model, unfitted; with a frozen base where no protection is named."""
        model: Any = self.config.guarding(name).build(self.members)
        found: Tuned = model
        return found

    def _fitted(self, data: Dataset, run: RunContext, name: str | None) -> Tuned:
        directory = None if run.directory is None else run.directory / (name or "frozen base")
        return self._built(name).fit(data, replace(run, directory=directory))


def _curve_of(model: Tuned) -> dict[str, list[float]]:
    """Return, of each epoch, NDCG@10 on the validation questions if it was seen, and how much worse it then wrote."""
    watched = model.language.watched
    values = {"NDCG@10": model.curve[:, 1], "rise": np.array([] if watched is None else watched.rises)}
    return {name: value.tolist() for name, value in values.items() if len(value) and np.isfinite(value).all()}
