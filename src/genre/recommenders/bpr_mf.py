"""BPR-MF: users and items as vectors, fitted so that likes stand above the rest.

Steffen Rendle et al.: BPR: Bayesian Personalized Ranking from Implicit Feedback. UAI 2009.

Shapes: B queries, U users, I items, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import linalg

from genre.core.queries import Queries
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import (
    DataSize,
    Estimate,
    Recommender,
    RecommenderConfig,
    ScoringRecommender,
    State,
    never_scored,
)
from genre.recommenders.members import validator
from genre.recommenders.sparse import decayed_likes
from genre.recommenders.trained import fit_network
from genre.training.config import TrainingConfig

if TYPE_CHECKING:
    from genre.training.pairs import Factors


class BprMfConfig(RecommenderConfig):
    """Settings of `bpr_mf`."""

    extra: ClassVar[str | None] = "torch"
    kind: Literal["bpr_mf"] = "bpr_mf"
    embedding_size: int = Field(default=64, ge=1)
    """Numbers for each user and item."""
    regularization: float = Field(default=0.01, ge=0)
    """Pulls the vectors of each pair towards 0."""
    history_decay: float = Field(default=0.7, gt=0, le=1)
    """What each like of a query counts of the next newer one; 1 counts all alike."""
    hide_seen: bool = True
    """Whether items of the history are no answers when the best epoch is chosen, as the evaluation's `hide_seen`."""
    training: TrainingConfig = TrainingConfig(batch_size=4096, learning_rate=3e-3)

    def build(self, members: Mapping[str, Recommender]) -> BprMf:
        """Return the unfitted component."""
        return BprMf(self)

    def estimate(self, size: DataSize) -> Estimate:
        """Vectors with what the optimizer keeps of them, and half of the epochs."""
        numbers = (size.num_users + size.num_items) * (self.embedding_size + 1)
        held = 5 + self.training.average
        steps = self.training.epochs / 2 * (1 + size.num_events / self.training.batch_size)
        work = 3e-9 * numbers + 3e-8 * self.training.batch_size * self.embedding_size
        return Estimate(memory=4 * held * numbers + (400 << 20) + 64 * size.num_events, seconds=steps * work)


class BprMf(ScoringRecommender[BprMfConfig]):
    """Find vectors x of users and y of items for which ``x_u . y_i + b_i`` is higher for what u liked.

    Minimises ``-log sigmoid(score(u, i) - score(u, j)) + regularization (|x_u|^2 + |y_i|^2 + |y_j|^2)`` over likes i
    and random other items j. Whoever asks is answered from the history: ``x = M m``, where m is the mean of the liked
    items' vectors, weighted by `history_decay^age` with age 0 for the newest, and M the linear map that best gives the
    training users their vectors (ridge regression). Needs `num_items * embedding_size` floats to answer.
    """

    vectors: NDArray[np.float32]
    """(I, D + 1), called y above; the last column is b."""
    mapping: NDArray[np.float32]
    """(D, D) M."""
    known: NDArray[np.bool_]
    """(I,) items that somebody liked in training."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Train until the validation events are predicted no better; without any, for all epochs."""
        import torch

        from genre.training.pairs import Factors, Pairwise

        config = self.config
        training = config.training
        self.known = data.interactions.item_counts(data.num_items) > 0
        with torch.random.fork_rng():
            torch.manual_seed(int(run.rng("bpr_mf").integers(2**63)))
            factors = Factors(data.num_users, data.num_items, config.embedding_size)
        objective = Pairwise(
            data.interactions,
            data.num_items,
            batch_size=training.batch_size,
            parts=training.accumulate,
            pull=config.regularization,
        )
        fit_network(
            factors,
            objective,
            config,
            run,
            data=data,
            training=training,
            validate=validator(self, run, hide_seen=config.hide_seen, before=lambda: self._take(factors, data)),
        )
        self._take(factors, data)
        return self

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) scores; nothing for a history without a like of a known item."""
        means, answered = self._means(queries)
        scores = np.asarray((means @ self.mapping) @ self.vectors[:, :-1].T + self.vectors[:, -1], np.float32)
        scores[~answered] = -np.inf
        return never_scored(scores, self.known)

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the cosines (len(item_rows), I) of the items' vectors."""
        vectors = self.vectors[:, :-1]
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return never_scored(unit[item_rows] @ unit.T, self.known)

    def state(self) -> State:
        """Return the items' vectors, the map from likes to a user, and which items are known."""
        return {"vectors": self.vectors, "mapping": self.mapping, "known": self.known}

    def restore(self, state: State) -> None:
        """Take them back."""
        self.vectors, self.mapping, self.known = state["vectors"], state["mapping"], state["known"]

    def _take(self, factors: Factors, data: Dataset) -> None:
        """Take the items' vectors, and fit the map from likes to users."""
        items, biases = (part.weight.detach().cpu().numpy() for part in (factors.items, factors.biases))
        self.vectors = np.concatenate([items, biases], axis=1)
        means, answered = self._means(data.queries())
        means = means[answered].astype(np.float64)
        users = factors.users.weight.detach().cpu().numpy()[answered]
        ridge = means.T @ means + 1e-3 * max(1, len(means)) * np.eye(means.shape[1]) / means.shape[1]
        self.mapping = linalg.solve(ridge, means.T @ users, assume_a="pos").astype(np.float32)

    def _means(self, queries: Queries) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the mean vectors (B, D) of the known likes, and which histories have one (B,)."""
        history = queries.history.liked()
        history = history.where(self.known[history.item_rows])
        likes = decayed_likes(history, len(self.known), self.config.history_decay)
        sums = np.asarray(likes.sum(axis=1), np.float32)
        means = np.asarray(likes @ self.vectors[:, :-1] / np.maximum(sums, np.finfo(np.float32).tiny), np.float32)
        return means, history.lengths > 0
