"""What decides on the numbers of a pair: the heads of `text_classifier` that scikit-learn fits.

Each is kept as arrays, and answers from them: nothing is pickled, and scikit-learn is not asked again.

Shapes: N pairs, F features, C classes, S support vectors, T trees, M nodes of all trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit, softmax

from genre.core.config import Config

Floats: TypeAlias = NDArray[np.floating]
_TREE_BLOCK = 1 << 20
"""Places in trees that are worked on at once."""
_FOLDS = 3


class LinearHeadConfig(Config):
    """Logistic regression, multinomial where there are several grades."""

    kind: Literal["linear"] = "linear"
    penalty: float = Field(default=0.1, gt=0)
    """Half of it times the squared length of the coefficients is added to the mean loss: text vectors have thousands of
    features, most of which say nothing. What is fine-tuned has `training.weight_decay` instead."""


class MlpHeadConfig(Config):
    """One hidden layer."""

    kind: Literal["mlp"] = "mlp"
    hidden: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)


class SvmHeadConfig(Config):
    """A support vector machine for each class against the others; decisions become probabilities by Platt's scaling."""

    kind: Literal["svm"] = "svm"
    kernel: Literal["rbf", "linear"] = "rbf"
    cost: float = Field(default=1.0, gt=0)
    """Of a pair on the wrong side."""
    max_pairs: int = Field(default=4000, ge=10)
    """Pairs that are learned from: the kernel takes their square in memory, and fitting more than that in time."""


class ForestHeadConfig(Config):
    """Randomised trees whose leaves vote by their shares (Breiman: Random Forests. Machine Learning 2001)."""

    kind: Literal["forest"] = "forest"
    num_trees: int = Field(default=200, ge=1)
    min_leaf: int = Field(default=3, ge=1)
    """Pairs of a leaf at least."""


AnyHead: TypeAlias = Annotated[
    LinearHeadConfig | MlpHeadConfig | SvmHeadConfig | ForestHeadConfig, Field(discriminator="kind")
]


class Head(Protocol):
    """Decides."""

    def probabilities(self, features: Floats) -> Floats:
        """Return (N, C) for features (N, F); rows sum to 1."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned."""


