"""Heads that answer from arrays, against scikit-learn's own answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from genre.recommenders.classifier_heads import (
    Forest,
    ForestHeadConfig,
    Linear,
    LinearHeadConfig,
    Svm,
    SvmHeadConfig,
    fit_head,
    restored_head,
)

CONFIGS = [
    LinearHeadConfig(penalty=0.01),
    SvmHeadConfig(),
    SvmHeadConfig(kernel="linear"),
    ForestHeadConfig(num_trees=20),
]


def points(num_classes: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return 300 points in six dimensions, clouds around a place for each class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, 300)
    places = rng.standard_normal((num_classes, 6)) * 2
    return (places[labels] + rng.standard_normal((300, 6))).astype(np.float32), labels


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind} {getattr(config, 'kernel', '')}")
@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_classes_that_lie_apart_are_told(config: Any, num_classes: int) -> None:
    features, labels = points(num_classes)
    head = fit_head(config, features[:200], labels[:200], num_classes, np.random.default_rng(0))
    found = head.probabilities(features[200:])
    assert found.shape == (100, num_classes)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found.argmax(axis=1) == labels[200:]).mean() > 0.85
    np.testing.assert_array_equal(restored_head(head.state()).probabilities(features[200:]), found)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_linear_and_forest_say_what_scikit_learn_says(num_classes: int) -> None:
    features, labels = points(num_classes)
    linear = Linear.fit(LinearHeadConfig(penalty=0.01), features, labels, num_classes)
    theirs: Any = LogisticRegression(C=1 / 3, max_iter=500).fit(features, labels)
    np.testing.assert_allclose(linear.probabilities(features), theirs.predict_proba(features), atol=1e-5)
    forest = Forest.fit(ForestHeadConfig(num_trees=7), features, labels, num_classes, np.random.default_rng(3))
    seed = int(np.random.default_rng(3).integers(2**31))
    theirs = RandomForestClassifier(7, min_samples_leaf=3, random_state=seed).fit(features, labels)
    np.testing.assert_allclose(forest.probabilities(features), theirs.predict_proba(features), atol=1e-12)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_the_machine_decides_as_scikit_learn_does(kernel: Any) -> None:
    features, labels = points(2, seed=1)
    svm = Svm.fit(SvmHeadConfig(kernel=kernel), features, labels, 2, np.random.default_rng(0))
    theirs: Any = SVC(kernel=kernel, gamma=1 / 6).fit(features, labels == 1)
    decisions = theirs.decision_function(features)
    beta, slope, intercept = svm.offsets[:, 1]
    compared = features if kernel == "linear" else np.exp(-((features[:, None] - svm.supports) ** 2).sum(2) / 6)
    np.testing.assert_allclose(compared @ svm.alphas[:, 1] + beta, decisions, atol=2e-3)
    assert slope > 0
    # What the decisions are scaled by was fitted on pairs that a machine had not seen: sure, but not certain.
    chances = 1 / (1 + np.exp(-(slope * decisions + intercept)))
    assert 0.5 < chances[labels == 1].mean() < 1


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind} {getattr(config, 'kernel', '')}")
def test_a_class_that_was_never_seen_has_no_chance(config: Any) -> None:
    features, labels = points(2)
    head = fit_head(config, features, labels * 2, 4, np.random.default_rng(0))
    found = head.probabilities(features)
    assert found[:, [1, 3]].max() < 1e-9
    assert (found.argmax(axis=1) == labels * 2).mean() > 0.85
    one = fit_head(config, features, np.full(len(labels), 2), 4, np.random.default_rng(0))
    np.testing.assert_allclose(one.probabilities(features), np.tile([0, 0, 1, 0], (len(labels), 1)), atol=1e-9)


def test_a_machine_learns_from_some_pairs_where_there_are_many() -> None:
    features, labels = points(2)
    svm = Svm.fit(SvmHeadConfig(max_pairs=50), features, labels, 2, np.random.default_rng(0))
    assert len(svm.supports) <= 50
