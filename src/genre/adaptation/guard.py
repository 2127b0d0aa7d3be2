"""The guard: of several ways to fine-tune a language model, the one that recommends best and writes well enough.

Shapes: B queries, Q validation questions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.adaptation.scale import USUAL, Scale
from genre.core.parts import text_as_array, text_of_array
from genre.core.queries import Candidates, Holdout, Queries, Recommendations
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.evaluation.writing import Budget, WritingConfig, WritingProfile, check_measured
from genre.features.text import TextConfig, item_texts
from genre.features.vectors import VectorsConfig
from genre.features.versions import VersionsConfig
from genre.language.tuning import TuningConfig
from genre.metrics.ranking import ndcg
from genre.metrics.ranks import list_ranks
from genre.metrics.statistics import paired_difference
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, State
from genre.recommenders.learning_language import LearningLanguage
from genre.recommenders.llm_ranker import LlmRankerConfig
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.members import questions_to_learn_from
from genre.recommenders.semantic_id import SemanticIdConfig
from genre.recommenders.text_classifier import TextClassifierConfig
from genre.training.protection_config import ProtectionConfig

_FRONTIER, _CHOICE, _SAMPLES, _CURVES = "frontier", "choice", "samples", "curves"
_K = 10


def _usual_protections() -> dict[str, ProtectionConfig]:
    """Return nothing, divergence from the base, and a budget that is held."""
    return {
        "unprotected": ProtectionConfig(),
        "kl": ProtectionConfig(kl=1.0),
        "held": ProtectionConfig(kl=1.0, replay=0.1, hold=0.01),
    }


class GuardedConfig(RecommenderConfig):
    """Settings of `guarded`."""

    extra: ClassVar[str | None] = "torch"
    kind: Literal["guarded"] = "guarded"
    model: Annotated[
        LlmSequentialConfig | LlmRankerConfig | SemanticIdConfig | TextClassifierConfig, Field(discriminator="kind")
    ]
    """What is fine-tuned, and how; `semantic_id` with a pretrained decoder, `text_classifier` with a
    language model for reader."""
    budget: Budget = USUAL
    """What may be lost of the base's writing."""
    protections: dict[str, ProtectionConfig] = Field(default_factory=_usual_protections)
    """Ways to protect, by names of your own; each is a training."""
    shares: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    """Shares of what was learned that are tried after each training, from the largest down to the first that keeps
    within the budget. They cost no training: only what was learned is scaled."""
    writing: WritingConfig = WritingConfig()
    """How writing is measured."""
    num_questions: int = Field(default=1000, ge=10)
    """Validation questions that models are compared on."""

    @model_validator(mode="after")
    def _can_be_searched(self) -> GuardedConfig:
        check_measured(self.budget, self.writing, "budget")
        if not self.protections:
            raise ValueError("`protections` is empty; one that protects nothing is written as `unprotected: {}`")
        if any(not 0 < share <= 1 for share in self.shares) or 1.0 not in self.shares:
            raise ValueError(f"`shares` {self.shares} must be above 0 and at most 1, and hold 1")
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


@dataclass(frozen=True)
class Point:
    """One way to fine-tune: what it recommends like, and what it writes like."""

    protection: str | None
    """Which of the config's; None for the frozen base."""
    share: float
    accuracy: NDArray[np.float64]
    """(Q,) NDCG@10."""
    writing: WritingProfile
    breaches: tuple[str, ...] = ()
    """Where it is over the budget, in words."""
    excess: float = 0.0
    """By how many times the limit that is broken most is exceeded, less 1."""

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "protection": self.protection,
            "share": self.share,
            "NDCG@10": float(self.accuracy.mean()),
            "writing": dict(self.writing.values),
            "breaches": list(self.breaches),
        }