@dataclass(frozen=True, eq=False)
class Linear:
    """``softmax(x W + b)``; without weights, what is most frequent."""

    weight: Floats
    """(F, C)"""
    bias: Floats
    """(C,)"""

    @classmethod
    def fit(cls, config: LinearHeadConfig, features: Floats, labels: NDArray[np.int64], num_classes: int) -> Self:
        """Learn from features (N, F) and labels (N,); a class without a pair gets no chance."""
        from sklearn.linear_model import LogisticRegression

        there = np.unique(labels)
        weight = np.zeros((features.shape[1], num_classes))
        bias = np.full(num_classes, -np.inf)
        bias[there] = 0
        if len(there) > 1:
            model = LogisticRegression(C=1 / (config.penalty * len(labels)), max_iter=500).fit(features, labels)
            # Of two classes the library has one row, for the second.
            of_last = len(there) == 2
            weight[:, there[1:] if of_last else there] = model.coef_.T
            bias[there[1:] if of_last else there] = model.intercept_
        return cls(weight.astype(np.float32), bias.astype(np.float32))

    def probabilities(self, features: Floats) -> Floats:
        """Return (N, C)."""
        return np.asarray(softmax(features @ self.weight + self.bias, axis=1))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the coefficients."""
        return {"weight": self.weight, "bias": self.bias}


@dataclass(frozen=True, eq=False)
class Svm:
    """``P(c) ~ sigmoid(a_c d_c(x) + b_c)`` with ``d_c(x) = sum_s alpha_cs k(x_s, x) + beta_c``.

    The slope a and the intercept b are fitted on decisions about pairs that a machine has not learned from. With a
    linear kernel the sum over support vectors is a product with one vector.

    Platt: Probabilistic Outputs for Support Vector Machines. 1999.
    """

    supports: Floats
    """(S, F), or as many as there are features for a linear kernel, whose sums are done."""
    alphas: Floats
    """(S, C)"""
    offsets: Floats
    """(3, C): beta, a and b."""
    gamma: Floats
    """(1,) of ``k(x, y) = exp(-gamma |x - y|^2)``; 0 for a linear kernel."""

    @classmethod
    def fit(
        cls,
        config: SvmHeadConfig,
        features: Floats,
        labels: NDArray[np.int64],
        num_classes: int,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from some of the features (N, F) and labels (N,), of which there are two kinds at least."""
        from sklearn.svm import SVC

        rows = np.sort(rng.permutation(len(labels))[: config.max_pairs])
        rows = rows if len(np.unique(labels[rows])) > 1 else np.arange(len(labels))
        x, y = features[rows].astype(np.float64), labels[rows]
        gamma = 1 / x.shape[1] if config.kernel == "rbf" else 0.0
        kernel = _kernel(x, x, gamma)
        alphas, offsets = np.zeros((len(x), num_classes)), np.zeros((3, num_classes))
        offsets[2] = -np.inf
        for one in np.unique(y):
            model = SVC(C=config.cost, kernel="precomputed").fit(kernel, y == one)
            alphas[model.support_, one] = model.dual_coef_[0]
            offsets[:, one] = (model.intercept_[0], *_scaling(kernel, y == one, config.cost, rng))
        used = alphas.any(axis=1)
        supports, alphas = x[used], alphas[used]
        if config.kernel == "linear":
            supports, alphas = np.empty((0, x.shape[1])), supports.T @ alphas
        return cls(supports.astype(np.float32), alphas, offsets, np.array([gamma]))

    def probabilities(self, features: Floats) -> Floats:
        """Return (N, C)."""
        gamma = float(self.gamma[0])
        compared = _kernel(features.astype(np.float32), self.supports, gamma) if gamma else features
        beta, slope, intercept = self.offsets
        found = expit(slope * (compared @ self.alphas + beta) + intercept) + 1e-12
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the support vectors and their weights."""
        return {"supports": self.supports, "alphas": self.alphas, "offsets": self.offsets, "gamma": self.gamma}


@dataclass(frozen=True, eq=False)
class Forest:
    """The mean over trees of the shares of the classes in the leaf that a pair falls into."""

    roots: NDArray[np.integer]
    """(T,) places of the first nodes."""
    nodes: NDArray[np.integer]
    """(M, 3): the node where the feature is no larger, the other one, and the feature; -1 in a leaf."""
    thresholds: Floats
    """(M,)"""
    shares: Floats
    """(M, C)"""

    @classmethod
    def fit(
        cls,
        config: ForestHeadConfig,
        features: Floats,
        labels: NDArray[np.int64],
        num_classes: int,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from features (N, F) and labels (N,)."""
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(
            config.num_trees, min_samples_leaf=config.min_leaf, random_state=int(rng.integers(2**31)), n_jobs=1
        ).fit(features, labels)
        trees = [one.tree_ for one in model.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
        nodes = [
            np.stack([tree.children_left, tree.children_right, tree.feature], axis=1).astype(np.int64) for tree in trees
        ]
        for root, part in zip(roots, nodes, strict=True):
            inner = part[:, 0] >= 0
            part[inner, :2] += root
            part[~inner] = -1
        shares = np.zeros((sum(map(len, nodes)), num_classes))
        shares[:, model.classes_] = np.concatenate([tree.value[:, 0] for tree in trees])
        return cls(
            roots.astype(np.int64), np.concatenate(nodes), np.concatenate([tree.threshold for tree in trees]), shares
        )

    def probabilities(self, features: Floats) -> Floats:
        """Return (N, C)."""
        found = np.empty((len(features), self.shares.shape[1]))
        size = max(1, _TREE_BLOCK // len(self.roots))
        for start in range(0, len(features), size):
            block = features[start : start + size].astype(np.float32)
            at = np.tile(self.roots, len(block))
            row = np.repeat(np.arange(len(block)), len(self.roots))
            falling = np.arange(len(at))
            while len(falling := falling[self.nodes[at[falling], 0] >= 0]):
                left, right, feature = self.nodes[at[falling]].T
                smaller = block[row[falling], feature] <= self.thresholds[at[falling]]
                at[falling] = np.where(smaller, left, right)
            found[start : start + size] = self.shares[at].reshape(len(block), len(self.roots), -1).mean(axis=1)
        return found

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the trees."""
        return {"roots": self.roots, "nodes": self.nodes, "thresholds": self.thresholds, "shares": self.shares}


def fit_head(
    config: LinearHeadConfig | SvmHeadConfig | ForestHeadConfig,
    features: Floats,
    labels: NDArray[np.int64],
    num_classes: int,
    rng: np.random.Generator,
) -> Head:
    """Return what was learned from features (N, F) and labels (N,) below C = `num_classes`."""
    if isinstance(config, LinearHeadConfig):
        return Linear.fit(config, features, labels, num_classes)
    if len(np.unique(labels)) < 2:
        return Linear.fit(LinearHeadConfig(), features, labels, num_classes)  # There is nothing to tell apart.
    kind: Any = Svm if isinstance(config, SvmHeadConfig) else Forest
    head: Head = kind.fit(config, features, labels, num_classes, rng)
    return head


def restored_head(state: Mapping[str, NDArray[Any]]) -> Head:
    """Return the head that a state is of."""
    kind = next(kind for kind, part in ((Linear, "weight"), (Svm, "supports"), (Forest, "roots")) if part in state)
    head: Head = kind(**state)
    return head


def _kernel(x: Floats, y: Floats, gamma: float) -> Floats:
    """Return (len(x), len(y)) values of the kernel, linear where gamma is 0."""
    products = x @ y.T
    if not gamma:
        return products
    lengths = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)
    return np.asarray(np.exp(-gamma * np.maximum(lengths - 2 * products, 0)))


def _scaling(kernel: Floats, labels: NDArray[np.bool_], cost: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return the slope and the intercept that make probabilities of decisions."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.svm import SVC

    decisions = np.zeros(len(labels))
    folds = min(_FOLDS, int(labels.sum()), int((~labels).sum()))
    everything = np.arange(len(labels))
    parts = (
        StratifiedKFold(folds, shuffle=True, random_state=int(rng.integers(2**31))).split(kernel, labels)
        if folds > 1
        else [(everything, everything)]
    )
    for learned, judged in parts:
        model = SVC(C=cost, kernel="precomputed").fit(kernel[np.ix_(learned, learned)], labels[learned])
        decisions[judged] = model.decision_function(kernel[np.ix_(judged, learned)])
    scaled = LogisticRegression().fit(decisions[:, None], labels)
    return float(scaled.coef_[0, 0]), float(scaled.intercept_[0])
