"""AUC, log-loss and calibration against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import calibration, metrics

from genre.metrics.classification import auc, auc_of_groups, calibration_curve, class_scores, gauc, log_loss


@pytest.fixture(scope="module")
def shown() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return 500 probabilities, many of them equal, and labels that follow them."""
    rng = np.random.default_rng(0)
    probabilities = rng.integers(0, 41, 500) / 40
    return probabilities, rng.random(500) < probabilities**2


def test_auc_is_that_of_scikit_learn(shown: tuple[NDArray[np.float64], NDArray[np.bool_]]) -> None:
    assert auc(*shown) == pytest.approx(metrics.roc_auc_score(shown[1], shown[0]))


@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        ([0.1, 0.2, 0.3], [False, False, True], 1.0),
        ([0.3, 0.2, 0.1], [False, False, True], 0.0),
        ([0.5, 0.5, 0.5], [False, False, True], 0.5),
        ([0.1, 0.5, 0.5, 0.9], [False, False, True, True], 3.5 / 4),
        ([-np.inf, 0.0], [False, True], 1.0),
    ],
)
def test_auc_worked_by_hand(scores: list[float], labels: list[bool], expected: float) -> None:
    assert auc(np.array(scores), np.array(labels)) == pytest.approx(expected)


@pytest.mark.parametrize("labels", [[True, True], [False, False], []])
def test_auc_of_one_class_is_not_a_number(labels: list[bool]) -> None:
    scores = np.arange(len(labels), dtype=np.float64)
    assert np.isnan(auc(scores, np.array(labels, bool)))
    assert np.isnan(gauc(scores, np.array(labels, bool), np.zeros(len(labels), int), 1))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), min_size=1, max_size=60))
def test_auc_of_groups_is_that_of_scikit_learn_group_by_group(shown: list[tuple[int, int, bool]]) -> None:
    groups, scores, labels = (np.array(column) for column in zip(*shown, strict=True))
    values = auc_of_groups(scores.astype(float), labels, groups, 6)
    assert values.shape == (6,)
    for group in range(6):
        of_group = groups == group
        both = len(set(labels[of_group])) == 2
        expected = metrics.roc_auc_score(labels[of_group], scores[of_group]) if both else np.nan
        assert values[group] == pytest.approx(expected, nan_ok=True)


def test_gauc_weighs_groups_by_what_they_show_and_leaves_out_those_of_one_class() -> None:
    groups = np.array([0, 0, 1, 1, 1, 2, 2])
    scores = np.array([1.0, 2.0, 9.0, 8.0, 7.0, 5.0, 6.0])
    labels = np.array([False, True, False, True, False, True, True])
    assert gauc(scores, labels, groups, 3) == pytest.approx((2 * 1.0 + 3 * 0.5) / 5)


def test_gauc_does_not_see_shifts_between_groups() -> None:
    rng = np.random.default_rng(1)
    groups, scores, labels = rng.integers(0, 20, 400), rng.random(400), rng.random(400) < 0.3
    shifted = scores + 100 * groups
    assert gauc(shifted, labels, groups, 20) == pytest.approx(gauc(scores, labels, groups, 20))
    assert auc(shifted, labels) != pytest.approx(auc(scores, labels))


def test_log_loss_is_that_of_scikit_learn(shown: tuple[NDArray[np.float64], NDArray[np.bool_]]) -> None:
    probabilities, labels = shown
    assert log_loss(probabilities, labels) == pytest.approx(metrics.log_loss(labels, probabilities), rel=1e-2)
    inner = probabilities.clip(0.05, 0.95)
    assert log_loss(inner, labels) == pytest.approx(metrics.log_loss(labels, inner))
    assert np.isfinite(log_loss(np.array([0.0]), np.array([True])))
    assert np.isnan(log_loss(np.empty(0), np.empty(0, bool)))


def test_calibration_curve_is_that_of_scikit_learn(shown: tuple[NDArray[np.float64], NDArray[np.bool_]]) -> None:
    # scikit-learn puts a value on an edge into the lower bin: stay off the edges.
    probabilities = (shown[0] + 0.003).clip(0, 0.999)
    curve = calibration_curve(probabilities, shown[1])
    observed, predicted = calibration.calibration_curve(shown[1], probabilities, n_bins=10)
    np.testing.assert_allclose(curve.observed, observed)
    np.testing.assert_allclose(curve.predicted, predicted)
    assert curve.sizes.sum() == 500


def test_calibration_error_worked_by_hand() -> None:
    probabilities = np.array([0.1, 0.1, 0.1, 0.1, 1.0])
    labels = np.array([True, False, False, False, False])
    curve = calibration_curve(probabilities, labels, num_bins=5)
    assert curve.sizes.tolist() == [4, 1]
    assert curve.error == pytest.approx((4 * 0.15 + 1 * 1.0) / 5)
    assert np.isnan(calibration_curve(np.empty(0), np.empty(0, bool)).error)


def test_class_scores_by_hand() -> None:
    found = class_scores(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0]), 3)
    np.testing.assert_allclose(found.precision, [1 / 2, 2 / 3, 0])
    np.testing.assert_allclose(found.recall, [1 / 2, 2 / 3, 0])
    np.testing.assert_allclose(found.f1, [1 / 2, 2 / 3, 0])
    assert found.macro(found.f1) == pytest.approx(7 / 12)  # Of the third class there is nothing.
    assert found.accuracy == pytest.approx(3 / 5)


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("size", [3, 400])
def test_class_scores_are_those_of_scikit_learn(num_classes: int, size: int) -> None:
    rng = np.random.default_rng(size + num_classes)
    labels, predicted = rng.integers(0, num_classes, (2, size))
    found = class_scores(labels, predicted, num_classes)
    theirs = metrics.precision_recall_fscore_support(labels, predicted, labels=range(num_classes), zero_division=0)
    for ours, expected in zip((found.precision, found.recall, found.f1, found.sizes), theirs, strict=True):
        np.testing.assert_allclose(ours, expected)
    assert found.macro(found.f1) == pytest.approx(metrics.f1_score(labels, predicted, average="macro", zero_division=0))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))


def test_class_scores_of_nothing_are_not_known() -> None:
    found = class_scores(np.array([], int), np.array([], int), 2)
    assert np.isnan([found.accuracy, found.macro(found.f1)]).all()
