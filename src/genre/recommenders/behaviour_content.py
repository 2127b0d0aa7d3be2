"""A factored choice model: what people with such a history choose, times what goes with the content of that history.

Shapes: B choices or queries, E choices in all, I items, S items of one softmax, K content features,
D = 1 + K + user features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from genre.core.errors import DataError
from genre.core.interactions import Interactions
from genre.core.parts import below, with_prefix
from genre.core.queries import Queries, Source
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.data.sequences import before
from genre.features.content import ContentConfig, ContentFeatures
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, ScoringRecommender, State

DAY = 86_400.0
Floats = NDArray[np.float32]
_STORED = ("theta", "phi", "content", "known", "item_projection", "user_projection")
_ITEMS = "items."
_ROWS = 512
"""Rows that the optimiser takes at once, so that its passes stay in a core's cache."""


class BehaviourContentConfig(RecommenderConfig):
    """Settings of `behaviour_content`."""

    kind: Literal["behaviour_content"] = "behaviour_content"
    content: ContentConfig = ContentConfig()
    """How the columns of items and users become features."""
    rank: int = Field(default=256, ge=1)
    """Dimensions that the features of items are reduced to, and those of users, where there are more. It bounds the
    rank of Phi; time and memory grow with it, and accuracy hardly past 256."""
    decay: float = Field(default=0.7, gt=0, le=1)
    """What each like of a history counts of the next newer one."""
    half_life_days: float | None = Field(default=None, gt=0)
    """Days before the newest like after which a like counts half, on top of `decay`. None, the default, leaves time
    out, since no one value suits both news (hours) and films (years)."""
    history_length: int = Field(default=50, ge=1)
    """Newest likes that a profile is made of; with the default `decay`, older ones count nothing."""
    l2_behaviour: float = Field(default=0.5, ge=0)
    """Penalty on Theta, in choices: the higher, the more an item is judged by its content alone."""
    l2_content: float = Field(default=1.0, ge=0)
    """Penalty on Phi, in choices."""
    l1: float = Field(default=0.0, ge=0)
    """Penalty on the absolute values of both, in choices; sets weights to 0 that the likelihood does not pay for."""
    steps: int = Field(default=600, ge=1)
    """Steps of the optimiser, each on one batch; the step size falls to 0 along them."""
    batch_size: int = Field(default=1024, ge=1)
    """Choices of one step."""
    learning_rate: float = Field(default=0.05, gt=0)
    """Size of the first step."""
    num_negatives: int = Field(default=2048, ge=1)
    """Items drawn for the softmax of each step, beside those chosen in it. With fewer items than this, the softmax is
    over all of them."""

    @property
    def scores_new_items(self) -> bool:
        """By their content."""
        return True

    def build(self, members: Mapping[str, Recommender]) -> BehaviourContent:
        """Return the unfitted component."""
        return BehaviourContent(self)

    def estimate(self, size: DataSize) -> Estimate:
        """Three products of matrices for each step; weights, gradients and the optimiser's moments for each item."""
        width = self.rank + 1
        classes = min(size.num_items, self.num_negatives + self.batch_size)
        batch = min(self.batch_size, max(1, size.num_events))
        features = 3e-4 * (size.num_items + size.num_users)
        return Estimate(
            memory=4 * (10 * size.num_items * width + 3 * batch * classes) + 100 * size.num_events,
            seconds=self.steps * (6 * batch * classes * width + 10 * size.num_items * width) / 6e10 + features,
        )


