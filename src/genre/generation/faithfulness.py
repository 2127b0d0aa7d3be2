"""Whether the reasons that are given are those of the model: without what they cite, its answer must suffer.

Shapes: B queries, n answers for each, E events, C cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import Candidates, Queries, Recommendations
from genre.data.dataset import Vocabulary
from genre.generation.attribution import score_and_rank
from genre.generation.reasons import Reason
from genre.metrics.statistics import Interval, bootstrap_interval
from genre.recommenders.base import Recommender

_AT_ONCE = 256
"""Queries that a model is asked together."""


@dataclass(frozen=True)
class Faithfulness:
    """How true reasons are of the model."""

    reasons: int
    """Recommended items."""
    coverage: float
    """Share of them with a reason that names an event of the history."""
    cases: int
    """Reasons that were put to the test: the model itself ranks the item, and the history has other events."""
    share: Interval
    """Of the draws in which the item loses more without the cited events than without as many others, equal losses
    for half: 0.5 by chance."""


@dataclass(frozen=True, eq=False)
class _Case:
    """One item with what its reason cites."""

    query: int
    item: int
    cited: NDArray[np.int64]
    """Places of the cited events among all events of the queries."""
    others: NDArray[np.int64]
    """Places of the other liked events of the history."""


def faithfulness(
    model: Recommender,
    queries: Queries,
    answer: Recommendations,
    reasons: Sequence[Sequence[Reason]],
    catalogue: Vocabulary,
    candidates: Candidates,
    *,
    rng: np.random.Generator,
    draws: int = 8,
    samples: int = 1000,
    confidence: float = 0.95,
) -> Faithfulness:
    """Leave out the events that each reason cites, and as many others of the history instead, and ask the model again.

    An item loses rank, or, where it keeps it, score. It is what the model says, so it holds for any model; a reason
    that only sounds good does no better than chance. The interval is over people, whose reasons are no independent
    cases.

    DeYoung et al.: ERASER: A Benchmark to Evaluate Rationalized NLP Models. ACL 2020 (comprehensiveness).

    Args:
        model: What recommended the items.
        queries: B queries.
        answer: (B, n) what is recommended.
        reasons: One for every filled place.
        catalogue: Ids of the items.
        candidates: Of the queries. They stay as they are, so that an event that is left out is no answer.
        rng: Draws the other events and the resamples.
        draws: How many choices of other events each reason is compared with.
        samples: Resamples of people.
        confidence: Probability that the interval holds the true share.
    """
    cases, told, given = list[_Case](), 0, 0
    for row, found in enumerate(reasons):
        for item, reason in zip(answer.item_rows[row][answer.filled[row]], found, strict=True):
            given += 1
            told += reason.because is not None
            if (case := _case(queries, row, int(item), reason, catalogue)) is not None:
                cases.append(case)
    values = np.full(len(cases), np.nan)
    block = max(1, _AT_ONCE // (2 + draws))
    for start in range(0, len(cases), block):
        part = cases[start : start + block]
        values[start : start + block] = _shares(model, queries, part, candidates, draws, rng)
    rows = np.array([case.query for case in cases], np.int64)
    known = ~np.isnan(values)
    means = np.array([values[known & (rows == row)].mean() for row in np.unique(rows[known])])
    share = bootstrap_interval(means, samples=samples, confidence=confidence, rng=rng)
    return Faithfulness(given, told / given if given else float("nan"), int(known.sum()), share)


def _case(queries: Queries, row: int, item: int, reason: Reason, catalogue: Vocabulary) -> _Case | None:
    """Return a reason as a case, if it cites something and leaves as many other events to compare with."""
    if reason.because is None:
        return None
    history = queries.history
    places = np.arange(history.offsets[row], history.offsets[row + 1])
    places = places[history.weights[places] > 0]
    is_cited = history.item_rows[places] == catalogue.rows([reason.because])[0]
    cited, others = places[is_cited], places[~is_cited]
    return _Case(row, item, cited, others) if 0 < len(cited) <= len(others) else None


def _shares(
    model: Recommender,
    queries: Queries,
    cases: Sequence[_Case],
    candidates: Candidates,
    draws: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return (C,) the share of draws in which the cited events cost more; NaN where the item has no rank."""
    gone = [
        out
        for case in cases
        for out in (
            np.zeros(0, np.int64),
            case.cited,
            *(rng.choice(case.others, len(case.cited), replace=False) for _ in range(draws)),
        )
    ]
    times = np.repeat([case.query for case in cases], 2 + draws)
    asked = queries.take(times)
    starts = asked.history.offsets[:-1] - queries.history.offsets[times]
    kept = np.ones(asked.history.num_events, bool)
    kept[np.concatenate([start + out for start, out in zip(starts, gone, strict=True)])] = False
    asked = replace(asked, history=asked.history.where(kept))
    items = np.repeat([case.item for case in cases], 2 + draws)
    scores, ranks = score_and_rank(model, asked, items, candidates.take(times))
    scores, ranks = scores.reshape(len(cases), -1), ranks.reshape(len(cases), -1)
    cited_rank, cited_score = ranks[:, 1:2], scores[:, 1:2]
    worse = (cited_rank > ranks[:, 2:]) | ((cited_rank == ranks[:, 2:]) & (cited_score < scores[:, 2:]))
    equal = (cited_rank == ranks[:, 2:]) & (cited_score == scores[:, 2:])
    return np.where(np.isfinite(ranks[:, 0]), (worse + 0.5 * equal).mean(1), np.nan)
