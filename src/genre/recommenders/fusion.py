"""A log-linear combination of fitted recommenders.

Geoffrey Hinton: Training Products of Experts by Minimizing Contrastive Divergence. Neural Computation 14 (2002).

Shapes: B queries, I items, M members, C candidates, E targets in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from genre.core.queries import NO_ITEM, Candidates, Holdout, Queries, Recommendations, Source
from genre.core.run import RunContext
from genre.core.topn import top_n
from genre.data.dataset import Dataset, Entities
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, ScoringRecommender, State
from genre.recommenders.growth import grown
from genre.recommenders.members import (
    Judged,
    Pool,
    named_members,
    only_source,
    questions_to_learn_from,
    scores_of,
    sources_of,
    standardised,
)
from genre.recommenders.new_items import choose_within, reading_weights, reads_new_items, show_new
from genre.recommenders.updating import updated

Weights = NDArray[np.float64]
_BLOCK_BYTES = 1 << 25
"""Bytes of one member's scores that are held at once (32 MiB)."""
_FIRST_STEPS = (1 / 64, 1 / 16, 1 / 4, 1.0)
"""What a member without weight is tried with, beside the heaviest one."""
_FEWEST_NEW = 0.02
"""Share of the items that are taken for new at least, to choose how new items are shown."""
_OFTEN = 0.2
"""Share of the validation events whose items nobody has liked, from which on such items are no exceptions."""
_LEAST = 1e-6
"""Puts members that are heard on new items alone behind those with a weight."""
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
    new_items: float | None = Field(default=0.0075, gt=0, lt=1)
    """Share of the NDCG@10 of known items that showing new ones may cost, where a member reads them. None lets new
    items count as the worst of every member that does not know them, which hides them."""
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

    Items that nobody has liked take their places from the members that read, which make a list of their own: those
    among its first few stand in the last of the fusion's first ten places, where they cost known items least, and the
    others further down (`show_new`). How many are few is chosen on validation events whose items are taken for new: as
    many as are new in the data, a fiftieth at least (`choose_within`). Where little is known of a catalogue, so that a
    fifth of the validation events are of such items, they are no exceptions: the weights hold for them too.
    """

    weights: Weights
    """(M,), the largest is 1 where chosen; 0 for a member that is no help."""
    says: Weights
    """(M,) how much each member says of new items, sum 1; all 0 where they are left to the weights."""
    within: int
    """Places of the list which these members make together that bring a new item into the fusion's first ten."""
    new: NDArray[np.bool_]
    """(I,) items that nobody has liked."""

    def __init__(self, config: FusionConfig, members: Mapping[str, Recommender]) -> None:
        """Keep the settings and the fitted members."""
        super().__init__(config)
        self.members = list(members.values())

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Choose the weights, unless they are given.

        Raises:
            ModelError: Weights are to be chosen, and there are no validation events.
        """
        self.new = data.interactions.item_counts(data.num_items) == 0
        self.says, self.within = np.zeros(len(self.members)), 0
        if self.config.weights is not None:
            self.weights = np.array([self.config.weights[name] for name in self.config.members], np.float64)
            return self
        holdout, candidates = questions_to_learn_from(
            run, "fusion", most=self.config.max_queries, hide_seen=self.config.hide_seen
        )
        judged = self._judged(holdout, candidates, run)
        self.weights = choose_weights(judged)
        wanted = holdout.targets.values
        exceptions = not len(wanted) or float(self.new[wanted].mean()) < _OFTEN
        if self.config.new_items is not None and exceptions and any(map(reads_new_items, self.members)):
            self.says = reading_weights(self.weights, self.members)
            drawn = run.rng("fusion.new").random(data.num_items) < max(float(self.new.mean()), _FEWEST_NEW)
            self.within = choose_within(judged, self.weights, self.says, drawn & ~self.new, self.config.new_items)
        return self

    @property
    def num_items(self) -> int:
        """Return I."""
        return len(self.new)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) weighted sums of standardised scores."""
        scores = np.empty((len(queries), self.num_items), np.float32)
        for start, part in self._blocks(queries):
            scores[start : start + len(part)], _ = self._said(part)
        return scores

    @property
    def _heaviest_first(self) -> NDArray[np.intp]:
        """The members that say anything, those that are only heard on new items last."""
        heard = self.weights + self.says * _LEAST
        return np.argsort(-heard, kind="stable")[: np.count_nonzero(heard)]

    def _said(self, queries: Queries) -> tuple[NDArray[np.float32], dict[int, NDArray[np.bool_]]]:
        """Return scores (B, I), and which items (B, I) each member that was heard has scored."""
        known = dict[int, NDArray[np.bool_]]()
        shown = bool(self.says.any() and self.new.any())
        heard = (self.weights > 0) | (self.says > 0) if shown else self.weights > 0
        scores, read = _Sum(len(queries), self.num_items), _Sum(len(queries), self.num_items)
        for at in np.flatnonzero(heard).tolist():
            raw = scores_of(self.members[at], queries, self.num_items)
            known[at] = raw > -np.inf
            z = standardised(raw, known[at])
            scores.add(self.weights[at], z, known[at])
            if shown:
                read.add(self.says[at], z, known[at])
        total = scores.total()
        if shown:
            self._show_new(total, read.total(), queries)
        return total, known

    def _show_new(self, scores: NDArray[np.float32], read: NDArray[np.float32], queries: Queries) -> None:
        """Put new items among those that are answers."""
        history = queries.history.items
        seen = (history.row_of_value, history.values) if self.config.hide_seen else (np.empty(0, int),) * 2
        kept = scores[seen]
        scores[seen] = read[seen] = -np.inf
        show_new(scores, read, np.broadcast_to(self.new, scores.shape), self.within)
        scores[seen] = kept

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        """Return the n best items; each one's source is that of the heaviest member that scores it."""
        answer = Recommendations.empty(len(queries), n)
        for start, part in self._blocks(queries) if n else ():
            rows = slice(start, start + len(part))
            scores, known = self._said(part)
            if candidates is not None:
                candidates.take(rows).hide(scores)
            answer.item_rows[rows], answer.scores[rows] = top_n(scores, n)
            answer.sources[rows] = self._sources(part, answer.item_rows[rows], known)
        return answer

    def _sources(
        self, queries: Queries, items: NDArray[np.int32], known: Mapping[int, NDArray[np.bool_]]
    ) -> NDArray[np.int8]:
        """Return where each item (B, n) comes from, by the member that speaks for it; only some must be asked."""
        sources = np.full(items.shape, Source.NONE, np.int8)
        left = items != NO_ITEM
        for at in self._heaviest_first.tolist():
            if at not in known:
                continue
            mine = left & np.take_along_axis(known[at], np.maximum(items, 0).astype(np.intp), axis=1)
            if not mine.any():
                continue
            left &= ~mine
            source = only_source(self.members[at])
            if source is None:
                asked = sources_of(self.members[at], queries, np.where(mine, items, NO_ITEM))
                sources[mine] = asked[mine]
            else:
                sources[mine] = source
        return sources

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a fusion over a longer catalogue; new items are scored by the members that read them."""
        fusion = copy(self)
        fusion.members = [grown(member, items, self.num_items, run) for member in self.members]
        fusion.new = np.concatenate([self.new, np.ones(len(items) - self.num_items, bool)])
        return fusion

    def update(self, data: Dataset, new: NDArray[np.bool_], run: RunContext) -> Self:
        """Return a fusion of members that have learned from the new events."""
        members = [updated(member, data, new, run)[0] for member in self.members]
        return self.update_with(dict(zip(self.config.members, members, strict=True)), data, new, run)

    def update_with(
        self, members: Mapping[str, Recommender], data: Dataset, new: NDArray[np.bool_], run: RunContext
    ) -> Self:
        """Return a fusion of updated members. The weights stay.

        They say how far a member can be trusted on events that it has not learned from, and none of these are left.
        """
        fusion = copy(self)
        fusion.members = [members[name] for name in self.config.members]
        fusion.new = data.interactions.item_counts(data.num_items) == 0
        return fusion

    def state(self) -> State:
        """Return the weights."""
        return {"weights": self.weights, "says": self.says, "within": np.array([self.within]), "new": self.new}

    def restore(self, state: State) -> None:
        """Take the weights back; the members are those that it was built with."""
        self.weights, self.says, self.new = state["weights"], state["says"], state["new"]
        self.within = int(state["within"][0])

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


class _Sum:
    """A weighted sum of what members say."""

    def __init__(self, num_queries: int, num_items: int) -> None:
        """Begin with nothing said of anything."""
        self._scores = np.zeros((num_queries, num_items), np.float32)
        self._known = np.zeros(self._scores.shape, bool)

    def add(self, weight: float, scores: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Add scores (B, I), and note which items the member knows; without a weight nothing."""
        if weight > 0:
            self._scores += np.float32(weight) * scores
            self._known |= known

    def total(self) -> NDArray[np.float32]:
        """Return the sum (B, I), minus infinity for items that no member with a weight knows."""
        np.copyto(self._scores, -np.inf, where=~self._known)
        return self._scores


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
