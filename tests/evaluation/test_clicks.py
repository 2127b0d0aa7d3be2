"""Clicks: what is asked, what is scored, and probabilities against scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from genre.core.queries import UNKNOWN_USER, Queries
from genre.core.ragged import Ragged
from genre.data.dataset import Dataset, Impressions
from genre.evaluation.clicks import PlattScaling, ShownLists, divide_impressions, evaluate_clicks, score_lists
from genre.metrics.classification import log_loss
from tests.evaluation.toys import FixedLists, FixedScores, make_holdout


def impressions_of(rows: list[tuple[int, int, int, int, bool]]) -> Impressions:
    """Build from (list, user, item, time, clicked)."""
    lists, users, items, times, clicked = (np.array(column) for column in zip(*rows, strict=True))
    return Impressions(
        lists.astype(np.int32),
        users.astype(np.int32),
        items.astype(np.int32),
        times.astype(np.int64),
        np.zeros(len(rows), np.int32),
        clicked.astype(bool),
        np.full(len(rows), np.nan, np.float32),
    )


def test_lists_are_asked_with_what_was_done_before_them(dataset: Dataset) -> None:
    log = dataset.interactions
    second, last = int(log.timestamps[1]), int(log.timestamps[log.offsets[1] - 1])
    shown = ShownLists.of_impressions(
        dataset,
        impressions_of(
            [
                (7, 0, 4, last + 9, False),
                (3, 0, 5, second, True),
                (7, 0, 2, last + 5, True),
                (3, 0, 1, second + 1, False),
                (5, UNKNOWN_USER, 8, last, False),
                (7, 0, 2, last + 5, False),
            ]
        ),
    )
    assert len(shown) == 3
    assert shown.queries.user_rows.tolist() == [0, UNKNOWN_USER, 0]
    assert shown.queries.times.tolist() == [second, last, last + 5]
    assert [shown.items[row].tolist() for row in range(3)] == [[1, 5], [8], [2, 4]]
    assert shown.clicked.tolist() == [False, True, False, True, False]
    before = log.item_rows[: log.offsets[1]]
    assert shown.queries.history.items[0].tolist() == before[log.timestamps[: len(before)] < second].tolist()
    assert shown.queries.history.items[0].tolist() != before.tolist()
    assert shown.queries.history.items[1].tolist() == []
    assert shown.queries.history.items[2].tolist() == before.tolist()


def test_lists_without_a_time_are_asked_with_all_of_the_log(dataset: Dataset) -> None:
    shown = ShownLists.of_impressions(dataset, impressions_of([(0, 2, 1, 0, True)]))
    assert shown.queries.history.items[0].tolist() == dataset.interactions.items[2].tolist()


def test_drawn_lists_hold_the_targets_among_unseen_items() -> None:
    holdout = make_holdout(20, 60)
    shown = ShownLists.of_holdout(holdout, 60, 6, np.random.default_rng(0))
    assert shown.items.lengths.tolist() == [8] * 20
    for row in range(20):
        chosen = shown.clicked[8 * row : 8 * row + 8]
        assert shown.items[row][chosen].tolist() == holdout.targets[row].tolist()
        assert not set(shown.items[row]) & set(holdout.queries.history.items[row])
        assert len(set(shown.items[row])) == 8


def test_impressions_are_divided_by_each_user_s_own_questions() -> None:
    validation, test = make_holdout(3, 10, seed=1), make_holdout(3, 10, seed=2)
    users = np.array([0, 1, UNKNOWN_USER], np.int32)
    for part, times in ((validation, [10, 20, 1]), (test, [15, 30, 1])):
        part.queries.user_rows[:] = users
        part.queries.times[:] = times
    rows = [(0, 0, 1, 9, True), (1, 0, 1, 10, True), (2, 0, 1, 15, True), (3, 1, 1, 29, False), (4, 2, 1, 99, True)]
    shown = impressions_of([*rows, (5, UNKNOWN_USER, 1, 99, True), (6, 0, 1, 0, True)])
    earlier, later = divide_impressions(shown, validation, test, num_users=4)
    assert earlier.list_rows.tolist() == [1, 3]
    assert later.list_rows.tolist() == [2]


@pytest.fixture
def table() -> NDArray[np.float32]:
    return np.random.default_rng(5).permuted(np.tile(np.arange(60, dtype=np.float32), (60, 1)), axis=1)


def test_models_with_and_without_scores_are_scored_alike(table: NDArray[np.float32]) -> None:
    table[:, ::7] = -np.inf
    shown = ShownLists.of_holdout(make_holdout(20, 60), 60, 6, np.random.default_rng(0))
    rows = shown.items.row_of_value
    expected = table[rows, shown.items.values]
    np.testing.assert_array_equal(score_lists(FixedScores(table), shown, memory=1 << 20), expected)
    np.testing.assert_array_equal(score_lists(FixedLists(table), shown, memory=1 << 20), expected)
    in_small_blocks = FixedScores(table)
    np.testing.assert_array_equal(score_lists(in_small_blocks, shown, memory=4 * 60 * 3), expected)
    assert in_small_blocks.asked == 3


def test_platt_scaling_is_logistic_regression() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(40, 5, 4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-(0.3 * scores - 13)))
    scaling = PlattScaling.fit(scores, labels)
    theirs = LogisticRegression(C=1e9, tol=1e-10).fit(scores[:, None], labels)
    assert scaling.slope == pytest.approx(theirs.coef_[0, 0], rel=0.01)
    assert scaling.intercept == pytest.approx(theirs.intercept_[0], rel=0.01)
    np.testing.assert_allclose(scaling.probabilities(scores), theirs.predict_proba(scores[:, None])[:, 1], atol=0.005)


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        ([0.0, 1.0, 2.0, 3.0], [False, False, True, True]),
        ([5.0, 5.0, 5.0], [True, False, False]),
        ([-np.inf, -np.inf], [True, False]),
        ([1.0, 2.0], [True, True]),
    ],
)
def test_platt_scaling_stays_finite(scores: list[float], labels: list[bool]) -> None:
    scaling = PlattScaling.fit(np.array(scores), np.array(labels))
    probabilities = scaling.probabilities(np.array([-np.inf, 0.0, 100.0]))
    assert np.isfinite(probabilities).all()
    assert np.isfinite([scaling.slope, scaling.intercept]).all()


def test_equal_scores_become_about_the_share_of_clicks() -> None:
    scaling = PlattScaling.fit(np.full(1000, 3.0), np.arange(1000) < 200)
    assert scaling.probabilities(np.array([3.0]))[0] == pytest.approx(0.2, abs=0.002)


def test_clicks_are_judged_on_probabilities_fitted_elsewhere(table: NDArray[np.float32]) -> None:
    calibration = ShownLists.of_holdout(make_holdout(60, 60, seed=8), 60, 9, np.random.default_rng(1))
    shown = ShownLists.of_holdout(make_holdout(60, 60, seed=9), 60, 9, np.random.default_rng(2))
    # The model knows a little of what will be clicked.
    for lists in (calibration, shown):
        np.add.at(table, (lists.items.row_of_value[lists.clicked], lists.items.values[lists.clicked]), 25.0)
    result = evaluate_clicks(FixedScores(table), shown, calibration)
    scores = table[shown.items.row_of_value, shown.items.values]
    assert result.auc == pytest.approx(roc_auc_score(shown.clicked, scores))
    by_list = [
        roc_auc_score(shown.clicked[start:stop], scores[start:stop])
        for start, stop in zip(shown.items.offsets[:-1], shown.items.offsets[1:], strict=True)
    ]
    assert result.gauc == pytest.approx(np.mean(by_list))  # All lists are equally long.
    assert result.num_lists == 60
    share = shown.clicked.mean()
    assert result.log_loss < log_loss(np.full(len(scores), share), shown.clicked)
    assert result.calibration_error < 0.1
    assert result.curve.sizes.sum() == len(scores)


def test_no_lists_at_all_are_scored_as_nothing(table: NDArray[np.float32]) -> None:
    nothing = ShownLists.of_holdout(make_holdout(0, 60), 60, 6, np.random.default_rng(0))
    assert score_lists(FixedScores(table), nothing, memory=1 << 20).shape == (0,)


@dataclass
class Partial(FixedLists):
    """Returns only the best of its candidates."""

    def recommend(self, queries: Queries, n: int, **candidates: object):
        answer = super().recommend(queries, n, **candidates)
        return answer.compact(np.arange(n)[None, :] < np.ones((len(queries), 1)))


def test_items_that_a_model_does_not_return_have_no_score(table: NDArray[np.float32]) -> None:
    shown = ShownLists.of_holdout(make_holdout(10, 60), 60, 6, np.random.default_rng(0))
    scores = score_lists(Partial(table), shown, memory=1 << 20)
    assert np.isfinite(scores).sum() == 10
    assert Ragged(shown.items.offsets, shown.items.values).lengths.tolist() == [8] * 10
