"""What a recommender is: it is fitted, it answers queries, and it can be written down as arrays.

A recommender file holds a config class (what is chosen) and a component (what is learned). Most components give a score
to every item and leave the rest to `ScoringRecommender`.

Shapes: B queries, I items, n places.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre.core.config import Config
from genre.core.errors import DependencyError
from genre.core.queries import NO_ITEM, Candidates, Queries, Recommendations, Source
from genre.core.run import RunContext
from genre.core.topn import top_n
from genre.data.dataset import Dataset, Entities
from genre.features.vectors import VectorsConfig
from genre.features.versions import VersionsConfig

State: TypeAlias = dict[str, Any]
"""All that a model has learned, by name: numpy arrays and `scipy.sparse.csr_matrix`, nothing else."""
BLOCK_BYTES = 1 << 28
"""Bytes of scores that `recommend` holds at once (256 MiB)."""
_LIBRARIES = {"torch": ("torch", "accelerate", "tensorboard")}
"""What each extra brings, by import name."""


class Ranker(Protocol):
    """Answers queries with ranked items."""

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the best n items for each query, fewer where the model knows no more."""


class Recommender(Ranker, Protocol):
    """Learns to rank."""

    @property
    def config(self) -> RecommenderConfig:
        """Return the settings it was built with."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Learn from the log of `data`."""

    def state(self) -> State:
        """Return what was learned."""

    def restore(self, state: State) -> None:
        """Take back what `state` returned."""


@runtime_checkable
class Scorer(Protocol):
    """Gives a score to every item for every query."""

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) scores that the caller may change; minus infinity where the model cannot tell."""


@runtime_checkable
class Similar(Protocol):
    """Knows which items go with which."""

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return (len(item_rows), I) similarities, minus infinity where there is none."""


@runtime_checkable
class ReadsTexts(Protocol):
    """Knows which items are like a text."""

    def similar_to_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Return (len(texts), I) similarities, minus infinity where there is none."""


@runtime_checkable
class Indexable(Protocol):
    """Takes new items in without learning anew."""

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model of a longer catalogue: the items it knows in their rows, new ones behind."""


@runtime_checkable
class Updatable(Protocol):
    """Learns from what came since it was fitted, at a small part of what fitting takes."""

    def update(self, data: Dataset, new: NDArray[np.bool_], run: RunContext) -> Self:
        """Return a model that has learned from the new events too; this one stays as it is, and goes on answering.

        Args:
            data: All that may be learned from by now: the items that this model knows in their rows and new ones
                behind, the users likewise, and the events of both times.
            new: (E,) events of the log that this model has not learned from; the others are there to be learned again.
            run: Seed, progress, and where texts that were read are kept.
        """


@runtime_checkable
class Accounts(Protocol):
    """Tells how it came about."""

    def account(self) -> dict[str, Any]:
        """Return plain values."""


@dataclass(frozen=True)
class DataSize:
    """What the cost of fitting depends on."""

    num_users: int
    num_items: int
    num_events: int


@dataclass(frozen=True)
class Estimate:
    """What fitting a model will take, to about a factor of two."""

    memory: int
    """Bytes at the peak, above the data set's own."""
    seconds: float
    """On two cores."""

    def with_again(self, members: Sequence[Estimate], times: int) -> Estimate:
        """Return what it takes to fit the members `times` more, one after the other, beside this."""
        if not times:
            return self
        return Estimate(
            memory=self.memory + max((member.memory for member in members), default=0),
            seconds=self.seconds + times * sum(member.seconds for member in members),
        )


