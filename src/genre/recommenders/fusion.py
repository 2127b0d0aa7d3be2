"""A log-linear combination of fitted recommenders.

Geoffrey Hinton: Training Products of Experts by Minimizing Contrastive Divergence. Neural Computation 14 (2002).

Shapes: B queries, I items, M members, C candidates, E targets in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from genre.core.queries import Candidates, Holdout, Queries, Recommendations
from genre.core.ragged import Ragged, offsets_of
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.metrics.ranking import ndcg
from genre.metrics.ranks import target_ranks
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, ScoringRecommender, State
from genre.recommenders.members import (
    Pool,
    named_members,
    questions_to_learn_from,
    scores_of,
    standardised,
    with_sources,
)

Weights = NDArray[np.float64]
_BLOCK_BYTES = 1 << 25
"""Bytes of one member's scores that are held at once (32 MiB)."""
_FIRST_STEPS = (1 / 64, 1 / 16, 1 / 4, 1.0)
"""What a member without weight is tried with, beside the heaviest one."""
_STEPS = (4.0, 2.0, 1.4, 1.2)
"""Factors that weights are tried with, up and down, from coarse to fine."""


class FusionConfig(RecommenderConfig):
    """Settings of `fusion`."""

    kind: Literal["fusion"] = "fusion"
    members: tuple[str, ...] = Field(min_length=1)
    """The models to combine, by name."""
    weights: dict[str, FiniteFloat] | None = None
    """How much each member says, for scores at standard deviation 1. None, the default, chooses them on the
    validation events."""
    num_candidates: int = Field(default=100, ge=10)
    """Each member's best items, among which weights are chosen. Ten places are judged, and an item that is among no
    member's first hundred hardly ever reaches them."""
    max_queries: int = Field(default=10_000, ge=1)
    """Validation questions that weights are chosen on. More would not move them."""
    hide_seen: bool = True
    """Whether weights are chosen for answers without the items of the history, as the evaluation's `hide_seen`."""

    @model_validator(mode="after")
    def _weights_are_the_members(self) -> FusionConfig:
        if self.weights is not None:
            if sorted(self.weights) != sorted(self.members):
                raise ValueError(f"`weights` are of {sorted(self.weights)}, `members` are {sorted(self.members)}")
            if min(self.weights.values()) < 0 or max(self.weights.values()) == 0:
                raise ValueError(f"`weights` {self.weights} must be 0 or more, and not all 0")
        return self

    def build(self, members: Mapping[str, Recommender]) -> Fusion:
        """Return the unfitted component."""
        return Fusion(self, named_members(self.members, members, "fusion"))

    def estimate(self, size: DataSize) -> Estimate:
        """The candidates of the validation questions, and every member's scores for these."""
        queries, num_members = min(size.num_users, self.max_queries), len(self.members)
        pool = queries * num_members * min(self.num_candidates, size.num_items)
        scored = queries * num_members * size.num_items
        return Estimate(
            memory=4 * pool * (num_members + 4) + _BLOCK_BYTES * (num_members + 4), seconds=2e-8 * scored + 2e-6 * pool
        )


