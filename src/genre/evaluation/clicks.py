"""How well scores tell what is chosen from what was shown beside it, and how true the probabilities made of them are.

What was shown comes from a log of impressions or, without one, is drawn: the targets among unseen items.

Shapes: L lists, S shown items in all, I items.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER, Candidates, Holdout, Queries
from genre.core.ragged import Ragged, offsets_of
from genre.data.dataset import Dataset, Impressions
from genre.evaluation.sampling import draw_items
from genre.metrics.classification import CalibrationCurve, auc, calibration_curve, gauc, log_loss
from genre.recommenders.base import Recommender, Scorer


@dataclass(frozen=True, eq=False)
class ShownLists:
    """Items shown together, who saw them and when, and which were chosen."""

    queries: Queries
    """L questions, with the histories of before."""
    items: Ragged
    """L rows of shown items, S in all, none twice in a row."""
    clicked: NDArray[np.bool_]
    """(S,)"""
    num_items: int
    """I."""

    @classmethod
    def of_impressions(cls, data: Dataset, impressions: Impressions) -> Self:
        """Ask once for each list, at the time of its first item, with what the user did before that time.

        Args:
            data: Holds the events that histories are made of; later ones do no harm. For lists without a time, all of
                them are used: pass the training part.
            impressions: What was shown.
        """
        pairs = impressions.list_rows.astype(np.int64) * data.num_items + impressions.item_rows
        _, first, same = np.unique(pairs, return_index=True, return_inverse=True)
        clicked = np.bincount(same, weights=impressions.clicked) > 0  # An item shown twice was chosen if it ever was.
        lists, starts, lengths = np.unique(impressions.list_rows[first], return_index=True, return_counts=True)
        times = np.full(len(lists), np.iinfo(np.int64).max)
        np.minimum.at(times, np.searchsorted(lists, impressions.list_rows), impressions.timestamps)
        users = impressions.user_rows[first[starts]]
        history = _history_before(data.interactions, users, times)
        queries = data.queries(users, history=history, times=times)
        return cls(queries, Ragged(offsets_of(lengths), impressions.item_rows[first]), clicked, data.num_items)

    @classmethod
    def of_holdout(cls, holdout: Holdout, num_items: int, negatives: int, rng: np.random.Generator) -> Self:
        """Show each query its targets, which it chose, among `negatives` other items, unseen and drawn uniformly."""
        seen = holdout.queries.history.items.joined(holdout.targets)
        drawn = draw_items(seen, negatives, np.ones(num_items), rng)
        items = holdout.targets.joined(drawn)
        place = np.arange(len(items.values)) - items.offsets[items.row_of_value]
        return cls(holdout.queries, items, place < holdout.targets.lengths[items.row_of_value], num_items)

    def __len__(self) -> int:
        """Return the number of lists, L."""
        return len(self.queries)


def score_lists(model: Recommender, shown: ShownLists, *, memory: int) -> NDArray[np.float64]:
    """Return the model's scores (S,) of shown items, minus infinity where it has none.

    Args:
        model: Scores of a model that only recommends are those in its answer.
        shown: What to score.
        memory: Bytes that a block of scores may take.
    """
    size = max(1, memory // (4 * max(1, shown.num_items)))
    scores = np.full(len(shown.items.values), -np.inf)
    for start, queries in shown.queries.blocks(size):
        stop = start + len(queries)
        items = shown.items.take(slice(start, stop))
        where = slice(*shown.items.offsets[[start, stop]])
        if isinstance(model, Scorer):
            scores[where] = model.score(queries)[items.row_of_value, items.values]
        else:
            scores[where] = _scores_in_answer(model, queries, items, shown.num_items)
    return scores


@dataclass(frozen=True)
class PlattScaling:
    """Turns scores into probabilities: ``1 / (1 + exp(-(slope * score + intercept)))``.

    Platt: Probabilistic Outputs for Support Vector Machines. 1999.
    """

    slope: float
    intercept: float
    lowest: float
    """Stands for the score of items that the model cannot score: the lowest one it was fitted on."""

    @classmethod
    def fit(cls, scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> Self:
        """Fit on scores (S,) and labels (S,) that the model was not fitted on, by Newton's method.

        Labels are moved a little from 0 and 1, as in the paper, so that separable data have a solution.
        """
        finite = scores[np.isfinite(scores)]
        lowest = float(finite.min()) if len(finite) else 0.0
        known = np.where(np.isfinite(scores), scores, lowest)
        center, spread = float(known.mean()), float(known.std()) or 1.0
        positives, negatives = int(labels.sum()), int((~labels).sum())
        wanted = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        columns = np.column_stack([(known - center) / spread, np.ones(len(known))])
        weights = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
        for _ in range(50):
            probability = expit(columns @ weights)
            gradient = columns.T @ (probability - wanted)
            curvature = (columns * (probability * (1 - probability))[:, None]).T @ columns
            step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
            weights = weights - step
            if np.abs(step).max() < 1e-9:
                break
        slope = float(weights[0] / spread)
        return cls(slope, float(weights[1]) - slope * center, lowest)

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities (S,) of scores (S,)."""
        known = np.where(np.isfinite(scores), scores, self.lowest)
        return np.asarray(expit(self.slope * known + self.intercept), np.float64)


