"""The columns of items or users as a sparse matrix: labels, words and numbers, each with its own sign for "not given".

Shapes: N rows, F features, T occurrences of terms.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from genre.core.config import Config
from genre.core.errors import DataError
from genre.core.parts import text_as_array, text_of_array
from genre.core.words import words_of
from genre.data.dataset import Entities


class ContentConfig(Config):
    """How columns become features; the number of features is bounded by these settings and the number of columns."""

    min_count: int = Field(default=2, ge=1)
    """Rows that must hold a word or a label. What one row alone holds says nothing of other rows."""
    max_share: float = Field(default=0.5, gt=0, le=1)
    """Words in more than this share of the rows are left out: they are in the way like "the" or "的"."""
    max_words: int = Field(default=10_000, ge=1)
    """Words kept of each text column, the most frequent."""
    max_labels: int = Field(default=2_000, ge=1)
    """Labels kept of each category column, the most frequent."""
    num_bins: int = Field(default=8, ge=2)
    """Parts of equal size that the values of a number column fall into. Bins, because prices and ranks are skewed
    and what they say seldom rises in a straight line."""


@dataclass(frozen=True, eq=False)
class _Terms:
    """A text or a category column: one feature for each word or label, and one for a row without any value."""

    kind: ClassVar[str] = "terms"
    column: str
    is_text: bool
    terms: list[str]
    weights: list[float]
    """Inverse document frequency of words, 1 for labels."""

    @classmethod
    def fit(cls, values: pl.Series, config: ContentConfig, *, is_text: bool) -> Self:
        counts = _occurrences(values, is_text=is_text).group_by("term").len()
        limit, most = (config.max_words, config.max_share * len(values)) if is_text else (config.max_labels, np.inf)
        kept = counts.filter(pl.col("len").is_between(config.min_count, max(most, config.min_count)))
        kept = kept.sort("len", "term", descending=[True, False]).head(limit).sort("term")
        documents = kept["len"].to_numpy()
        rarity = np.log((1 + len(values)) / (1 + documents)) + 1 if is_text else np.ones(len(documents))
        return cls(values.name, is_text, kept["term"].to_list(), rarity.tolist())

    @property
    def names(self) -> list[str]:
        return [f"{self.column}: {term}" for term in self.terms] + [f"{self.column}: missing"]

    def encode(self, values: pl.Series) -> sparse.csr_matrix:
        """Return (N, terms + 1); every row that holds a known term has length 1."""
        index = pl.DataFrame({"term": self.terms, "at": range(len(self.terms))}, {"term": pl.String, "at": pl.Int64})
        found = _occurrences(values, is_text=self.is_text).join(index, on="term", how="inner")
        rows, at = found["row"].to_numpy(), found["at"].to_numpy()
        data = (1 + np.log(found["count"].to_numpy())) * np.array(self.weights)[at]
        lengths = np.sqrt(np.bincount(rows, weights=data**2, minlength=len(values)))
        missing = np.flatnonzero(values.is_null().to_numpy())
        return sparse.csr_matrix(
            (
                np.concatenate([data / lengths[rows], np.ones(len(missing))]).astype(np.float32),
                (np.concatenate([rows, missing]), np.concatenate([at, np.full(len(missing), len(self.terms))])),
            ),
            shape=(len(values), len(self.terms) + 1),
        )


@dataclass(frozen=True, eq=False)
class _Bins:
    """A number column: one feature for each range of values, and one for a row without a value."""

    kind: ClassVar[str] = "bins"
    column: str
    edges: list[float]
    """Rising; a value that equals an edge falls above it."""

    @classmethod
    def fit(cls, values: pl.Series, config: ContentConfig) -> Self:
        given = _numbers(values).drop_nulls().to_numpy()
        inner = np.linspace(0, 1, config.num_bins + 1)[1:-1]
        edges = np.unique(np.quantile(given, inner)) if len(given) else np.empty(0)
        return cls(values.name, edges[edges > given.min(initial=np.inf)].tolist())

    @property
    def names(self) -> list[str]:
        bounds = ["", *(f"{edge:g}" for edge in self.edges), ""]
        ranges = [f"{low} to {high}".strip() for low, high in pairwise(bounds)]
        return [f"{self.column}: {text}" for text in [*ranges, "missing"]]

    def encode(self, values: pl.Series) -> sparse.csr_matrix:
        """Return (N, bins + 1) with a single 1 in each row."""
        numbers = _numbers(values)
        missing = numbers.is_null().to_numpy()
        at = np.searchsorted(self.edges, numbers.fill_null(0.0).to_numpy(), side="right")
        at[missing] = len(self.edges) + 1
        shape = (len(values), len(self.edges) + 2)
        return sparse.csr_matrix((np.ones(len(at), np.float32), at, np.arange(len(at) + 1)), shape=shape)


_Column: TypeAlias = _Terms | _Bins
_KINDS: dict[str, type[_Terms] | type[_Bins]] = {_Terms.kind: _Terms, _Bins.kind: _Bins}


@dataclass(frozen=True, eq=False)
class ContentFeatures:
    """Columns of items or users as features that were settled on training rows.

    - A text column gives TF-IDF, ``(1 + log tf) * (log((1 + N) / (1 + df)) + 1)``, at length 1.
    - A category column gives 1 for each of its labels, at length 1 too, so that long lists have no more say.
    - A number column gives 1 for the quantile range that the value falls into.
    - A missing value gives 1 in a feature of its own; a word or label not seen in training gives nothing.

    Each column so has the same say. Image columns are not read.
    """

    columns: tuple[_Column, ...]

    @classmethod
    def fit(cls, entities: Entities, config: ContentConfig, *, rows: NDArray[np.integer] | None = None) -> Self:
        """Settle words, labels and ranges on the given rows of the table, all rows by default."""
        frame = entities.frame if rows is None else entities.frame[pl.Series(rows, dtype=pl.Int64)]
        roles = entities.roles
        return cls(
            (
                *(_Terms.fit(_series(frame, name, pl.String()), config, is_text=True) for name in roles.text),
                *(_Terms.fit(_series(frame, name, _LABELS), config, is_text=False) for name in roles.category),
                *(_Bins.fit(_series(frame, name, pl.Float64()), config) for name in roles.number),
            )
        )

    @property
    def names(self) -> list[str]:
        """(F,) what each feature stands for, as ``column: value``."""
        return [name for column in self.columns for name in column.names]

    @property
    def spans(self) -> dict[str, slice]:
        """Where the features of each column stand."""
        ends = np.cumsum([0, *(len(column.names) for column in self.columns)]).tolist()
        return {column.column: slice(*span) for column, span in zip(self.columns, pairwise(ends), strict=True)}

    def transform(self, table: Entities | pl.DataFrame) -> sparse.csr_matrix:
        """Return (N, F) float32, one row for each row of the table, known before or not.

        Raises:
            DataError: A column that was there in training is not there.
        """
        frame = table.frame if isinstance(table, Entities) else table
        parts = [column.encode(_series(frame, column.column, _type_of(column))) for column in self.columns]
        if not parts:
            return sparse.csr_matrix(np.empty((len(frame), 0), np.float32))
        return sparse.csr_matrix(sparse.hstack(parts, format="csr", dtype=np.float32))

    def missing(self, num_rows: int) -> sparse.csr_matrix:
        """Return the features (num_rows, F) of rows of which nothing is given."""
        blank = {column.column: pl.Series([None] * num_rows, dtype=_type_of(column)) for column in self.columns}
        return self.transform(pl.DataFrame({"row": np.arange(num_rows), **blank}))

    def state(self) -> dict[str, NDArray[np.uint8]]:
        """Return what was settled, as the bytes of a JSON text."""
        text = json.dumps([{"kind": column.kind, **asdict(column)} for column in self.columns], ensure_ascii=False)
        return {"columns": text_as_array(text)}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Build from what `state` returned."""
        columns = json.loads(text_of_array(state["columns"]))
        return cls(tuple(_KINDS[column.pop("kind")](**column) for column in columns))


