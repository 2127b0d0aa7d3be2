"""For whom a model works, and for which items: groups of queries and targets that are judged alone.

A group is a choice of targets. A query belongs to it with those of its targets that were chosen; ranks stay what they
are among all items.

Shapes: B queries, E targets, I items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.errors import ConfigError
from genre.core.queries import Holdout
from genre.evaluation.config import SliceConfig
from genre.metrics.statistics import Interval

HISTORY, COLD_USERS, ITEM_POPULARITY = "history_length", "cold_users", "item_popularity"
UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Group:
    """Targets that are judged alone."""

    slice: str
    """What the targets are grouped by; that of a user column is `user.` and its name."""
    name: str
    keep: NDArray[np.bool_]
    """(E,)"""


@dataclass(frozen=True)
class Gap:
    """How much better the best group of a slice is served than the worst, of those with enough queries."""

    value: float
    best: str
    worst: str


def make_groups(holdout: Holdout, popularity: NDArray[np.float64], config: SliceConfig) -> tuple[Group, ...]:
    """Divide the questions by history, by popularity of the target and by user columns; empty groups are left out.

    Args:
        holdout: The questions.
        popularity: (I,) likes in training.
        config: What to divide by.

    Raises:
        ConfigError: A user column is not there.
    """
    query = holdout.targets.row_of_value
    of_queries = [*_by_history(holdout, config), *_by_user_columns(holdout.queries.users, config)]
    groups = [Group(name, value, keep[query]) for name, value, keep in of_queries]
    groups += [Group(ITEM_POPULARITY, value, keep) for value, keep in _by_popularity(holdout, popularity)]
    return tuple(group for group in groups if group.keep.any())


def gap_of(groups: Mapping[str, tuple[Interval, int]], min_queries: int) -> Gap | None:
    """Return the gap between groups, given each one's metric and number of queries; None for fewer than two groups."""
    means = {name: interval.mean for name, (interval, queries) in groups.items() if queries >= min_queries}
    if len(means) < 2:
        return None
    best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    return Gap(means[best] - means[worst], best, worst)


def _by_history(holdout: Holdout, config: SliceConfig) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    likes = holdout.queries.history.liked().lengths
    bin_of = np.searchsorted(config.history_lengths, likes, side="right") - 1
    names = [f"{low}-{high - 1}" if high - low > 1 else f"{low}" for low, high in pairwise(config.history_lengths)]
    for place, name in enumerate([*names, f"{config.history_lengths[-1]} or more"]):
        yield HISTORY, name, bin_of == place
    cold = likes <= config.cold_history
    yield COLD_USERS, f"at most {config.cold_history} likes", cold
    yield COLD_USERS, f"more than {config.cold_history} likes", ~cold


def _by_popularity(holdout: Holdout, popularity: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Divide targets: the most popular items with a third of all likes, the next, the last, and those never liked."""
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    third = np.empty(len(popularity), np.int64)
    third[order] = np.minimum(before * 3 // max(popularity.sum(), 1), 2)
    liked = popularity > 0
    for part, name in enumerate(("head", "torso", "tail")):
        yield name, (liked & (third == part))[holdout.targets.values]
    yield "never liked", ~liked[holdout.targets.values]


def _by_user_columns(users: pl.DataFrame | None, config: SliceConfig) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    named = config.user_columns
    valid = [] if users is None else users.columns[1:]  # The first column is the id.
    for name in named or ():
        if name not in valid:
            raise ConfigError(
                f"there is no user column {name!r}",
                place="evaluation.slices.user_columns",
                remedy=f"Choose from {valid}." if valid else "The data has no user columns: leave the setting out.",
            )
    if users is None:
        return
    grouped = [name for name in valid if users.schema[name] != pl.String] if named is None else named
    for name in grouped:
        for value, keep in _groups_of(users[name], config.max_groups):
            yield f"user.{name}", value, keep


def _groups_of(column: pl.Series, max_groups: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the most frequent labels of a column, or the four quarters of its numbers, and who has them (B,)."""
    labels = _quarters(column) if column.dtype.is_numeric() else column
    table = pl.DataFrame({"row": np.arange(len(column)), "label": labels})
    if isinstance(labels.dtype, pl.List):
        label = pl.col("label")
        table = table.with_columns(pl.when(label.list.len() > 0).then(label)).explode("label")
    table = table.with_columns(pl.col("label").cast(pl.String).fill_null(UNKNOWN))
    frequent = table["label"].value_counts().sort("count", "label", descending=[True, False])["label"]
    for label in frequent.head(max_groups):
        keep = np.zeros(len(column), bool)
        keep[table.filter(pl.col("label") == label)["row"].to_numpy()] = True
        yield label, keep


def _quarters(column: pl.Series) -> pl.Series:
    """Label numbers: by themselves if there are at most four different ones, else by the quarter they lie in."""
    values = column.cast(pl.Float64).fill_nan(None)
    known = values.drop_nulls().to_numpy()
    different = np.unique(known)
    if len(different) <= 4:
        edges, names = different[:-1], [f"{value:g}" for value in different]
    else:
        edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
        names = [
            f"up to {edges[0]:g}",
            *(f"{low:g} to {high:g}" for low, high in pairwise(edges)),
            f"above {edges[-1]:g}",
        ]
    places = np.searchsorted(edges, known)
    labels = np.full(len(column), None, object)
    labels[values.is_not_null().to_numpy()] = np.array(names, object)[places]
    return pl.Series(labels, dtype=pl.String)