@dataclass(frozen=True, eq=False)
class ClickResult:
    """How well one model tells clicks from other shown items."""

    auc: float
    gauc: float
    """Mean AUC of the lists, weighted by their lengths."""
    log_loss: float
    calibration_error: float
    curve: CalibrationCurve
    num_lists: int


def evaluate_clicks(
    model: Recommender, shown: ShownLists, calibration: ShownLists, *, memory: int = 1 << 28
) -> ClickResult:
    """Judge one model.

    Args:
        model: A fitted model.
        shown: What to judge on.
        calibration: What the scaling of scores to probabilities is fitted on: the validation part, never the test.
        memory: Bytes that a block of scores may take.
    """
    scaling = PlattScaling.fit(score_lists(model, calibration, memory=memory), calibration.clicked)
    scores = score_lists(model, shown, memory=memory)
    probabilities = scaling.probabilities(scores)
    curve = calibration_curve(probabilities, shown.clicked)
    return ClickResult(
        auc=auc(scores, shown.clicked),
        gauc=gauc(scores, shown.clicked, shown.items.row_of_value, len(shown)),
        log_loss=log_loss(probabilities, shown.clicked),
        calibration_error=curve.error,
        curve=curve,
        num_lists=len(shown),
    )


def divide_impressions(
    impressions: Impressions, validation: Holdout, test: Holdout, num_users: int
) -> tuple[Impressions, Impressions]:
    """Return what was shown from each user's validation question on, and from the user's test question on.

    Lists of users without a test question, or without a time, are in neither part.
    """
    asked = [np.full(num_users + 1, np.iinfo(np.int64).max) for _ in range(2)]  # The last place: unknown users.
    for times, part in zip(asked, (validation, test), strict=True):
        np.minimum.at(times, part.queries.user_rows, part.queries.times)
        times[UNKNOWN_USER] = np.iinfo(np.int64).max
    dated = impressions.timestamps > 0
    later, latest = (dated & (impressions.timestamps >= times[impressions.user_rows]) for times in asked)
    return _where(impressions, later & ~latest), _where(impressions, latest)


def _where(impressions: Impressions, keep: NDArray[np.bool_]) -> Impressions:
    return Impressions(**{part.name: getattr(impressions, part.name)[keep] for part in fields(impressions)})


def _scores_in_answer(model: Recommender, queries: Queries, items: Ragged, num_items: int) -> NDArray[np.float64]:
    """Return the scores of the items in the model's answer when it may choose among them only."""
    longest = int(items.lengths.max(initial=0))
    answer = model.recommend(queries, longest, candidates=Candidates(only=items))
    row, place = np.nonzero(answer.filled)
    returned = row * num_items + answer.item_rows[row, place]
    order = np.argsort(returned)
    wanted = items.row_of_value * num_items + items.values
    found = np.isin(wanted, returned)
    scores = np.full(len(wanted), -np.inf)
    scores[found] = answer.scores[row, place][order][np.searchsorted(returned[order], wanted[found])]
    return scores


def _history_before(log: Interactions, users: NDArray[np.int32], times: NDArray[np.int64]) -> Interactions:
    """Return what the users (L,) did before the times (L,); nothing for unknown users."""
    nobody = Interactions(np.append(log.offsets, log.offsets[-1]), log.item_rows, log.timestamps, log.weights)
    history = nobody.take(np.where(users == UNKNOWN_USER, len(log), users))
    limit = np.where(times > 0, times, np.iinfo(np.int64).max)
    return history.where(history.timestamps < limit[history.row_of_event])