class Fusion(ScoringRecommender[FusionConfig]):
    """Let every member say how likely each item is, and multiply.

    ``P(i | q) proportional to product over m of P_m(i | q)^w_m`` with weights ``w_m >= 0``, and ``P_m(i | q)
    proportional to exp(z_m(i, q))``, where z is the member's score less its mean over the items that it scores for this
    query, divided by their standard deviation. So ``score(i) = sum w_m z_m(i)``: a weighted sum of logarithms. An item
    that a member does not score counts as that member's worst; one that no member with a weight scores is not scored.

    Weights are chosen to maximise NDCG@10 on validation events, one weight after the other in steps that get finer,
    starting from the best member alone: on these events the fusion is never worse than a member that scores most items.
    One that scores only a few is weakened, since its worst item ties with all others.
    """

    weights: Weights
    """(M,), the largest is 1 where chosen; 0 for a member that is no help."""
    num_items: int

    def __init__(self, config: FusionConfig, members: Mapping[str, Recommender]) -> None:
        """Keep the settings and the fitted members."""
        super().__init__(config)
        self.members = list(members.values())

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Choose the weights, unless they are given.

        Raises:
            ModelError: Weights are to be chosen, and there are no validation events.
        """
        self.num_items = data.num_items
        if self.config.weights is not None:
            self.weights = np.array([self.config.weights[name] for name in self.config.members], np.float64)
            return self
        holdout, candidates = questions_to_learn_from(
            run, "fusion", most=self.config.max_queries, hide_seen=self.config.hide_seen
        )
        self.weights = choose_weights(self._judged(holdout, candidates, run))
        return self

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) weighted sums of standardised scores."""
        scores = np.empty((len(queries), self.num_items), np.float32)
        active = np.flatnonzero(self.weights)
        for start, part in self._blocks(queries):
            block = scores[start : start + len(part)]
            block[:] = 0
            scored = np.zeros(block.shape, bool)
            for at in active:
                raw = scores_of(self.members[at], part, self.num_items)
                scored |= raw > -np.inf
                block += np.float32(self.weights[at]) * standardised(raw)
            block[~scored] = -np.inf
        return scores

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the n best items; each one's source is that of the heaviest member that scores it."""
        answer = super().recommend(queries, n, candidates=candidates)
        heaviest_first = np.argsort(-self.weights, kind="stable")[: np.count_nonzero(self.weights)]
        return with_sources(answer, queries, [self.members[at] for at in heaviest_first])

    def state(self) -> State:
        """Return the weights."""
        return {"weights": self.weights, "num_items": np.array([self.num_items])}

    def restore(self, state: State) -> None:
        """Take the weights back; the members are those that it was built with."""
        self.weights, self.num_items = state["weights"], int(state["num_items"][0])

    def _blocks(self, queries: Queries) -> Iterator[tuple[int, Queries]]:
        return queries.blocks(max(1, _BLOCK_BYTES // (4 * max(1, self.num_items))))

    def _judged(self, holdout: Holdout, candidates: Candidates, run: RunContext) -> Judged:
        """Gather what the members say of their best items, block by block."""
        parts = []
        for start, queries in run.progress.track(self._blocks(holdout.queries), "fusion: ask the members"):
            rows = np.arange(start, start + len(queries))
            pool = Pool.ask(self.members, queries, candidates.take(rows), self.config.num_candidates, self.num_items)
            parts.append(Judged.of(pool, holdout.targets.take(rows)))
        return Judged.joined(parts)


@dataclass(frozen=True, eq=False)
class Judged:
    """The queries that have a target among their candidates: in the others, nothing can be won."""

    pool: Pool
    columns: Ragged
    """B rows; the columns of the targets, at least one a row."""
    num_targets: NDArray[np.int64]
    """(B,) targets, those that are no candidates included."""

    @classmethod
    def of(cls, pool: Pool, targets: Ragged) -> Self:
        """Look for the targets among the candidates."""
        columns = pool.columns_of(targets)
        kept = np.flatnonzero(columns.lengths)
        return cls(pool.take(kept), columns.take(kept), targets.lengths[kept])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the queries of all parts."""
        columns = [part.columns for part in parts]
        lengths = np.concatenate([part.lengths for part in columns])
        return cls(
            Pool.joined([part.pool for part in parts]),
            Ragged(offsets_of(lengths), np.concatenate([part.values for part in columns])),
            np.concatenate([part.num_targets for part in parts]),
        )

    def quality(self, weights: Weights) -> float:
        """Return the sum of NDCG@10 over the queries."""
        scores = np.tensordot(weights.astype(np.float32), self.pool.says, 1)
        scores[~self.pool.filled] = -np.inf
        # Targets that are no candidates rank nowhere; they stand behind the others of their query.
        first = offsets_of(self.num_targets)
        ranks = np.full(first[-1], np.inf, np.float32)
        within = np.arange(len(self.columns.values)) - np.repeat(self.columns.offsets[:-1], self.columns.lengths)
        ranks[first[self.columns.row_of_value] + within] = target_ranks(scores, self.columns)
        return float(ndcg(ranks, first, 10).sum())


def choose_weights(judged: Judged) -> Weights:
    """Return the weights (M,) with the best `quality` that a search by coordinates finds; the largest is 1.

    It starts from the best member alone, and a weight moves only for something better: the result is at least as good.
    """
    alone = np.eye(len(judged.pool.says))
    qualities = [judged.quality(weights) for weights in alone]
    weights, best = alone[int(np.argmax(qualities))], max(qualities)
    for step in _STEPS:
        before = -1.0
        while best > before:
            before = best
            for member in range(len(weights)):
                for value in _values_to_try(weights, member, step):
                    tried = weights.copy()
                    tried[member] = value
                    quality = judged.quality(tried)
                    if quality > best:
                        weights, best = tried, quality
    scaled: Weights = weights / weights.max()
    return scaled


def _values_to_try(weights: Weights, member: int, step: float) -> list[float]:
    """Return other values for one weight; the only weight is never taken away."""
    now = weights[member]
    if now == 0:
        return [float(weights.max()) * part for part in _FIRST_STEPS]
    values = [now * step, now / step]
    return values if np.count_nonzero(weights) == 1 else [*values, 0.0]
