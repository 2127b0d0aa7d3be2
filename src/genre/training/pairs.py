"""The objective of matrix factorisation: what somebody liked stands above what they did not touch.

Steffen Rendle et al.: BPR: Bayesian Personalized Ranking from Implicit Feedback. UAI 2009.

Shapes: E likes in all, U users, I items, T pairs of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.training.contracts import Loss

_TRIES = 5
"""How often an item is drawn again that the user likes too. What still hits then is left out."""


class Factors(nn.Module):
    """A vector for each user and each item, and a number for each item: ``score = x_u . y_i + b_i``."""

    def __init__(self, num_users: int, num_items: int, size: int) -> None:
        """Initialise with small normal numbers."""
        super().__init__()
        self.users, self.items = nn.Embedding(num_users, size), nn.Embedding(num_items, size)
        self.biases = nn.Embedding(num_items, 1)
        nn.init.normal_(self.users.weight, std=size**-0.5)
        nn.init.normal_(self.items.weight, std=size**-0.5)
        nn.init.zeros_(self.biases.weight)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the scores (T,) of pairs."""
        scores: Tensor = (self.users(users) * self.items(items)).sum(1) + self.biases(items)[:, 0]
        return scores


@dataclass(frozen=True, eq=False)
class Pairs:
    """Who liked what, and what they did not touch: three times (T,)."""

    users: Tensor
    liked: Tensor
    others: Tensor


class Pairwise:
    """``-log sigmoid(score(u, liked) - score(u, other))``, the other drawn from all items that u does not like."""

    def __init__(
        self, log: Interactions, num_items: int, *, batch_size: int, parts: int = 1, pull: float = 0.0
    ) -> None:
        """Take the likes.

        Args:
            log: A row for each user.
            num_items: I.
            batch_size: Likes of a step.
            parts: Of a step, worked through one after the other to save memory.
            pull: Weight of the squared length of the vectors of a pair.
        """
        likes = log.liked()
        self.users, self.items = likes.row_of_event, likes.item_rows.astype(np.int64)
        self.num_items, self.batch_size, self.parts, self.pull = num_items, batch_size, parts, pull
        self.liked = np.unique(self.users * num_items + self.items)

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""
        return -(-len(self.items) // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[list[Pairs]]:
        """Yield every like once, in random order, each with another item."""
        order = rng.permutation(len(self.items))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            others = self._others(self.users[rows], rng)
            kept = others >= 0
            drawn = (self.users[rows][kept], self.items[rows][kept], others[kept])
            parts = zip(*(np.array_split(column, self.parts) for column in drawn), strict=True)
            yield [Pairs(*map(torch.from_numpy, part)) for part in parts if len(part[0])]

    def loss(self, model: nn.Module, batch: Pairs, device: torch.device) -> Loss:
        """Return the mean over the pairs."""
        users, liked, others = (part.to(device) for part in (batch.users, batch.liked, batch.others))
        value = -functional.logsigmoid(model(users, liked) - model(users, others)).mean()
        if self.pull:
            factors: Factors = model  # type: ignore[assignment]
            vectors = (factors.users(users), factors.items(liked), factors.items(others))
            value = value + self.pull * sum((part.square().sum(1).mean() for part in vectors), torch.zeros(()))
        return Loss(value, len(users))

    def _others(self, users: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw an item for each user that they do not like; -1 where none was found."""
        others = rng.integers(0, self.num_items, len(users))
        for attempt in range(_TRIES + 1):
            keys = users * self.num_items + others
            at = np.minimum(np.searchsorted(self.liked, keys), len(self.liked) - 1)
            hit = np.flatnonzero(self.liked[at] == keys)
            others[hit] = rng.integers(0, self.num_items, len(hit)) if attempt < _TRIES else -1
        return others
