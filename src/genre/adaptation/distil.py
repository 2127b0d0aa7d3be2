"""Distillation: what a large model knows, taught to a small one of another kind.

Geoffrey Hinton, Oriol Vinyals, Jeff Dean: Distilling the Knowledge in a Neural Network. 2015. Jiaxi Tang, Ke Wang:
Ranking Distillation: Learning Compact Ranking Models with High Performance for Recommender System. KDD 2018.

Shapes: B queries, I items, N histories that the teacher is asked about, k places of a list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.adaptation.teacher import (
    WHAT_CAN_BE_TRANSFERRED,
    Lists,
    ask,
    quality,
    questions_for,
    unlabelled_histories,
    vectors_of,
)
from genre.core.config import Config
from genre.core.parts import text_as_array, text_of_array
from genre.core.queries import NO_ITEM, Candidates, Queries, Recommendations
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.data.readers import FilesConfig
from genre.features.text import item_texts
from genre.features.vectors import VectorsConfig
from genre.features.versions import VersionsConfig
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, State
from genre.recommenders.compact import Compact
from genre.recommenders.llm_sequential import LlmSequentialConfig
from genre.recommenders.members import named_members
from genre.recommenders.sasrec import SasrecConfig
from genre.recommenders.trained import known_of
from genre.recommenders.two_tower import TwoTowerConfig

if TYPE_CHECKING:
    from genre.recommenders.learning_language import LearningLanguage
    from genre.training.contracts import Term
    from genre.training.distillation import Alignment, Distillation, Reading, SoftLists

_ACCOUNT = "distillation"
_ASKED_SECONDS = 5e-3
"""For one history, of a teacher that nothing is known of."""


class AlignConfig(Config):
    """How the student's vectors of items are made to tell those of another model."""

    model: str
    """A fitted `sasrec`, `two_tower`, `llm_sequential` or `als`, by its name: the teacher, or one of its members."""
    weight: float = Field(default=0.1, gt=0)
    """Of what cannot be read from the student's vectors, a share between 0 and 1, beside the loss in nats."""


class DistilledConfig(RecommenderConfig):
    """Settings of `distilled`."""

    extra: ClassVar[str | None] = "torch"
    kind: Literal["distilled"] = "distilled"
    teacher: str
    """Any fitted model, by its name; as a rule a fusion, or a language model."""
    student: Annotated[SasrecConfig | TwoTowerConfig | LlmSequentialConfig, Field(discriminator="kind")]
    """What learns and answers, and how it learns."""
    weight: float = Field(default=1.0, gt=0)
    """How much the teacher's lists count beside what came next in the log."""
    num_places: int = Field(default=20, ge=1)
    """First answers of the teacher that are taught. Ten are shown; those behind say what is like them."""
    temperature: float = Field(default=1.0, gt=0)
    """Divides the teacher's scores, at standard deviation 1 within a list: with more, its places count more alike."""
    decay: float = Field(default=10.0, gt=0)
    """Places after which one counts a third (1/e) as much for its height alone."""
    num_lists: int = Field(default=30_000, ge=1)
    """Histories that the teacher is asked about at most: whole ones, then such with a gap, then beginnings."""
    gaps: bool = False
    """Whether, after whole histories, the teacher is asked about such with one like left out, before beginnings, whose
    next like it may know by heart. The student becomes better, and the validation questions flatter it: what it was
    taught is near to them. On 8,000 users of Beauty it found .0587 on validation and .0402 on test, without gaps .0563
    and .0391, and without a teacher .0553 and .0404."""
    batch_size: int | None = Field(default=None, ge=1)
    """Lists of a step, beside the student's own batch; by default as many as that has of its own."""
    unlabelled: FilesConfig | None = None
    """Further histories that the teacher is asked about, of items of this catalogue: those of whom nobody knows what
    they like next, such as visitors of a new shop. Every event counts as a like."""
    align: AlignConfig | None = None
    """Whether the student's vectors of items shall tell those of another model too."""

    @model_validator(mode="after")
    def _only_histories_are_read(self) -> DistilledConfig:
        if self.unlabelled is not None and len(self.unlabelled.paths()) > len(self.unlabelled.paths("interactions")):
            raise ValueError("of `unlabelled`, only `interactions` are read; leave `items`, `users`, `impressions` out")
        return self

    @property
    def member_names(self) -> tuple[str, ...]:
        """The teacher, and what the student needs."""
        align = () if self.align is None else (self.align.model,)
        return tuple(dict.fromkeys((self.teacher, *align, *self.student.member_names)))

    @property
    def answers_with(self) -> tuple[str, ...]:
        """The student alone answers."""
        return self.student.answers_with

    @property
    def learns_from_validation(self) -> bool:
        """It finds out whether the teacher is better, as early stopping finds out the epoch, and weighs nothing."""
        return False

    @property
    def reads(self) -> VectorsConfig | None:
        """How the student reads texts."""
        return self.student.reads

    @property
    def reads_in_training(self) -> VersionsConfig:
        """Those of the student."""
        return self.student.reads_in_training

    @property
    def reads_only(self) -> bool:
        """Whether the student does."""
        return self.student.reads_only

    @property
    def data_files(self) -> tuple[Path, ...]:
        """The unlabelled histories."""
        return () if self.unlabelled is None else self.unlabelled.paths()

    def check_installed(self) -> None:
        """Make sure that the student's libraries are there.

        Raises:
            DependencyError: One of them is not.
        """
        self.student.check_installed()

    def check_members(self, models: Mapping[str, RecommenderConfig]) -> None:
        """Make sure that vectors are wanted of a model that has them.

        Raises:
            ValueError: It has none.
        """
        if self.align is not None and not models[self.align.model].has_item_vectors:
            kind = models[self.align.model].kind
            raise ValueError(
                f"align.model: {self.align.model!r} ({kind}) has no vectors of items. {WHAT_CAN_BE_TRANSFERRED}"
            )

    def build(self, members: Mapping[str, Recommender]) -> Distilled:
        """Return the unfitted component."""
        return Distilled(self, members)

    def estimate(self, size: DataSize) -> Estimate:
        """The student's training, with as many lists as histories at each step, and the time to ask."""
        one, lists = self.student.estimate(size), min(self.num_lists, size.num_events)
        each = 8 * self.num_places + 16 * self.student.length
        return Estimate(memory=one.memory + lists * each, seconds=2 * one.seconds + _ASKED_SECONDS * lists)


