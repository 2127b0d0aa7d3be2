"""Number columns made ready for models: filled, scaled or cut into bins, with what the training part says.

A mean, a range or a bin edge is learned from the items and users that occur in training events only, each counted
once, so that nothing of the test part leaks into the features.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import ConfigError, DataError
from genre.core.queries import Queries
from genre.data.cleaning import MISSING
from genre.data.dataset import Dataset, Entities
from genre.data.splits import Split

Missing: TypeAlias = Literal["keep", "mean", "median"] | float


class FillConfig(Config):
    """Fill the empty cells of a number column and change nothing else."""

    kind: Literal["fill"] = "fill"
    missing: Literal["mean", "median"] | float = "median"
    """What to put there; a number is taken as it is. The median, the default, is not moved by a few extreme prices."""


class FillModeConfig(Config):
    """Fill the empty cells of a category column with its most frequent label (the first in the alphabet of equals)."""

    kind: Literal["fill_mode"] = "fill_mode"


class ScaleConfig(Config):
    """Bring a number column to the size that gradients and distances like.

    ``standard``: (x - mean) / standard deviation. ``min_max``: (x - min) / (max - min), cut to 0..1 outside training.
    ``log``: sign(x) log(1 + |x|), then as standard; for prices and counts, which spread over orders of magnitude.
    A column with one value becomes 0.
    """

    kind: Literal["standard", "min_max", "log"]
    missing: Missing = "keep"
    """What to put into empty cells before scaling. `keep`, the default, leaves them to the model."""


class BinConfig(Config):
    """Cut a number column into ranges; it becomes a category column with labels such as "5 to 10".

    ``quantile_bins`` hold about equally many items each, ``equal_bins`` are equally wide.
    """

    kind: Literal["quantile_bins", "equal_bins"]
    bins: int = Field(default=5, ge=2)
    """Number of ranges; fewer where many values are equal."""
    missing: Missing | Literal["category"] = "category"
    """`category`, the default, makes "(missing)" a label of its own; `keep` gives such rows no label."""


ColumnConfig: TypeAlias = Annotated[FillConfig | FillModeConfig | ScaleConfig | BinConfig, Field(discriminator="kind")]


class ColumnsConfig(Config):
    """What to do to which column, by name; other columns stay as they are."""

    items: dict[str, ColumnConfig] = Field(default_factory=dict)
    """For instance `{price: {kind: log, missing: median}, year: {kind: quantile_bins}}`."""
    users: dict[str, ColumnConfig] = Field(default_factory=dict)


class FittedColumn(Config):
    """What was learned of one column: fill, then log, then (x - shift) / width, then clip or bin."""

    fill: float | str | None = None
    """For empty cells; None keeps them."""
    log: bool = False
    shift: float = 0.0
    width: float = 1.0
    clip: bool = False
    """Whether to cut to 0..1."""
    edges: tuple[float, ...] | None = None
    """Inner edges of the bins; a value on an edge belongs to the bin below. None for no bins."""
    missing_label: bool = False
    """Whether an empty cell gets the label "(missing)"."""


class ColumnTransforms(Config):
    """The fitted columns. `model_dump()` gives a plain dict, `model_validate()` takes it back."""

    items: dict[str, FittedColumn] = Field(default_factory=dict)
    users: dict[str, FittedColumn] = Field(default_factory=dict)

    def apply(self, data: Dataset) -> Dataset:
        """Return the data set with its columns as models see them; binned ones are category columns then."""
        return replace(data, items=_apply(data.items, self.items), users=_apply(data.users, self.users))

    def apply_queries(self, queries: Queries) -> Queries:
        """Return the queries with their user columns as models see them."""
        return queries if queries.users is None else replace(queries, users=_transform(queries.users, self.users))

    def apply_split(self, split: Split) -> Split:
        """Return the split with its tables, and the user columns of its questions, as models see them."""
        validation, test = (
            replace(holdout, queries=self.apply_queries(holdout.queries)) for holdout in (split.validation, split.test)
        )
        return replace(split, train=self.apply(split.train), validation=validation, test=test)


def fit_columns(train: Dataset, config: ColumnsConfig) -> ColumnTransforms:
    """Learn what the columns need from the items and users that occur in `train`.

    Raises:
        ConfigError: There is no such number (or category) column.
        DataError: A statistic is asked of a column that is empty in training.
    """
    log = train.interactions
    items = np.bincount(log.item_rows, minlength=train.num_items) > 0
    return ColumnTransforms(
        items={name: _fit(train.items, "items", name, rule, items) for name, rule in config.items.items()},
        users={name: _fit(train.users, "users", name, rule, log.lengths > 0) for name, rule in config.users.items()},
    )


def _fit(table: Entities, place: str, name: str, rule: ColumnConfig, seen: NDArray[np.bool_]) -> FittedColumn:
    """Learn what one column needs from the rows `seen`."""
    columns = table.roles.category if rule.kind == "fill_mode" else table.roles.number
    where = f"columns.{place}.{name}"
    if name not in columns:
        what = "category" if rule.kind == "fill_mode" else "number"
        raise ConfigError(
            f"{name!r} is not a {what} column",
            place=where,
            remedy=f"The {what} columns are: {', '.join(columns) or 'none'}.",
        )
    values = table.frame[name].filter(pl.Series(seen)).drop_nulls()
    if isinstance(rule, FillModeConfig):
        labels = values.explode().drop_nulls()
        _require(len(labels), where)
        return FittedColumn(fill=str(labels.mode().sort()[0]))
    numbers = values.filter(values.is_finite()).to_numpy()
    fill = _fill_of(numbers, rule.missing, where)
    if isinstance(rule, FillConfig):
        return FittedColumn(fill=fill)
    _require(len(numbers), where)
    if isinstance(rule, ScaleConfig):
        return _fit_scale(numbers, rule, fill)
    return FittedColumn(fill=fill, edges=_edges(numbers, rule), missing_label=rule.missing == "category")


def _require(size: int, where: str) -> None:
    if size == 0:
        raise DataError(
            "the column is empty in training, so nothing can be learned of it",
            place=where,
            remedy="Leave the column out, or `fill` it with a number.",
        )


def _fill_of(numbers: NDArray[np.float64], missing: str | float, where: str) -> float | None:
    if missing in ("keep", "category"):
        return None
    if isinstance(missing, float):
        return missing
    _require(len(numbers), where)
    return float(np.mean(numbers) if missing == "mean" else np.median(numbers))


def _fit_scale(numbers: NDArray[np.float64], rule: ScaleConfig, fill: float | None) -> FittedColumn:
    if rule.kind == "min_max":
        shift, width = float(numbers.min()), float(np.ptp(numbers))
    else:
        spread = np.sign(numbers) * np.log1p(np.abs(numbers)) if rule.kind == "log" else numbers
        shift, width = float(spread.mean()), float(spread.std())
    return FittedColumn(fill=fill, log=rule.kind == "log", shift=shift, width=width, clip=rule.kind == "min_max")


def _edges(numbers: NDArray[np.float64], rule: BinConfig) -> tuple[float, ...]:
    shares = np.arange(1, rule.bins) / rule.bins
    if rule.kind == "quantile_bins":
        inner = np.unique(np.quantile(numbers, shares, method="inverted_cdf"))
    else:
        inner = np.unique(numbers.min() + shares * np.ptp(numbers))
    return tuple(inner[inner < numbers.max()].tolist())  # Nothing would lie above an edge at the maximum.


def _apply(table: Entities, fitted: dict[str, FittedColumn]) -> Entities:
    binned = tuple(name for name, column in fitted.items() if column.edges is not None)
    roles = replace(
        table.roles,
        number=tuple(name for name in table.roles.number if name not in binned),
        category=table.roles.category + binned,
    )
    return replace(table, frame=_transform(table.frame, fitted), roles=roles)


def _transform(frame: pl.DataFrame, fitted: dict[str, FittedColumn]) -> pl.DataFrame:
    return frame.with_columns(_transform_column(frame[name], column) for name, column in fitted.items())


def _transform_column(cells: pl.Series, column: FittedColumn) -> pl.Series:
    if isinstance(column.fill, str):
        empty = cells.is_null() | (cells.list.len() == 0).fill_null(value=True)
        return cells.set(empty, None).fill_null(pl.Series([[column.fill]]).first())
    values = cells.cast(pl.Float64).fill_nan(None)
    if column.fill is not None:
        values = values.fill_null(column.fill)
    if column.edges is not None:
        return _labels(values, column.edges, MISSING if column.missing_label else None)
    if column.log:
        values = values.sign() * values.abs().log1p()
    if column.width == 0:
        return values * 0.0
    values = (values - column.shift) / column.width
    return values.clip(0.0, 1.0) if column.clip else values


def _labels(values: pl.Series, edges: tuple[float, ...], missing: str | None) -> pl.Series:
    """Put the ranges of values into words, one label in each list."""
    bins = np.searchsorted(edges, values.fill_null(0.0).to_numpy())
    labels = pl.Series(values.name, _names(edges)).gather(bins)
    known = values.is_not_null()
    lists = labels.zip_with(known, pl.Series([missing], dtype=pl.String)).reshape((len(values), 1)).arr.to_list()
    return lists if missing is not None else lists.zip_with(known, pl.Series([None], dtype=lists.dtype))


def _names(edges: tuple[float, ...]) -> list[str]:
    """Return a label for each bin, its edges rounded by at most a hundredth of the narrowest bin."""
    if not edges:
        return ["any"]
    rounding = 0.01 * min((high - low for low, high in pairwise(edges)), default=abs(edges[0]))
    digits = next((d for d in range(18) if all(abs(round(edge, d) - edge) <= rounding for edge in edges)), None)
    words = [str(edge) if digits is None else f"{round(edge, digits) + 0.0:.{digits}f}" for edge in edges]
    return [f"up to {words[0]}", *(f"{low} to {high}" for low, high in pairwise(words)), f"over {words[-1]}"]
