"""The columns of items or users as plain numbers, one for each column, for models that cut by thresholds.

Shapes: N rows, C columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.errors import DataError
from genre.core.parts import text_as_array, text_of_array
from genre.data.dataset import Entities


@dataclass(frozen=True, eq=False)
class TabularFeatures:
    """Number columns as they are, category columns as the count of their most frequent label; NaN where missing.

    A count orders labels by how common they are, which is what a threshold can use, in one column however many labels
    there are. A label that was not in training counts 0. Text and image columns are not read.
    """

    numbers: list[str]
    counts: dict[str, dict[str, int]]
    """By category column, the training rows that hold each label."""

    @classmethod
    def fit(cls, entities: Entities) -> Self:
        """Count the labels."""
        counted = {}
        for name in entities.roles.category:
            labels = entities.frame.select(pl.col(name).list.unique().explode()).drop_nulls().group_by(name).len()
            counted[name] = dict(zip(*labels.sort(name).get_columns(), strict=True))
        return cls(list(entities.roles.number), counted)

    @property
    def names(self) -> list[str]:
        """(C,) the columns, numbers first."""
        return [*self.numbers, *self.counts]

    def transform(self, table: Entities | pl.DataFrame) -> NDArray[np.float32]:
        """Return (N, C).

        Raises:
            DataError: A column that was there in training is not there.
        """
        frame = table.frame if isinstance(table, Entities) else table
        for name in self.names:
            if name not in frame.columns:
                raise DataError(
                    f"there is no column {name!r} among {frame.columns!r}",
                    place="tabular features",
                    remedy="Give the columns that the model was fitted with; leave cells empty where nothing is known.",
                )
        matrix = np.empty((len(frame), len(self.names)), np.float32)
        for at, name in enumerate(self.numbers):
            matrix[:, at] = frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        for at, (name, counts) in enumerate(self.counts.items(), start=len(self.numbers)):
            matrix[:, at] = _highest_count(frame[name], counts)
        return matrix

    def missing(self, num_rows: int) -> NDArray[np.float32]:
        """Return the features (num_rows, C) of rows of which nothing is given."""
        return np.full((num_rows, len(self.names)), np.nan, np.float32)

    def state(self) -> dict[str, NDArray[np.uint8]]:
        """Return what was counted, as the bytes of a JSON text."""
        return {"tabular": text_as_array(json.dumps(asdict(self)))}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Build from what `state` returned."""
        return cls(**json.loads(text_of_array(state["tabular"])))


def _highest_count(values: pl.Series, counts: dict[str, int]) -> NDArray[np.float64]:
    """Return the count (N,) of each row's commonest label."""
    labels = pl.DataFrame({"row": np.arange(len(values)), "label": values.cast(pl.List(pl.String))}).explode("label")
    count = pl.col("label").replace_strict(counts, default=0, return_dtype=pl.Float64)
    best = labels.drop_nulls().group_by("row").agg(count.max().alias("count"))
    highest = np.full(len(values), np.nan)
    highest[best["row"].to_numpy()] = best["count"].to_numpy()
    return highest