class Student(Recommender, Protocol):
    """A recommender that a teacher's term can be added to."""

    curve: NDArray[np.float64]
    """(epochs, 2) training loss and validation NDCG@10."""

    def fit(self, data: Dataset, run: RunContext, *, terms: Sequence[Term] = ()) -> Self:
        """Learn from the log, and from what is added to the loss of each step."""

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) scores."""

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return (len(item_rows), I) similarities."""

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model of a longer catalogue."""


class Distilled:
    """Let a student learn from the log, and from what a teacher would recommend.

    ``loss = the student's own + weight * mean over histories of sum_r w_r * -log softmax(s)[item_r]``, where item_r is
    the teacher's r-th answer to the history, s are the student's scores after it, and w_r falls with the place and
    rises with how sure the teacher is (see `SoftLists`). The teacher is asked once, before training, about whole
    histories, unlabelled ones among them, about such with a gap if that is wanted, and about beginnings, but not about
    the validation questions: the student is judged by them. Vectors can be aligned too (see `Alignment`). A student
    that reads texts learns all items that are spoken of there, those that nobody of the log liked among them; so it
    learns from unlabelled histories alone where the log teaches nothing.

    The teacher's NDCG@10 on the validation questions is measured first. From the epoch on after which the student is
    better, the teacher's part counts nothing; `account` tells it.

    Only the student answers and is saved: the teacher need not be there any more.
    """

    student: Student

    def __init__(self, config: DistilledConfig, members: Mapping[str, Recommender]) -> None:
        """Keep the settings, the teacher, and what else is needed to fit."""
        self.config, self.given = config, dict(members)
        self.told: dict[str, Any] = {}

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Ask the teacher, then train the student.

        Raises:
            ConfigError: The teacher, or the model to align with, is not given, or has no vectors of these items.
            DataError: The unlabelled histories cannot be read.
            DependencyError: A library that fits the student, or gives it its form, is not installed.
            ModelError: The teacher speaks of another catalogue, or the loss is not a number.
        """
        config, hide_seen = self.config, self.config.student.hide_seen
        student: Any = config.student.build(self.given)
        if isinstance(student, Compact):
            student.check_can_fit()
        teacher = named_members((config.teacher,), self.given, "distilled")[config.teacher]
        theirs = self._vectors(data.num_items)
        more = None if config.unlabelled is None else unlabelled_histories(config.unlabelled, data.items)
        how: Any = {"name": config.teacher, "num_items": data.num_items}
        value = quality(teacher, run, hide_seen=hide_seen, **how)
        never = None if run.validation is None else run.validation.queries
        rng = run.rng("distilled")
        queries, seen = questions_for(data, more, config.num_lists, rng, never=never, gaps=config.gaps)
        said = ask(teacher, queries, config.num_places, run, seen=seen if hide_seen else None, **how)
        known = self._known(data, queries, said)
        lists = self._lists(queries, said, known)
        term = self._term(lists, value, self._alignment(theirs, known), known) if len(lists) else None
        self.student = student.fit(data, self._run(run, said, term), terms=() if term is None else (term,))
        self.told = {
            "teacher": config.teacher,
            "student": config.student.kind,
            "lists": len(lists),
            "unlabelled": 0 if more is None else int((more.lengths > 0).sum()),
            "align": None if config.align is None else config.align.model,
            "weight": config.weight if term is not None and term.ended is None else 0.0,
            "ended": None if term is None else term.ended,
            "NDCG@10": {"teacher": value, "student": _best(self.student.curve)},
        }
        return self

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return what the student recommends."""
        return self.student.recommend(queries, n, candidates=candidates)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return the student's scores (B, I)."""
        return self.student.score(queries)

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the student's similarities (len(item_rows), I)."""
        return self.student.similar(item_rows)

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that knows the new items too, as far as the student does."""
        grown = copy(self)
        grown.student = self.student.index(items, run)
        return grown

    @property
    def language(self) -> LearningLanguage | None:
        """The student's language model, where it has one."""
        return getattr(self.student, "language", None)

    def account(self) -> dict[str, Any]:
        """Return what the teacher was asked, how good both are, and from when on it no longer counted."""
        return {_ACCOUNT: self.told}

    def state(self) -> State:
        """Return the student, and the account."""
        return {**self.student.state(), _ACCOUNT: text_as_array(json.dumps(self.told))}

    def restore(self, state: State) -> None:
        """Take both back."""
        self.told = json.loads(text_of_array(state[_ACCOUNT]))
        student: Any = self.config.student.build(self.given)
        student.restore({name: value for name, value in state.items() if name != _ACCOUNT})
        self.student = student

    def _known(self, data: Dataset, queries: Queries, said: Lists) -> NDArray[np.bool_]:
        """Return (I,) items that the student learns: those of the log, and if it reads texts, all that are spoken of.

        An item without a text is spoken of in vain: nothing would be known of it but that.
        """
        known = known_of(data)
        reads = self.config.student.reads
        if reads is not None:
            spoken = np.zeros(len(known), bool)
            spoken[queries.history.liked().item_rows] = True
            spoken[said[0][said[0] != NO_ITEM]] = True
            known |= spoken & [bool(text) for text in item_texts(data.items, reads.text, required=False)]
        return known

    def _vectors(self, num_items: int) -> NDArray[np.float32] | None:
        """Return the vectors (I, E) that the student's shall tell; None where it need not."""
        if self.config.align is None:
            return None
        name = self.config.align.model
        model = named_members((name,), self.given, "distilled.align")[name]
        return vectors_of(model, num_items, name=name)

    def _alignment(self, theirs: NDArray[np.float32] | None, known: NDArray[np.bool_]) -> Alignment | None:
        """Return the vectors of those items that the student learns, too."""
        import torch

        from genre.training.distillation import Alignment

        if self.config.align is None or theirs is None:
            return None
        vectors = theirs[known]
        rows = np.flatnonzero(vectors.any(axis=1))
        return Alignment(rows, torch.from_numpy(vectors[rows]), self.config.align.weight) if len(rows) else None

    def _lists(self, queries: Queries, said: Lists, known: NDArray[np.bool_]) -> SoftLists:
        """Return histories and lists among the items that the student learns, as it counts them."""
        from genre.training.distillation import SoftLists

        rows, scores = said
        place = np.where(known, np.cumsum(known) - 1, NO_ITEM).astype(np.int32)
        histories = queries.history.liked()
        histories = histories.where(known[histories.item_rows]).last(self.config.student.length)
        histories = replace(histories, item_rows=place[histories.item_rows])
        items = np.where(rows == NO_ITEM, np.int32(NO_ITEM), place[rows])
        return SoftLists.of(histories, items, scores, temperature=self.config.temperature, decay=self.config.decay)

    def _term(
        self, lists: SoftLists, value: float | None, alignment: Alignment | None, known: NDArray[np.bool_]
    ) -> Distillation:
        from genre.training.distillation import Distillation

        return Distillation(
            lists,
            _reading(self.config.student),
            weight=self.config.weight,
            batch_size=self.config.batch_size or self.config.student.training.batch_size,
            teacher=value,
            alignment=alignment,
            items=known,
        )

    def _run(self, run: RunContext, said: Lists, term: Distillation | None) -> RunContext:
        """Return the student's run: in a directory for these lessons, and with the term told of every look."""
        directory = run.directory
        if directory is not None:
            lessons = hashlib.sha256(f"{run.seed} {self.config.model_dump_json()}".encode())
            for part in said:
                lessons.update(part.tobytes())
            directory = directory / f"student-{lessons.hexdigest()[:16]}"

        def look(value: float) -> None:
            if term is not None:
                term.look(value)
            if run.watch is not None:
                run.watch(value)

        return replace(run, directory=directory, watch=look)


def _reading(config: SasrecConfig | TwoTowerConfig | LlmSequentialConfig) -> Reading:
    from genre.training.distillation import reads_sequences, reads_towers

    if isinstance(config, TwoTowerConfig):
        return reads_towers(config.length, config.temperature)
    return reads_sequences(config.length)


def _best(curve: NDArray[np.float64]) -> float | None:
    """Return the best validation value; None where nothing was validated."""
    return float(np.nanmax(curve[:, 1])) if np.isfinite(curve[:, 1]).any() else None
