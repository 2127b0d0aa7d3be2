"""Shadow questions: the newest events, asked of two models before either has learned them.

Shapes: B questions, I items, E events, U users.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import Candidates, Holdout, Queries, Recommendations
from genre.core.ragged import Ragged, offsets_of
from genre.data._parts import running_times
from genre.data.dataset import Dataset
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.gate import Asked
from genre.metrics.beyond import exposure
from genre.metrics.ranking import METRICS
from genre.metrics.ranks import list_ranks
from genre.recommenders.base import Recommender, Scorer

_TURNS = 31
"""Single questions that both models are timed with."""
_SCORED = 32
"""Questions of which every score is looked at, and not those of the answers alone."""


@dataclass(frozen=True, eq=False)
class Shadow:
    """What is held back of new events."""

    questions: Holdout
    """Of established users: what they liked in the newest events, after all that came before these."""
    audience: Queries
    """Established users as they could ask now, to see what they would be shown."""
    held: NDArray[np.bool_]
    """(E,) the newest events, which nothing learns from yet."""
    backing: NDArray[np.float64]
    """(I,) share of the established users with new likes who liked the item among these."""
    newcomers: NDArray[np.float64]
    """(I,) the same of users who are not established."""
    num_newcomers: int
    """Of these, those with new likes."""


def hold_back(
    data: Dataset,
    new: NDArray[np.bool_],
    *,
    share: float,
    established: int,
    most: int,
    repeats: bool,
    rng: np.random.Generator,
) -> Shadow:
    """Hold the newest of the new events back, and make questions of those of established users.

    Whoever wants to push an item can make accounts and let them ask for it: what new accounts like says nothing of how
    good a model is, nor who wants an item.

    Args:
        data: With all events.
        new: (E,) which of them have just come.
        share: Of the new events, those held back.
        established: Events that somebody must have had before the new ones.
        most: Questions; of more, some are drawn.
        repeats: Whether an item of the history can be asked for.
        rng: Draws them.
    """
    log = data.interactions
    rows, times = log.row_of_event, running_times(log)
    came = np.flatnonzero(new)
    came = came[np.argsort(times[came], kind="stable")]
    held = np.zeros(log.num_events, bool)
    held[came[len(came) - round(share * len(came)) :]] = True
    old = np.bincount(rows[~new], minlength=len(log)) >= established
    first = np.full(len(log), log.num_events)
    np.minimum.at(first, rows[held], np.flatnonzero(held))
    past = log.where(np.arange(log.num_events) < first[rows])
    wanted = np.flatnonzero(held & old[rows] & (log.weights > 0))
    pairs = rows[wanted] * data.num_items + log.item_rows[wanted]
    keep = np.zeros(len(wanted), bool)
    keep[np.unique(pairs, return_index=True)[1]] = True
    if not repeats:
        keep &= ~np.isin(pairs, past.row_of_event * data.num_items + past.item_rows)
    wanted = wanted[keep]
    users, start, counts = np.unique(rows[wanted], return_index=True, return_counts=True)
    queries = data.queries(users, history=past.take(users), times=times[wanted[start]])
    questions = Holdout(queries, Ragged(offsets_of(counts), log.item_rows[wanted]))
    if len(questions) > most:
        questions = questions.take(np.sort(rng.choice(len(questions), most, replace=False)))
    there = np.flatnonzero(old)
    if len(there) > most:
        there = np.sort(rng.choice(there, most, replace=False))
    audience = data.queries(there, history=log.where(~held).take(there))
    liked = new & (log.weights > 0)
    (backing, _), (newcomers, count) = (_shares(data, liked & whose[rows]) for whose in (old, ~old))
    return Shadow(questions, audience, held, backing, newcomers, count)


def ask(
    model: Recommender, shadow: Shadow, num_items: int, config: EvaluationConfig, *, scorer: object = None
) -> Asked:
    """Ask a model all questions, and what it would show the audience now.

    Args:
        model: Answers.
        shadow: What it is asked.
        num_items: I.
        config: The metric, and whether seen items are hidden.
        scorer: Whose scores are looked at, where the model only passes on what others answer.
    """
    scorer = scorer or model
    name, k = config.primary.split("@")
    questions = shadow.questions
    answer = _answers(model, questions.queries, int(k), config)
    ranks = list_ranks(answer.item_rows, questions.targets)
    accuracy = np.asarray(METRICS[name](ranks, questions.targets.offsets, int(k)), np.float64)
    unsound = int((answer.filled & ~np.isfinite(answer.scores)).any(axis=1).sum())
    if isinstance(scorer, Scorer) and len(questions):
        scores = scorer.score(questions.queries.take(slice(0, _SCORED)))
        unsound = max(unsound, int((np.isnan(scores) | (scores == np.inf)).any(axis=1).sum()))
    shown = exposure(_answers(model, shadow.audience, int(k), config).item_rows, num_items)
    return Asked(accuracy, shown, len(shadow.audience), unsound, int((~answer.filled.any(axis=1)).sum()))


def time_both(
    live: Recommender, candidate: Recommender, questions: Holdout, config: EvaluationConfig
) -> tuple[float, float]:
    """Return the median seconds of an answer to one question, of both models in turns.

    In turns, so that whatever else the machine does falls on both; the first answer of each does not count. The second
    number is the first times the median of their ratios, which a burst of other work does not move.
    """
    if not len(questions):
        return float("nan"), float("nan")
    excluded = Candidates(excluded=questions.queries.history.items if config.hide_seen else None)
    times: tuple[list[float], list[float]] = ([], [])
    for turn, row in enumerate(np.linspace(0, len(questions) - 1, _TURNS + 1).astype(np.int64)):
        one = np.array([row])
        queries, candidates = questions.queries.take(one), excluded.take(one)
        for model, found in ((live, times[0]), (candidate, times[1]))[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            model.recommend(queries, config.primary_k, candidates=candidates)
            found.append(time.perf_counter() - began)
    first, second = (np.array(found[1:]) for found in times)
    return float(np.median(first)), float(np.median(first) * np.median(second / first))


def _answers(model: Recommender, queries: Queries, k: int, config: EvaluationConfig) -> Recommendations:
    excluded = queries.history.items if config.hide_seen else None
    return model.recommend(queries, k, candidates=Candidates(excluded=excluded))


def _shares(data: Dataset, likes: NDArray[np.bool_]) -> tuple[NDArray[np.float64], int]:
    """Return the share of these likes' users who liked each item (I,), and how many users they are."""
    log = data.interactions.where(likes)
    matrix = log.to_binary_csr(data.num_items)
    active = int((log.lengths > 0).sum())
    return np.asarray(matrix.sum(axis=0), np.float64).ravel() / max(1, active), active