class RecommenderConfig(Config):
    """What is chosen of a recommender before it has seen data."""

    extra: ClassVar[str | None] = None
    """The optional dependencies that it needs, as in `pip install genre-rec[torch]`."""
    kind: str

    @property
    def member_names(self) -> tuple[str, ...]:
        """The models that must be fitted first and are passed to `build`: what a composite model's `members` names."""
        return tuple(getattr(self, "members", ()))

    @property
    def answers_with(self) -> tuple[str, ...]:
        """Those of them that a fitted model asks when it answers, and that are loaded with it: by default all."""
        return self.member_names

    @property
    def learns_from_validation(self) -> bool:
        """Whether it weighs its members on the validation questions, so that these cannot judge it too."""
        return bool(self.member_names)

    @property
    def refits(self) -> int:
        """How often fitting it fits its members again; the plan adds what they take."""
        return 0

    @property
    def reads(self) -> VectorsConfig | None:
        """Which texts of the items it reads and how, so that they can be read before anything is fitted."""
        return None

    @property
    def reads_in_training(self) -> VersionsConfig:
        """Which other versions of those texts its training reads; none by default."""
        return VersionsConfig()

    @property
    def scores_new_items(self) -> bool:
        """Whether it scores items that nobody has liked, by what they say of themselves."""
        return self.reads is not None

    @property
    def reads_only(self) -> bool:
        """Whether what it says of an item never depends on who has liked that item."""
        return False

    @property
    def has_item_vectors(self) -> bool:
        """Whether a fitted model has a vector of each item, as `table` or `vectors` (I, D), that others may read."""
        return False

    @property
    def data_files(self) -> tuple[Path, ...]:
        """Files that it learns from beside the data set: what is in them counts as settings do."""
        return ()

    @property
    def num_ranked(self) -> int | None:
        """Best items that it tells a composite model of, where it ranks and does not score; None for all."""
        return None

    def check_installed(self) -> None:
        """Make sure that the optional dependencies are there.

        Raises:
            DependencyError: One of them is not.
        """
        if self.reads is not None:
            self.reads.check_installed()
        for library in _LIBRARIES.get(self.extra or "", ()):
            if find_spec(library) is None:
                raise DependencyError(
                    f"needs the library {library!r}, which is not installed",
                    place=self.kind,
                    remedy=f"Install it with `pip install 'genre-rec[{self.extra}]'`.",
                )

    def check_members(self, models: Mapping[str, RecommenderConfig]) -> None:
        """Make sure that the models it names, by their settings, can be what it takes them for; by default all can.

        Raises:
            ValueError: One of them cannot.
        """

    def build(self, members: Mapping[str, Recommender]) -> Recommender:
        """Return the unfitted component. `members` are the fitted models that a composite one names, by name."""
        raise TypeError(f"{type(self).__name__} must say what it builds")

    def estimate(self, size: DataSize) -> Estimate:
        """Say what fitting will take on data of this size; by default what a pass over the events takes."""
        return Estimate(memory=32 * size.num_events, seconds=1e-6 * size.num_events)


ConfigT = TypeVar("ConfigT", bound=RecommenderConfig)


class ScoringRecommender(ABC, Generic[ConfigT]):
    """A recommender that can score every item; its subclass says how."""

    source: ClassVar[Source] = Source.PERSONAL
    """Where this model's answers come from."""

    def __init__(self, config: ConfigT) -> None:
        """Keep the settings; nothing is learned yet."""
        self.config = config

    @abstractmethod
    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Learn from the log of `data`."""

    @abstractmethod
    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) scores, minus infinity where the model cannot tell."""

    @abstractmethod
    def state(self) -> State:
        """Return what was learned."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Take back what `state` returned."""

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the n best-scored items for each query, in blocks of queries that fit in `BLOCK_BYTES`."""
        answer = Recommendations.empty(len(queries), n)
        if n == 0 or len(queries) == 0:
            return answer
        start, size = 0, 8  # The first queries tell how many items there are.
        while start < len(queries):
            rows = slice(start, start + size)
            scores = self.score(queries.take(rows))
            if candidates is not None:
                candidates.take(rows).hide(scores)
            answer.item_rows[rows], answer.scores[rows] = top_n(scores, n)
            start += size
            size = max(1, BLOCK_BYTES // (4 * max(1, scores.shape[1])))
        answer.sources[:] = np.where(answer.item_rows == NO_ITEM, Source.NONE, self.source)
        return answer


def never_scored(scores: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Set the scores (B, I) of items that are not `known` (I,) to minus infinity, in place."""
    scores[:, ~known] = -np.inf
    return scores


def from_evidence(matrix: sparse.csr_matrix | sparse.csr_array) -> NDArray[np.float32]:
    """Turn sparse evidence (B, I) into dense scores: minus infinity where there is none."""
    scores = np.full(matrix.shape, -np.inf, np.float32)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    scores[rows, matrix.indices] = matrix.data
    return scores