class Guarded:
    """Fine-tune in several ways, measure what each recommends and writes like, and keep the best inside the budget.

    1. Measure the base's writing.
    2. Fit the model with a frozen base: only what stands around it learns, and it writes as ever. What fine-tuning is
       worth is what it gains over this one.
    3. For each protection, fit; then let all of what was learned count, or less and less of it, until writing is inside
       the budget (Wortsman et al.: Robust Fine-Tuning of Zero-Shot Models, CVPR 2022).
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
        self.config.budget.breaches(scale.base, scale.base)  # A limit of what is not measured is told before training.
        points = [Point(None, 1.0, _accuracy(frozen, questions, candidates), scale.base)]
        kept: tuple[Point, State] = (points[0], frozen.state())
        for name in self.config.protections:
            model = self._fitted(data, run, name)
            self.curves[name] = _curve_of(model)
            for share in sorted(self.config.shares, reverse=True):
                point, state = self._measured(model, name, share, (questions, candidates), scale)
                points.append(point)
                if not point.breaches:
                    if point.accuracy.mean() > kept[0].accuracy.mean():
                        kept = point, state
                    break
        self.points = [point.told() for point in points]
        self.samples = scale.beside(kept[0].writing)
        free = next((name for name, one in self.config.protections.items() if not one.is_on), None)
        self.choice = _choice(points, kept[0], free, run)
        self.model = self._built(kept[0].protection)
        self.model.restore(kept[1])
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
        told = {_FRONTIER: self.points, _CHOICE: self.choice, _SAMPLES: self.samples, _CURVES: self.curves}
        return {
            **self.model.state(),
            **{name: text_as_array(json.dumps(value, ensure_ascii=False)) for name, value in told.items()},
        }

    def restore(self, state: State) -> None:
        """Take both back."""
        told = (_FRONTIER, _CHOICE, _SAMPLES, _CURVES)
        self.points, self.choice, self.samples, self.curves = (json.loads(text_of_array(state[name])) for name in told)
        self.model = self._built(self.choice["protection"])
        self.model.restore({name: value for name, value in state.items() if name not in told})

    def _built(self, name: str | None) -> Tuned:
        """Return the guarded model, unfitted; with a frozen base where no protection is named."""
        changes: dict[str, Any] = {"tuning": TuningConfig(method="frozen")}
        if name is not None:
            changes = {"protect": self.config.protections[name].model_copy(update={"watch": True})}
        model: Any = self.config.model.with_learning(**changes).build(self.members)
        found: Tuned = model
        return found

    def _fitted(self, data: Dataset, run: RunContext, name: str | None) -> Tuned:
        directory = None if run.directory is None else run.directory / (name or "frozen base")
        return self._built(name).fit(data, replace(run, directory=directory))

    def _measured(
        self, model: Tuned, name: str, share: float, asked: tuple[Holdout, Candidates], scale: Scale
    ) -> tuple[Point, State]:
        """Return what a share of what was learned is worth."""
        with model.language.tuned.interpolated(share):
            accuracy = _accuracy(model, *asked)
            writing = scale.measured(model.language.writer())
            state = {name: np.array(value) for name, value in model.state().items()}
        budget = self.config.budget
        breaches = tuple(budget.breaches(scale.base, writing))
        return Point(name, share, accuracy, writing, breaches, budget.excess(scale.base, writing)), state


def _accuracy(model: Recommender, questions: Holdout, candidates: Candidates) -> NDArray[np.float64]:
    """Return NDCG@10 (Q,) of each question."""
    answer = model.recommend(questions.queries, _K, candidates=candidates).item_rows
    return np.asarray(ndcg(list_ranks(answer, questions.targets), questions.targets.offsets, _K), np.float64)


def _curve_of(model: Tuned) -> dict[str, list[float]]:
    """Return, of each epoch, NDCG@10 on the validation questions if it was seen, and how much worse it then wrote."""
    watched = model.language.watched
    values = {"NDCG@10": model.curve[:, 1], "rise": np.array([] if watched is None else watched.rises)}
    return {name: value.tolist() for name, value in values.items() if len(value) and np.isfinite(value).all()}


def _choice(points: Sequence[Point], kept: Point, free: str | None, run: RunContext) -> dict[str, Any]:
    """Return which point was kept, what it keeps of the unprotected gain, and what the nearest outside would cost."""
    frozen = points[0]
    unprotected = next((point for point in points[1:] if point.protection == free and point.share == 1), frozen)
    gain, free_gain = (float((point.accuracy - frozen.accuracy).mean()) for point in (kept, unprotected))
    over = [point for point in points if point.breaches and point.accuracy.mean() > kept.accuracy.mean()]
    nearest = min(over, key=lambda point: point.excess, default=None)
    return {
        "protection": kept.protection,
        "share": kept.share,
        "gain": asdict(paired_difference(kept.accuracy, frozen.accuracy, rng=run.rng("guard.gain"))),
        "share_of_free_gain": gain / free_gain if free_gain > 0 else None,
        "nearest": None if nearest is None else nearest.told(),
    }
