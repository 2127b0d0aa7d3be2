"""At most so many items of one category in a list."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field

from genre.core.config import Config
from genre.core.queries import Queries, Recommendations
from genre.core.ragged import Ragged
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
        lists = labels if isinstance(labels.dtype, pl.List) else labels.cast(pl.String)
        return Cap(lists.to_list(), self.most)


class Cap:
    """Takes the list from the top and leaves out what would break the limit; nothing is replaced by worse."""

    def __init__(self, labels: list[list[str] | str | None], most: int) -> None:
        """Take the labels of each item and the limit."""
        codes: dict[str, int] = {}
        self._labels = Ragged.of(
            [
                [codes.setdefault(label, len(codes)) for label in ([value] if isinstance(value, str) else value or [])]
                for value in labels
            ]
        )
        self._most = most

    def __call__(self, queries: Queries, recommendations: Recommendations, rng: np.random.Generator) -> Recommendations:
        """Keep items, best first, while none of their labels is used up."""
        keep = recommendations.filled.copy()
        lists, places = np.nonzero(keep)
        found = self._labels.take(recommendations.item_rows[lists, places])
        lists, places = lists[found.row_of_value], places[found.row_of_value]
        # One counter for each label that occurs in a list, since most of the catalogue's labels do not.
        pairs = lists * (1 + int(found.values.max(initial=0))) + found.values
        names, counter = np.unique(pairs, return_inverse=True)
        used = np.zeros(len(names), np.int64)
        by_place = np.argsort(places, kind="stable")
        starts = np.searchsorted(places[by_place], np.arange(recommendations.n + 1))
        for place in range(recommendations.n):
            here = by_place[starts[place] : starts[place + 1]]
            keep[lists[here[used[counter[here]] >= self._most]], place] = False
            used[counter[here[keep[lists[here], place]]]] += 1
        return recommendations.compact(keep)
