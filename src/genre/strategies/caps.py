"""At most so many items of one category in a list."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from genre.core.config import Config
from genre.core.queries import NO_ITEM, Queries, Recommendations
from genre.data.dataset import Dataset
from genre.strategies.rules import column_of


class CapConfig(Config):
    """Show at most `most` items with the same value of an item column."""

    kind: Literal["cap"] = "cap"
    column: str
    """A category column; an item with several labels counts for each."""
    most: int = Field(default=3, ge=1)
    """The limit in a list."""

    def build(self, data: Dataset) -> Cap:
        """Return the strategy over this catalogue."""
        labels = column_of(data.items, self.column, "strategies.cap")
        lists = labels.cast(str).to_list() if labels.dtype.base_type().__name__ != "List" else labels.to_list()
        return Cap(lists, self.most)


class Cap:
    """Takes the list from the top and leaves out what would break the limit; nothing is replaced by worse."""

    def __init__(self, labels: list[list[str] | str | None], most: int) -> None:
        """Take the labels of each item and the limit."""
        rows, columns = [], []
        codes: dict[str, int] = {}
        for row, value in enumerate(labels):
            for label in [value] if isinstance(value, str) else value or []:
                rows.append(row)
                columns.append(codes.setdefault(label, len(codes)))
        ones = np.ones(len(rows), np.int32)
        # The last row stands for "no item", which has no label.
        self._labels = sparse.csr_matrix((ones, (rows, columns)), shape=(len(labels) + 1, max(1, len(codes))))
        self._most = most

    def __call__(self, queries: Queries, recommendations: Recommendations, rng: np.random.Generator) -> Recommendations:
        """Keep items, best first, while none of their labels is used up."""
        keep = recommendations.filled.copy()
        for start in range(0, len(recommendations), 1024):
            block = recommendations.item_rows[start : start + 1024]
            used = np.zeros((len(block), self._labels.shape[1]), np.int32)
            for place in range(block.shape[1]):
                labels = self._labels[np.where(block[:, place] == NO_ITEM, -1, block[:, place])].toarray()
                fits = np.logical_not(np.any((labels > 0) & (used >= self._most), axis=1))
                keep[start : start + 1024, place] &= fits
                used += labels * fits[:, None]
        return recommendations.compact(keep)
