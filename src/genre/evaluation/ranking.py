"""Ranks the targets of questions among all items, or among a stated sample, and measures the result.

A `RankingTask` is made once and holds what all models are judged by: the candidates, the drawn samples, what popularity
would have recommended, the groups. `evaluate_ranking` then judges one model. Below it, `rank_scores` turns blocks of
scores into ranks and lists, wherever the scores come from.

Shapes: B queries, I items, n places, E targets in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ModelError
from genre.core.meter import Meter
from genre.core.queries import NO_ITEM, Candidates, Holdout
from genre.core.ragged import Ragged
from genre.core.run import Progress, Silent
from genre.core.topn import top_n
from genre.evaluation.config import EvaluationConfig, FullRanking, SampledRanking
from genre.evaluation.sampling import draw_items
from genre.evaluation.slices import Group, make_groups
from genre.metrics.beyond import (
    Features,
    PerQuery,
    Rows,
    average_popularity,
    coverage,
    entropy,
    exposure,
    gini,
    intra_list_diversity,
    novelty,
    popularity_lift,
    serendipity,
)
from genre.metrics.ranking import METRICS, Ranks, only_targets, ranking_metrics
from genre.metrics.ranks import list_ranks, target_ranks
from genre.recommenders.base import Recommender, Scorer

_DENSE_FLOATS = 1 << 24
"""Feature values that the diversity of a block of answers may need (64 MiB)."""


@dataclass(frozen=True, eq=False)
class RankingTask:
    """The questions, and all that models are judged by beside their answers."""

    holdout: Holdout
    config: EvaluationConfig
    candidates: Candidates
    """What may be recommended to each query; a sample for `SampledRanking`."""
    popularity: NDArray[np.float64]
    """(I,) likes in training."""
    groups: tuple[Group, ...]
    features: Features | None
    """(I, D) what items are like, for the diversity of lists."""

    @property
    def block_size(self) -> int:
        """Return how many queries' scores fit in the memory that the config allows."""
        return max(1, self.config.memory_mib * 2**20 // (4 * max(1, len(self.popularity))))

    def take(self, rows: NDArray[np.int64]) -> RankingTask:
        """Return the task of some queries, without groups."""
        return replace(self, holdout=self.holdout.take(rows), candidates=self.candidates.take(rows), groups=())

    @cached_property
    def expected(self) -> Rows:
        """What popularity would recommend to the same queries, (B, k)."""
        counts = np.where(self.popularity > 0, self.popularity, -np.inf).astype(np.float32)
        blocks = (np.tile(counts, (len(part), 1)) for _, part in self.holdout.queries.blocks(self.block_size))
        return rank_scores(blocks, self.candidates, self.holdout.targets, self.config.primary_k).item_rows


def make_task(
    holdout: Holdout,
    config: EvaluationConfig,
    *,
    popularity: NDArray[np.float64],
    rng: np.random.Generator,
    features: Features | None = None,
) -> RankingTask:
    """Prepare what all models are judged by.

    Args:
        holdout: The questions and their answers.
        config: How to judge.
        popularity: (I,) likes in training, `data.interactions.item_counts(data.num_items)`.
        rng: Draws the sample of `SampledRanking`; the same seed draws the same one.
        features: (I, D) dense or sparse; without it, the diversity of lists is not measured.

    Raises:
        ConfigError: A user column to slice by is not there.
    """
    groups = make_groups(holdout, popularity, config.slices)
    candidates = _candidates(holdout, config, popularity, rng)
    return RankingTask(holdout, config, candidates, popularity, groups, features)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Where a model puts the targets, and the best of its answers."""

    ranks: Ranks
    """(E,) from 1; infinity for a target that is not returned."""
    item_rows: Rows
    """(B, n)"""


def rank_block(
    scores: NDArray[np.float32], candidates: Candidates, targets: Ragged, n: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the ranks (E,) of the targets and the best n items (B, n) of one block of scores (B, I), exactly.

    The scores of what may not be returned are set to minus infinity, in place.
    """
    candidates.hide(scores)
    return target_ranks(scores, targets), top_n(scores, n)[0]


def rank_scores(blocks: Iterable[NDArray[np.float32]], candidates: Candidates, targets: Ragged, n: int) -> Ranking:
    """Rank by blocks of scores (any number of queries each, I) that together cover all queries in order.

    Changes the scores. Of a block nothing is held when the next is asked for.

    Raises:
        ModelError: The blocks do not cover all queries.
    """
    ranking = Ranking(np.empty(len(targets.values), np.float32), np.empty((len(targets), n), np.int32))
    start = 0
    for scores in blocks:
        rows = slice(start, start + len(scores))
        where = slice(*targets.offsets[[rows.start, rows.stop]])
        ranking.ranks[where], ranking.item_rows[rows] = rank_block(scores, candidates.take(rows), targets.take(rows), n)
        start = rows.stop
        del scores
    if start != len(targets):
        raise ModelError(
            f"scores for {start!r} queries where {len(targets)!r} were asked",
            place="evaluation",
            remedy="`score` must return one row for each query.",
        )
    return ranking


@dataclass(frozen=True, eq=False)
class RankingResult:
    """How well one model answers the questions of one task."""

    per_query: dict[str, PerQuery]
    """Ranking metrics by name (`NDCG@10`), (B,) each."""
    beyond: dict[str, PerQuery]
    """Measures of single lists by name, (B,) each, NaN for a query that says nothing."""
    totals: dict[str, float]
    """Measures of all lists together by name."""
    groups: dict[str, dict[str, PerQuery]]
    """The primary metric by slice and group, for the queries of the group alone."""
    seconds: float
    memory: int
    """Bytes at the peak above what the process held before; scoring included."""


def evaluate_ranking(
    model: Recommender, task: RankingTask, progress: Progress | None = None, *, beyond: bool = True
) -> RankingResult:
    """Judge one model.

    A `Scorer` is ranked by its scores: exact ranks, with ties counted half, in blocks of `memory_mib`. A model that
    only recommends is ranked by the places of its lists, as long as the longest of `ks`.

    Args:
        model: A fitted model.
        task: What to answer.
        progress: Shows how many blocks are done.
        beyond: Whether lists are judged beyond accuracy too. Lists of sampled candidates never are.
    """
    config, targets = task.config, task.holdout.targets
    with Meter() as meter:
        ranking = _rank(model, task, progress or Silent())
    groups: dict[str, dict[str, PerQuery]] = {}
    name, k = config.primary.split("@")
    for group in task.groups:
        ranks, offsets, _ = only_targets(ranking.ranks, targets.offsets, group.keep)
        groups.setdefault(group.slice, {})[group.name] = METRICS[name](ranks, offsets, int(k))
    whole = beyond and isinstance(config.candidates, FullRanking)
    item_rows = ranking.item_rows[:, : config.primary_k]
    return RankingResult(
        per_query=ranking_metrics(ranking.ranks, targets.offsets, config.ks),
        beyond=_beyond(item_rows, ranking.ranks, task) if whole else {},
        totals=_totals(item_rows, task) if whole else {},
        groups=groups,
        seconds=meter.seconds,
        memory=meter.memory,
    )


def _candidates(
    holdout: Holdout, config: EvaluationConfig, popularity: NDArray[np.float64], rng: np.random.Generator
) -> Candidates:
    seen = holdout.queries.history.items
    only = None
    if isinstance(config.candidates, SampledRanking):
        weights = popularity if config.candidates.by == "popularity" else np.ones(len(popularity))
        drawn = draw_items(seen.joined(holdout.targets), config.candidates.num, weights, rng)
        only = holdout.targets.joined(drawn)
    return Candidates(excluded=seen if config.hide_seen else None, only=only)


def _rank(model: Recommender, task: RankingTask, progress: Progress) -> Ranking:
    queries, targets, n = task.holdout.queries, task.holdout.targets, max(task.config.ks)
    size = task.block_size
    steps = progress.track(queries.blocks(size), f"evaluate {model.config.kind}", -(-len(queries) // size))
    if isinstance(model, Scorer):
        scorer = model
        return rank_scores((scorer.score(part) for _, part in steps), task.candidates, targets, n)

    def lists() -> Iterator[Rows]:
        for start, part in steps:
            yield model.recommend(part, n, candidates=task.candidates.take(slice(start, start + size))).item_rows

    item_rows = np.concatenate([np.empty((0, n), np.int32), *lists()])
    return Ranking(list_ranks(item_rows, targets), item_rows)


def _beyond(item_rows: Rows, ranks: Ranks, task: RankingTask) -> dict[str, PerQuery]:
    """Measure lists (B, k) one by one."""
    targets = task.holdout.targets
    found = np.bincount(targets.row_of_value[np.isfinite(ranks)], minlength=len(targets)).astype(np.float64)
    reachable: PerQuery = found / np.maximum(targets.lengths, 1)
    values: dict[str, PerQuery] = {
        "answered": np.not_equal(item_rows[:, 0], NO_ITEM).astype(np.float64),
        "reachable": reachable,
        "novelty": novelty(item_rows, task.popularity),
        "serendipity": serendipity(item_rows, task.expected, targets),
        "average_popularity": average_popularity(item_rows, task.popularity),
    }
    if task.features is not None:
        size = max(1, _DENSE_FLOATS // max(1, task.features.shape[1]))
        parts = [
            intra_list_diversity(item_rows[start : start + size], task.features)
            for start in range(0, len(item_rows), size)
        ]
        values["diversity"] = np.concatenate([np.empty(0), *parts])
    return values


def _totals(item_rows: Rows, task: RankingTask) -> dict[str, float]:
    """Measure lists (B, k) together."""
    exposures = exposure(item_rows, len(task.popularity))
    liked = task.holdout.queries.history.liked().items
    return {
        "coverage": coverage(exposures),
        "gini": gini(exposures),
        "entropy": entropy(exposures),
        "popularity_lift": popularity_lift(item_rows, liked, task.popularity),
    }
