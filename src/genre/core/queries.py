"""What a recommender is asked, what it may answer, and what it answers: columnar batches of dense rows.

Shapes: B queries, n answers for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged

NO_ITEM = -1
"""Fills the places of an answer that holds fewer than n items."""
UNKNOWN_USER = -1
"""Stands for somebody who is not among the users, or shall not be recognised."""


class Source(IntEnum):
    """Where an answer comes from, from the most to the least personal."""

    NONE = -1
    PERSONAL = 0
    """the behaviour of this user and of users alike"""
    CONTENT = 1
    """what the items say of themselves"""
    SEGMENT = 2
    """what a group of similar users likes"""
    POPULAR = 3
    """what everybody likes"""


@dataclass(frozen=True, eq=False)
class Queries:
    """A batch of questions. A question is a history; who asks is known only sometimes."""

    history: Interactions
    """B rows; what this query may be answered from, dislikes included."""
    user_rows: NDArray[np.int32]
    """(B,) rows of the users, those of whom nothing was learned included; `UNKNOWN_USER` for others."""
    times: NDArray[np.int64]
    """(B,) when the question is asked, in seconds."""
    users: pl.DataFrame | None = None
    """User columns, one row a query, or None where nothing is known of users."""

    @classmethod
    def of(cls, history: Interactions, *, times: NDArray[np.int64] | None = None) -> Queries:
        """Ask for unknown users with these histories, just after each history's end unless `times` are given."""
        unknown = np.full(len(history), UNKNOWN_USER, np.int32)
        return cls(history, unknown, history.end_times if times is None else times)

    def __len__(self) -> int:
        """Return the number of queries, B."""
        return len(self.user_rows)

    def take(self, rows: NDArray[np.integer] | slice) -> Queries:
        """Return the queries of `rows`, in that order."""
        return replace(
            self,
            history=self.history.take(rows),
            user_rows=self.user_rows[rows],
            times=self.times[rows],
            users=None if self.users is None else self.users[rows],
        )

    def blocks(self, size: int) -> Iterator[tuple[int, Queries]]:
        """Yield (first row, queries) in blocks of at most `size`."""
        for start in range(0, len(self), size):
            yield start, self.take(slice(start, start + size))


@dataclass(frozen=True, eq=False)
class Candidates:
    """The items that may be returned: by default all."""

    allowed: NDArray[np.bool_] | None = None
    """(num_items,) false for what nobody may see."""
    excluded: Ragged | None = None
    """B rows; items hidden from each query, as a rule those already seen."""
    only: Ragged | None = None
    """B rows; where given, nothing but these is returned."""

    def take(self, rows: NDArray[np.integer] | slice) -> Candidates:
        """Return the candidates of the queries `rows`."""
        return Candidates(
            self.allowed,
            None if self.excluded is None else self.excluded.take(rows),
            None if self.only is None else self.only.take(rows),
        )

    def hide(self, scores: NDArray[np.float32]) -> None:
        """Set the scores (B, num_items) of items that may not be returned to minus infinity, in place."""
        if self.allowed is not None:
            scores[:, ~self.allowed] = -np.inf
        if self.excluded is not None:
            scores[self.excluded.row_of_value, self.excluded.values] = -np.inf
        if self.only is not None:
            kept = scores[self.only.row_of_value, self.only.values]
            scores[:] = -np.inf
            scores[self.only.row_of_value, self.only.values] = kept

    def without(self, more: Ragged) -> Candidates:
        """Return the same candidates with `more` (B rows) excluded too."""
        return replace(self, excluded=more if self.excluded is None else self.excluded.joined(more))


