"""The two networks of `two_tower`: what a history asks for, what an item is. Needs torch.

Shapes: B histories, E events of theirs, I items, D numbers of a vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.recommenders.item_vectors import ItemVectors
from genre.training.towers import Histories


class TwoTowers(nn.Module):
    """``q = unit(m + f([m, v_last]))`` and ``c_i = unit(W v_i)``, where m is the weighted mean of a history's v.

    How much an older like counts is learned.
    """

    def __init__(self, vectors: ItemVectors, *, length: int, hidden: int, dropout: float) -> None:
        """Build both towers over the same item vectors."""
        super().__init__()
        size = vectors.size
        self.vectors = vectors
        self.ages = nn.Parameter(-0.2 * torch.arange(length, dtype=torch.float32))
        self.history = nn.Sequential(
            nn.Linear(2 * size, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, size)
        )
        self.item = nn.Linear(size, size)
        nn.init.eye_(self.item.weight)
        nn.init.zeros_(self.item.bias)
        self.dropout = nn.Dropout(dropout)

    def items(self, rows: Tensor | None = None) -> Tensor:
        """Return what items are read as: some rows, or all (I, D)."""
        found: Tensor = self.vectors(rows)
        return found

    def layer_of(self, name: str) -> int | None:
        """Return how many layers lie between a weight and the output of its tower; what both read is the farthest.

        Vectors that items have of their own belong to no layer, since there is nothing general in them.
        """
        if name.startswith(("item.", f"history.{len(self.history) - 1}.")):
            return 0
        if name.startswith("vectors.own."):
            return None
        return 1 if name.startswith("history.") else 2

    def of_histories(self, vectors: Tensor, histories: Histories) -> Tensor:
        """Return histories (B, D) of length 1, none of them empty, whose items are rows of `vectors`."""
        counts = self.ages[histories.ages].exp()
        totals = functional.embedding_bag(
            histories.items, self.dropout(vectors), histories.offsets, mode="sum", per_sample_weights=counts
        )
        shares = torch.zeros(len(totals), device=totals.device).index_add(
            0,
            torch.bucketize(torch.arange(len(counts), device=totals.device), histories.offsets, right=True) - 1,
            counts,
        )
        mean = totals / shares[:, None]
        last = functional.embedding(histories.items[histories.last], vectors)
        return functional.normalize(mean + self.history(torch.cat([mean, last], 1)), dim=1)

    def of_items(self, vectors: Tensor) -> Tensor:
        """Return items (I, D) of length 1."""
        return functional.normalize(self.item(vectors), dim=1)
