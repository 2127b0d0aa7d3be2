"""A model that was made for one catalogue, at work on another: as it is, or fine-tuned without forgetting the first.

Shapes: I items of this catalogue, Q validation questions, S those of the source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.adaptation.origin import INNER, SETTINGS, Inner, opened, reads_and_learns, settings_of
from genre.adaptation.people import with_people
from genre.adaptation.scale import USUAL, Scale
from genre.adaptation.search import check_shares
from genre.adaptation.shares import Point, accuracy, accuracy_with, interpolated, questions, take
from genre.core.errors import ArtifactError, ConfigError
from genre.core.parts import text_as_array, text_of_array
from genre.core.queries import Candidates, Holdout, Queries, Recommendations
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Vocabulary
from genre.data.files import load_dataset, load_split
from genre.data.splits import Split
from genre.evaluation.writing import Budget, WritingConfig, WritingProfile, check_measured
from genre.features.text import TextConfig, item_texts
from genre.metrics.statistics import paired_difference
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, State
from genre.recommenders.learning_language import LearningLanguage, check_reads, load_base
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.moving import Movable, shared
from genre.training.config import TrainingConfig

if TYPE_CHECKING:
    from genre.training.contracts import Term

CONFIGS: Final = (".yaml", ".yml")
"""What the names of experiments end with."""
_ACCOUNT: Final = "adapted.account"
_ALIKE: Final = 0.5
"""Cosine of the texts above which items of the same id are taken for the same."""
_FEWEST_ALIKE: Final = 0.5
"""Share of the items of the same ids that must be alike, or all are taken for others."""


class AdaptedConfig(RecommenderConfig):
    """Settings of `adapted`."""

    extra = "torch"
    kind: Literal["adapted"] = "adapted"
    source: Path
    """Directory of a finished run on another catalogue, or its config, which `genre run` then runs first."""
    model: str
    """A model of that run that reads texts: a `two_tower`, a `sasrec` with `text`, or an `llm_sequential`; also one of
    these that was `guarded`, is the student of a `distilled`, or was `adapted` itself."""
    learn: Literal["nothing", "all"] = "all"
    """`nothing` answers as the model is, reading this catalogue by its texts (zero-shot); `all` goes on learning."""
    align: bool = True
    """Whether this catalogue's texts are first spread, as a whole, as the source's are (CORAL). It needs no event."""
    same_users: bool | None = None
    """Whether people whose ids stand in both scenarios are answered by what they liked in the source, too. None does so
    where the validation questions say that the same ids mean the same people, and that it helps; True does not ask, and
    False does not do so."""
    training: TrainingConfig | None = None
    """How it goes on learning; as the source did, where nothing is said."""
    layers: int | None = Field(default=None, ge=1)
    """Layers that go on learning, from the output down (as `training.layers`): of a `sasrec` each block is one, and
    what reads texts the lowest; a `two_tower` has three. What items have of their own always learns. None lets learn
    what did in the source."""
    rehearse: float = Field(default=1.0, ge=0)
    """Weight of the source's own log in every step, beside this one's; 0 leaves it out. Each takes as long."""
    keep: float | None = Field(default=0.02, ge=0)
    """Share of the source's NDCG@10 that may be lost by what is learned here; None loses what it may."""
    shares: tuple[float, ...] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
    """Shares of what was learned that are tried, from the largest down to the first that keeps the source and, where it
    is a language model, the writing."""
    read_first: int | None = Field(default=None, ge=0)
    """Epochs in which a language model reads this catalogue's texts before it learns from the log, as part of what it
    learns here; as the source did, where nothing is said."""
    budget: Budget | None = None
    """What may be lost of the base's writing where the source is a language model. None allows what `guarded` does, and
    `{}` measures nothing; each share takes a minute or two to measure."""
    writing: WritingConfig = WritingConfig()
    """How writing is measured."""

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        check_shares(self.shares)
        check_measured(self.budget, self.writing, "budget")
        return self

    @property
    def learns_from_validation(self) -> bool:
        """It chooses one of a few on the validation questions, as early stopping does, and weighs nothing."""
        return False

    @property
    def scores_new_items(self) -> bool:
        """It reads."""
        return True

    def build(self, members: Mapping[str, Recommender]) -> Adapted:
        """Return the unfitted component."""
        return Adapted(self)

    def estimate(self, size: DataSize) -> Estimate:
        """What the source's model takes on data of this size; a language model is held three times, and measured."""
        inner = self.inner()
        one = inner.estimate(size)
        if not isinstance(inner, LlmSequentialConfig):
            return one
        return Estimate(memory=2 * one.memory, seconds=one.seconds + 120 * (2 + len(self.shares)))

    def inner(self) -> Inner:
        """Return the settings of the source's model, or of what answers in it, with this training.

        Raises:
            ArtifactError: There is no such run, or no such model in it.
            ConfigError: The model is none that can be moved, or has no writing that a budget could be for.
        """
        if self.source.suffix in CONFIGS:
            raise ConfigError(
                "this is a config, and no run of it is known here",
                place=str(self.source),
                remedy="Run it with `genre run`, and name the directory of the run.",
            )
        found = settings_of(self.source, self.model)
        training = self.training or found.training
        if self.layers is not None:
            training = training.model_copy(update={"layers": self.layers})
        changes: dict[str, Any] = {"training": training}
        if isinstance(found, LlmSequentialConfig):
            changes["start_from"] = None  # Those are vectors of the other catalogue's items.
            if self.read_first is not None:
                changes["read_first"] = self._epochs_for(found)
        elif self.budget is not None or self.read_first:
            name = "read_first" if self.budget is None else "budget"
            raise ConfigError(
                f"`{name}` is set, and the model {self.model!r} is a {found.kind!r}, which writes nothing",
                place=f"adapted.{name}",
                remedy="Leave it out, or name an `llm_sequential`.",
            )
        return found.model_copy(update=changes)

    def _epochs_for(self, found: LlmSequentialConfig) -> int:
        if self.read_first:
            try:
                check_reads(found.tuning.method, "`read_first`")
            except ValueError as error:
                raise ConfigError(str(error), place="adapted.read_first") from error
        return self.read_first or 0

    @property
    def allowed(self) -> Budget:
        """What a language model may lose of its writing."""
        return USUAL if self.budget is None else self.budget