_LABELS = pl.List(pl.String)


def _type_of(column: _Column) -> pl.DataType:
    if isinstance(column, _Bins):
        return pl.Float64()
    return pl.String() if column.is_text else _LABELS


def _series(frame: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Series:
    """Return a column as it should be typed; a column of nulls may come with no type of its own."""
    if name not in frame.columns:
        raise DataError(
            f"there is no column {name!r} among {frame.columns!r}",
            place="content features",
            remedy="Give the columns that the model was fitted with; leave cells empty where nothing is known.",
        )
    return frame[name].cast(dtype)


def _numbers(values: pl.Series) -> pl.Series:
    """Return the numbers with everything that is not finite made null."""
    return values.set(~values.is_finite().fill_null(value=True), None)


def _occurrences(values: pl.Series, *, is_text: bool) -> pl.DataFrame:
    """Return a line (row, term, count) for each different term of each row."""
    bags: Iterable[list[str]] | pl.Series = values
    if is_text:
        bags = [words_of(text) if text else [] for text in values]
    lines = pl.DataFrame({"row": np.arange(len(values)), "term": pl.Series(bags, dtype=_LABELS)})
    counted = lines.explode("term").drop_nulls().group_by("row", "term").agg(count=pl.len())
    return counted if is_text else counted.with_columns(count=pl.lit(1, pl.UInt32))