@dataclass(frozen=True, eq=False)
class Recommendations:
    """Ranked answers, best first."""

    item_rows: NDArray[np.int32]
    """(B, n); `NO_ITEM` where there is nothing more to say."""
    scores: NDArray[np.float32]
    """(B, n), falling along a row as long as one source speaks; minus infinity where there is no item."""
    sources: NDArray[np.int8]
    """(B, n) of `Source`."""
    propensities: NDArray[np.float32] | None = None
    """(B, n) probability with which each item came to stand at its place; None where nothing was left to chance."""

    @classmethod
    def empty(cls, num_queries: int, n: int) -> Recommendations:
        """Return answers that hold nothing."""
        return cls(
            np.full((num_queries, n), NO_ITEM, np.int32),
            np.full((num_queries, n), -np.inf, np.float32),
            np.full((num_queries, n), Source.NONE, np.int8),
        )

    def __len__(self) -> int:
        """Return the number of queries, B."""
        return len(self.item_rows)

    @property
    def n(self) -> int:
        """Places in each answer."""
        return int(self.item_rows.shape[1])

    @property
    def filled(self) -> NDArray[np.bool_]:
        """(B, n) true where there is an item."""
        return np.not_equal(self.item_rows, NO_ITEM)

    def first(self, n: int) -> Recommendations:
        """Return the best `n` of each answer."""
        chances = None if self.propensities is None else self.propensities[:, :n]
        return Recommendations(self.item_rows[:, :n], self.scores[:, :n], self.sources[:, :n], chances)

    def take(self, rows: NDArray[np.integer] | slice) -> Recommendations:
        """Return the answers to the queries `rows`, in that order."""
        chances = None if self.propensities is None else self.propensities[rows]
        return Recommendations(self.item_rows[rows], self.scores[rows], self.sources[rows], chances)

    def reorder(self, order: NDArray[np.integer]) -> Recommendations:
        """Return the answers with their places taken in the given order (B, m)."""
        return Recommendations(
            np.take_along_axis(self.item_rows, order, 1),
            np.take_along_axis(self.scores, order, 1),
            np.take_along_axis(self.sources, order, 1),
            None if self.propensities is None else np.take_along_axis(self.propensities, order, 1),
        )

    def beside(self, other: Recommendations) -> Recommendations:
        """Return answers with this one's places first and the other's (B, m) after them."""
        return Recommendations(
            np.hstack([self.item_rows, other.item_rows]),
            np.hstack([self.scores, other.scores]),
            np.hstack([self.sources, other.sources]),
            np.hstack([_chances(self), _chances(other)]) if _any_chance(self, other) else None,
        )

    def with_rows(self, rows: NDArray[np.integer], others: Recommendations) -> Recommendations:
        """Return the answers with those to the queries `rows` replaced; what this holds is not changed."""
        chances = _chances(self) if _any_chance(self, others) else None
        changed = Recommendations(self.item_rows.copy(), self.scores.copy(), self.sources.copy(), chances)
        changed.item_rows[rows], changed.scores[rows], changed.sources[rows] = (
            others.item_rows,
            others.scores,
            others.sources,
        )
        if changed.propensities is not None:
            changed.propensities[rows] = _chances(others)
        return changed

    def compact(self, keep: NDArray[np.bool_]) -> Recommendations:
        """Return the answers without the places where `keep` (B, n) is false; the rest moves up."""
        order = np.argsort(~keep, axis=1, kind="stable")
        moved = self.reorder(order)
        gone = ~np.take_along_axis(keep, order, 1)
        moved.item_rows[gone], moved.scores[gone], moved.sources[gone] = NO_ITEM, -np.inf, Source.NONE
        if moved.propensities is not None:
            moved.propensities[gone] = np.nan
        return moved


def _chances(answer: Recommendations) -> NDArray[np.float32]:
    """Return the propensities (B, n) of an answer, a copy; what was not left to chance is there for certain."""
    if answer.propensities is not None:
        return answer.propensities.copy()
    return np.where(answer.filled, np.float32(1), np.float32(np.nan))


def _any_chance(*answers: Recommendations) -> bool:
    return any(answer.propensities is not None for answer in answers)


@dataclass(frozen=True, eq=False)
class Holdout:
    """Questions whose answers are known: what a model is chosen on, or judged by."""

    queries: Queries
    targets: Ragged
    """B rows; the items liked after the question, at least one a row, without repetition."""

    def __len__(self) -> int:
        """Return the number of queries, B."""
        return len(self.queries)

    def take(self, rows: NDArray[np.integer] | slice) -> Holdout:
        """Return the questions of `rows` with their answers."""
        return Holdout(self.queries.take(rows), self.targets.take(rows))