def can_be_moved(config: RecommenderConfig) -> bool:
    """Return whether a model of these settings can go to another catalogue; one that was moved can go on."""
    return isinstance(config, AdaptedConfig) or reads_and_learns(config)


class Adapted:
    """Read another catalogue's items by what they say of themselves, and go on learning from its log.

    All that the source's model has learned but the vectors of single items is taken along; items that both
    catalogues hold, by id and by what is said of them, keep theirs; people who are in both have their likes there in
    their histories here (see `Elsewhere`). What is learned here then changes the model of
    the source too, since both share it. So its own log is rehearsed in every step; and of what was learned, as much
    counts as takes no more than `keep` of the source's NDCG@10 (see `Guarded`, which does so for writing). Shares
    are compared on the validation questions of both; where none keeps the source, learning has made it worse here, or
    nobody here likes two things, the model answers as it came.

    Of a language model, what was learned in its weights and in the layers around it is taken along. It then must keep
    its base's writing too, inside `budget`.
    """

    model: Movable

    def __init__(self, config: AdaptedConfig) -> None:
        """Keep the settings."""
        self.config = config
        self._account: dict[str, Any] = {}
        self._scale: Scale | None = None

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Move, and learn.

        Raises:
            ArtifactError: There is no such run, or its files are damaged.
            ConfigError: The source's model cannot be moved.
            DataError: None of the items here has a text.
            ModelError: The loss is not a number.
        """
        config = self.config
        inner = config.inner()
        origin: Any = opened(config.source, config.model)
        before, log = _data_of(config.source)
        same, told = same_items(data.items, before.train.items, origin, run)
        start: Movable = origin.moved(data.items, run, same=same, align=config.align)
        here, there = questions(run.validation, run), questions(before.validation, run)
        start, people = with_people(start, origin, data, log, here, run, config.same_users)
        self._scale = _scale(config, inner, data, run)
        points = [self._point(0.0, start, accuracy(start, here), accuracy(origin, there))]
        self.model = start
        if config.learn == "all" and (data.interactions.liked().lengths > 1).any():
            model: Any = inner.build({})
            model.begin_with(start)
            model.fit(data, run, terms=self._terms(origin, before.train))
            points += self._shares(model, start, origin, (here, there), points[0])
            if self._keeps(points[0], points[-1]) and not points[0].is_better(points[-1]):
                take(model, start, points[-1].share)
                self.model = model
        kept = points[0] if self.model is start else points[-1]
        self._account = {
            "moved": {
                "source": str(config.source),
                "model": config.model,
                **told,
                **people,
                "points": [point.told() for point in points],
                "share": kept.share,
            }
        }
        if self._scale is not None:
            budget = config.allowed.model_dump(mode="json")
            self._account["moved"]["writing"] = {"base": dict(self._scale.base.values), "budget": budget}
        self._scale = None
        if here is not None and len(points) > 1:
            gain = paired_difference(kept.target, points[0].target, rng=run.rng("adapted.gain"))
            self._account["moved"]["gain"] = asdict(gain)
        return self

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return what the moved model recommends."""
        return self.model.recommend(queries, n, candidates=candidates)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return its scores."""
        found: NDArray[np.float32] = self.model.score(queries)  # type: ignore[attr-defined]
        return found

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return its similarities."""
        found: NDArray[np.float32] = self.model.similar(item_rows)  # type: ignore[attr-defined]
        return found

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that knows the new items too."""
        grown = type(self)(self.config)
        grown._account = self._account
        grown.model = self.model.index(items, run)  # type: ignore[attr-defined]
        return grown

    def holds(self, user_rows: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return (B,) of which users (rows of this data set) it holds what they liked in the source."""
        elsewhere = self.model.elsewhere
        if elsewhere is None:
            return np.zeros(len(user_rows), bool)
        return np.asarray(np.append(elsewhere.people, False)[user_rows])  # The last place: unknown users.

    def without_users(self, user_rows: NDArray[np.integer]) -> Self:
        """Return a model that holds nothing any more of what some users (rows of this data set) liked in the source."""
        model = type(self)(self.config)
        model._account, model.model = self._account, self.model
        if self.model.elsewhere is not None:
            model.model = self.model.with_elsewhere(self.model.elsewhere.without(user_rows))
        return model

    @property
    def language(self) -> LearningLanguage | None:
        """The language model that answers, where it is one."""
        return getattr(self.model, "language", None)

    def account(self) -> dict[str, Any]:
        """Return what was taken along, and what each share is worth on both catalogues and writes like."""
        return self._account

    def state(self) -> State:
        """Return what the model has learned, its settings, and the account."""
        inner = self.model.config.model_dump_json()
        told = json.dumps(self._account, ensure_ascii=False)
        return {**self.model.state(), INNER: text_as_array(inner), _ACCOUNT: text_as_array(told)}

    def restore(self, state: State) -> None:
        """Take all of it back; the source is not needed any more."""
        self._account = json.loads(text_of_array(state[_ACCOUNT]))
        model: Any = SETTINGS.validate_json(text_of_array(state[INNER])).build({})
        model.restore({name: value for name, value in state.items() if name not in (INNER, _ACCOUNT)})
        self.model = model

    def _terms(self, origin: Movable, data: Dataset) -> list[Term]:
        from genre.training.rehearsal import Rehearsal

        if not self.config.rehearse:
            return []
        objective = origin.objective(data)
        if not objective.num_batches:
            return []
        return [Rehearsal(origin.network, objective, shared(origin.network), weight=self.config.rehearse)]

    def _shares(
        self,
        model: Any,
        start: Movable,
        origin: Movable,
        asked: tuple[Holdout | None, Holdout | None],
        before: Point,
    ) -> list[Point]:
        """Let less and less of what was learned count, until source and writing keep what they must."""
        here, there = asked
        found: list[Point] = []
        for share in sorted(self.config.shares, reverse=True):
            with interpolated(model, start, share) as weights:
                values = accuracy(model, here), accuracy_with(origin, weights, there)
                found.append(self._point(share, model, *values))
            if self._keeps(before, found[-1]):
                break
        return found

    def _point(self, share: float, model: Any, target: NDArray[np.float64], source: NDArray[np.float64]) -> Point:
        """Look how a model writes, beside what it is worth."""
        if self._scale is None:
            return Point(share, target, source)
        writing: WritingProfile = self._scale.measured(model.language.writer())
        return Point(share, target, source, writing, tuple(self.config.allowed.breaches(self._scale.base, writing)))

    def _keeps(self, before: Point, after: Point) -> bool:
        """Return whether source and writing keep what they must."""
        if after.breaches:
            return False
        if self.config.keep is None or not len(before.source):
            return True
        return bool(after.source.mean() >= (1 - self.config.keep) * before.source.mean())