class BehaviourContent(ScoringRecommender[BehaviourContentConfig]):
    """Multiply what the choosers of an item have in common with how well the item's content fits theirs.

    ``P(i | x) proportional to softmax_i(theta_i . x) * softmax_i(c_i' Phi x)``, renormalised over the items. Products
    of softmaxes, renormalised, are the softmax of the sum, so the scores are ``theta_i . x + c_i' Phi x``. Here

    - ``x = [1, profile, user]``: the profile is the sum of the content of the liked items, each counting `decay` times
      the next newer one, at length 1; nothing for an empty history, which is answered by popularity and user columns;
    - ``c_i`` is the item's content (`ContentFeatures`) at length 1, beyond `rank` features in whitened leading singular
      directions, so that a brand or a rare word counts like a common one;
    - ``theta_i`` is the behaviour part, a row for each item: what an item's choosers have in common that its content
      does not say. It is 0 for an item that nobody liked in training, which is so scored by its content alone;
    - ``Phi`` says which content follows on which content or user, for all items alike.

    Fitted by maximum likelihood on pairs of a history and the next like, penalised by ``l2 / 2`` times squares and
    ``l1`` times absolute values, by Adam with a proximal step for the latter. The problem is convex. The softmax is
    over a sample of items that differs from step to step, weighted so that its sum is right on average.

    Items are told apart by Theta, whose input is content too: items without columns are scored by popularity and user
    columns only. Needs three times `num_items * rank` floats to answer, ten times to fit.
    """

    source = Source.CONTENT
    theta: Floats
    """(I, D)"""
    phi: Floats
    """(K, D)"""
    content: Floats
    """(I, K)"""
    known: NDArray[np.bool_]
    """(I,) items that somebody liked in training."""
    item_features: ContentFeatures
    item_projection: Floats
    user_features: ContentFeatures
    user_projection: Floats
    weights: Floats
    """(I, D) the sum of both parts: the scores are its products with x."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Reduce the content, then climb.

        Raises:
            DataError: Neither items nor users have any column to learn from.
        """
        rng = run.rng("behaviour_content")
        self._settle_content(data, rng)
        log = data.interactions.liked()
        warm = np.flatnonzero(self.known)
        users = self.user_features.transform(data.users)
        user_of_event = log.row_of_event
        counts = log.item_counts(data.num_items, np.ones(log.num_events))[warm]
        theta, phi = _start(counts, self.content.shape[1], self.user_projection.shape[1])
        climb = _Climb(theta, phi, self.config, log.num_events)
        sampler = _Sampler(counts, self.config)
        events = _batches(log.num_events, self.config.batch_size, self.config.steps, rng)
        strength = log.weights / max(float(log.weights.mean()), 1e-12) if log.num_events else log.weights
        for batch in run.progress.track(events, "behaviour_content", self.config.steps):
            items, targets = sampler.draw(np.searchsorted(warm, log.item_rows[batch]), rng)
            choices = Choices(
                self._context(before(log, batch, self.config.history_length), users[user_of_event[batch]]),
                self.content[warm[items]],
                targets,
                strength[batch] / strength[batch].sum(),
                sampler.log_inclusion[items],
            )
            climb.step(items, loss_and_gradients(theta[items], phi, choices)[1])
        self.theta = np.zeros((data.num_items, theta.shape[1]), np.float32)
        self.theta[warm], self.phi = theta, phi
        self.weights = self.theta + self.content @ self.phi
        return self

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return a model that scores the new items too, by their content alone."""
        model = copy(self)
        new = self._content_of(items.behind(len(self.content)))
        model.content = np.concatenate([self.content, new])
        model.theta = np.concatenate([self.theta, np.zeros((len(new), self.theta.shape[1]), np.float32)])
        model.known = np.concatenate([self.known, np.zeros(len(new), bool)])
        model.weights = model.theta + model.content @ model.phi
        return model

    def score(self, queries: Queries) -> Floats:
        """Return (B, I) sums of both parts; minus infinity for items without likes and without content."""
        features, table = self.user_features, queries.users
        users = features.missing(len(queries)) if table is None else features.transform(table)
        scores = self._context(queries.history, users) @ self.weights.T
        scores[:, ~(self.known | self.content.any(axis=1))] = -np.inf
        return scores

    def state(self) -> State:
        """Return both parts, the items' content and how users are read."""
        read = with_prefix(_ITEMS, self.item_features.state())
        return {name: getattr(self, name) for name in _STORED} | read | self.user_features.state()

    def restore(self, state: State) -> None:
        """Take everything back."""
        for name in _STORED:
            setattr(self, name, state[name])
        self.item_features = ContentFeatures.restore(below(_ITEMS, state))
        self.user_features = ContentFeatures.restore(state)
        self.weights = self.theta + self.content @ self.phi

    def _settle_content(self, data: Dataset, rng: np.random.Generator) -> None:
        """Read the columns of items and users."""
        config = self.config
        self.known = data.interactions.item_counts(data.num_items) > 0
        self.item_features = ContentFeatures.fit(data.items, config.content, rows=np.flatnonzero(self.known))
        self.user_features = ContentFeatures.fit(data.users, config.content)
        if not self.item_features.columns and not self.user_features.columns:
            raise DataError(
                f"items have the columns {data.items.frame.columns!r}, users {data.users.frame.columns!r}",
                place="behaviour_content",
                remedy="Give items a text, category or number column, or leave this model out.",
            )
        known = _unit_rows(self.item_features.transform(data.items)[self.known])
        self.item_projection = _projection(known, config.rank, rng)
        self.content = self._content_of(data.items)
        self.user_projection = _projection(self.user_features.transform(data.users), config.rank, rng)

    def _content_of(self, items: Entities) -> Floats:
        """Return the content (N, K) of items, at length 1."""
        content = _unit_rows(self.item_features.transform(items)) @ self.item_projection
        scaled: Floats = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), np.float32(1e-12))
        return scaled

    def _context(self, history: Interactions, users: sparse.csr_matrix) -> Floats:
        """Return x (B, D)."""
        likes = history.liked().last(self.config.history_length)
        counts = np.power(self.config.decay, likes.steps_from_end)
        if self.config.half_life_days is not None:
            ages = likes.end_times[likes.row_of_event] - likes.timestamps
            counts = counts * np.exp2(-ages / (self.config.half_life_days * DAY))
        profile = likes.to_csr(len(self.content), counts * likes.weights) @ self.content
        profile /= np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), 1e-12)
        parts = [np.ones((len(profile), 1)), profile, users @ self.user_projection]
        return np.concatenate(parts, axis=1, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Choices:
    """One batch: who chose what among which items."""

    x: Floats
    """(B, D)"""
    content: Floats
    """(S, K)"""
    targets: NDArray[np.int64]
    """(B,) the place of the chosen item among the S."""
    weights: Floats
    """(B,), sum 1."""
    log_inclusion: Floats
    """(S,) logarithm of the probability that the item is among the S where nobody has chosen it."""


def loss_and_gradients(theta: Floats, phi: Floats, choices: Choices) -> tuple[float, tuple[Floats, Floats]]:
    """Return the weighted mean of minus log P(target | x), and its gradients by theta (S, D) and phi (K, D)."""
    rows, targets = np.arange(len(choices.targets)), choices.targets
    logits = choices.x @ (theta + choices.content @ phi).T
    chosen = logits[rows, targets]
    # An item that is rarely drawn stands for others like it; the chosen item is always there and stands for itself.
    logits -= choices.log_inclusion
    logits[rows, targets] = chosen
    highest = logits.max(axis=1)
    logits -= highest[:, None]
    np.exp(logits, out=logits)
    totals = logits.sum(axis=1)
    loss = float(choices.weights @ (np.log(totals) + highest - chosen))
    logits *= (choices.weights / totals)[:, None]
    logits[rows, targets] -= choices.weights
    by_item = logits.T @ choices.x
    return loss, (by_item, choices.content.T @ by_item)


class _Sampler:
    """Draws the items of a softmax: all, or those chosen in the batch and a uniform sample of the others."""

    def __init__(self, counts: NDArray[np.float64], config: BehaviourContentConfig) -> None:
        self.num_items, self.num_drawn = len(counts), min(config.num_negatives, len(counts))
        drawn = self.num_drawn / max(1, self.num_items)
        absent = (1 - drawn) * (1 - counts / max(1.0, counts.sum())) ** config.batch_size
        self.log_inclusion: Floats = np.log1p(-absent).astype(np.float32)

    def draw(
        self, chosen: NDArray[np.integer], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the items (S,), rising, and the places (B,) of the chosen ones among them."""
        drawn = np.arange(self.num_items)
        if self.num_drawn < self.num_items:
            drawn = np.union1d(rng.choice(self.num_items, self.num_drawn, replace=False, shuffle=False), chosen)
        return drawn, np.searchsorted(drawn, chosen)


class _Climb:
    """Adam on penalised parameters, changed in place.

    Diederik Kingma, Jimmy Ba: Adam: A Method for Stochastic Optimization. ICLR 2015. The L1 penalty is met by a
    proximal step in Adam's own metric: each weight moves towards 0 by its own step size times the penalty, and stops
    there.
    """

    def __init__(self, theta: Floats, phi: Floats, config: BehaviourContentConfig, num_choices: int) -> None:
        self.config, self.num_choices, self.done = config, max(1, num_choices), 0
        self.parameters = (theta, phi)
        self.means = tuple(np.zeros_like(part) for part in self.parameters)
        self.squares = tuple(np.zeros_like(part) for part in self.parameters)

    def step(self, items: NDArray[np.int64], gradients: tuple[Floats, Floats]) -> None:
        """Move against the gradients: of the rows `items` of theta, and of phi."""
        config, theta = self.config, self.parameters[0]
        by_theta = theta * np.float32(config.l2_behaviour / self.num_choices)
        by_theta[items] += gradients[0]
        by_phi = gradients[1] + self.parameters[1] * np.float32(config.l2_content / self.num_choices)
        rate = config.learning_rate * (1 - self.done / config.steps)
        self.done += 1
        shift, scale = 1 - 0.9**self.done, np.sqrt(1 - 0.999**self.done)
        for arrays in zip(self.parameters, (by_theta, by_phi), self.means, self.squares, strict=True):
            for start in range(0, len(arrays[0]), _ROWS):
                part, gradient, mean, square = (array[start : start + _ROWS] for array in arrays)
                mean += np.float32(0.1) * (gradient - mean)
                square += np.float32(0.001) * (gradient**2 - square)
                sizes = np.float32(rate * scale) / (np.sqrt(square) + np.float32(1e-8 * scale))
                part -= sizes * mean / np.float32(shift)
                if config.l1 > 0:
                    sizes *= np.float32(config.l1 / self.num_choices)
                    part -= np.clip(part, -sizes, sizes)


def _start(counts: NDArray[np.float64], num_content: int, num_user: int) -> tuple[Floats, Floats]:
    """Return theta (I, D) and phi (K, D) that know popularity and nothing else."""
    theta = np.zeros((len(counts), 1 + num_content + num_user), np.float32)
    if len(counts):
        theta[:, 0] = np.log(counts) - np.log(counts).mean()
    return theta, np.zeros((num_content, theta.shape[1]), np.float32)


def _batches(num: int, size: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield `steps` batches of the numbers below `num`, in a new order each time that all are through."""
    order, start = np.empty(0, np.int64), 0
    for _ in range(steps if num else 0):
        if start >= len(order):
            order, start = rng.permutation(num), 0
        yield order[start : start + size]
        start += size


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ matrix, dtype=np.float32)


def _projection(matrix: sparse.csr_matrix, rank: int, rng: np.random.Generator) -> Floats:
    """Return (F, rank) what brings features to their whitened leading directions, rows at root mean square length 1.

    With no more features than `rank`, they stay as they are.
    """
    num_rows, num_features = matrix.shape
    if num_features <= rank or num_rows < 2:
        return np.eye(num_features, min(num_features, rank), dtype=np.float32)
    from sklearn.decomposition import TruncatedSVD

    size = min(rank, num_rows - 1)
    svd = TruncatedSVD(size, random_state=int(rng.integers(2**31))).fit(matrix)
    spread = np.maximum(svd.singular_values_, 1e-6 * svd.singular_values_.max())
    whitening: Floats = (svd.components_.T / spread * np.sqrt(num_rows / size)).astype(np.float32)
    return whitening