def same_items(
    items: Entities, others: Entities, origin: Any, run: RunContext
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Return (I,) rows of the same items in another catalogue, -1 for those that are not in it, and how many there are.

    An id that stands in both is not enough: what is said of both must be alike, or the ids mean different things.

    Args:
        items: This catalogue.
        others: The other one.
        origin: A model that reads the other one.
        run: Its store and progress.
    """
    ids = items.vocabulary.ids
    rows = others.vocabulary.rows(ids).astype(np.int64)
    both = np.flatnonzero(rows >= 0)
    if not len(both) or origin.reader is None:
        return np.full(len(rows), -1, np.int64), {"same_ids": len(both), "same_items": 0}
    part = Entities(Vocabulary(ids.gather(both)), items.frame[both], items.roles)
    read = origin.reader.of_items(part, run)
    alike = (read * origin.text[rows[both]]).sum(1) > _ALIKE
    if alike.mean() < _FEWEST_ALIKE:
        alike[:] = False
    rows[both[~alike]] = -1
    return rows, {"same_ids": len(both), "same_items": int(alike.sum())}


def _scale(config: AdaptedConfig, inner: Inner, data: Dataset, run: RunContext) -> Scale | None:
    """Return what a language model's writing is measured against; None where nothing is limited."""
    if not isinstance(inner, LlmSequentialConfig) or not config.allowed.limits:
        return None
    _, base = load_base(inner.base, run)
    catalogue = [text for text in item_texts(data.items, TextConfig(), required=False) if text]
    scale = Scale.of(base, config.writing, catalogue, run)
    config.allowed.breaches(scale.base, scale.base)
    return scale


def _data_of(source: Path) -> tuple[Split, Dataset]:
    """Return what the source's model was fitted and judged on, and all that is known there."""
    try:
        return load_split(source / "data" / "split-0"), load_dataset(source / "data" / "all")
    except OSError as error:
        raise ArtifactError(
            f"the data of the run cannot be read ({error})",
            place=str(source),
            remedy="Name the directory of a finished run.",
        ) from error
