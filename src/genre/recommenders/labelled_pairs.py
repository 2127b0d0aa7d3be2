"""Who liked what and who did not, in words: what `text_classifier` learns from.

Shapes: U users, I items, E events, P pairs, T texts of users, B queries, K grades.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.errors import DataError
from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER, Queries
from genre.core.ragged import Ragged, offsets_of
from genre.data.dataset import Dataset

Count = Callable[[str], int]
_PLACE = "text_classifier"
_BETWEEN = {"en": "; ", "zh": "；"}
_MOST_GRADES = 10
"""Different weights of a log that pass for grades. Playing times have thousands."""
_TRIES = 10
"""How often an item is drawn again that the user has met. What still hits then is left out."""


class PairSettings(Protocol):
    """What must be known to make pairs."""

    @property
    def labels(self) -> str:
        """`binary` or `graded`."""

    @property
    def grades(self) -> tuple[float, ...] | None:
        """Which grades there are, if that is said."""

    @property
    def num_negatives(self) -> int:
        """Negatives for each like."""

    @property
    def max_pairs(self) -> int:
        """Pairs of the log at most."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of somebody at a time and an item, with how much they liked it."""

    texts: list[str]
    """(T,) what was known of somebody, at different times."""
    text_of: NDArray[np.int64]
    """(P,) which text is the user's."""
    item_rows: NDArray[np.int32]
    """(P,)"""
    labels: NDArray[np.int64]
    """(P,) places among the grades."""
    people: NDArray[np.int64]
    """(P,) rows of the users."""
    drawn: NDArray[np.bool_]
    """(P,) whether the pair is not in the log, and is taken for a dislike."""

    def __len__(self) -> int:
        """Return the number of pairs, P."""
        return len(self.labels)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs, with all texts."""
        return Pairs(
            self.texts,
            self.text_of[rows],
            self.item_rows[rows],
            self.labels[rows],
            self.people[rows],
            self.drawn[rows],
        )

    def apart(self, share: float, rng: np.random.Generator) -> tuple[Pairs, Pairs]:
        """Return the pairs of most people and those of a share of them, none of whom is in both.

        Nobody is set apart where those who are left would teach fewer grades.
        """
        people = np.unique(self.people)
        some = rng.permutation(people)[: round(share * len(people))]
        away = np.isin(self.people, some)
        if set(self.labels[~away]) != set(self.labels):
            away[:] = False
        return self.take(~away), self.take(away)


@dataclass(frozen=True, eq=False)
class UserTexts:
    """What is known of somebody, as a text: the names of their newest likes, the newest last, or their profile.

    The oldest likes are left out first where the budget does not hold all; a profile is cut at its end.
    """

    names: list[str]
    """(I,) what items are called, "" for one without a name."""
    like_from: float
    """Weight from which an event is a like."""
    length: int
    """Likes at most."""
    max_tokens: int
    count: Count
    language: str
    prefers_profile: bool
    """Whether a profile is read where there are likes too."""

    def is_told(self, log: Interactions) -> NDArray[np.bool_]:
        """Return which events (E,) are likes of something that has a name."""
        named = np.array([bool(name) for name in self.names], bool)
        told: NDArray[np.bool_] = (log.weights > 0) & (log.weights >= self.like_from) & named[log.item_rows]
        return told

    def of(self, likes: Ragged, profiles: Sequence[str]) -> list[str]:
        """Return a text for each history of likes (B rows) that have names; "" where nothing is known."""
        costs: dict[int, int] = {}
        return [self._text(likes[row], profile, costs) for row, profile in enumerate(profiles)]

    def of_queries(self, queries: Queries, column: str) -> list[str]:
        """Return a text for each query (B,)."""
        history = queries.history
        return self.of(
            history.where(self.is_told(history)).last(self.length).items,
            profiles_of(queries.users, column, len(queries)),
        )

    def _text(self, likes: NDArray[np.int32], profile: str, costs: dict[int, int]) -> str:
        if profile and (self.prefers_profile or not len(likes)):
            words = profile.split(" ")
            while words and self.count(" ".join(words)) > self.max_tokens:
                del words[-max(1, len(words) // 8) :]
            return " ".join(words)
        told: list[str] = []
        left = self.max_tokens
        for row in likes[::-1].tolist():
            costs.setdefault(row, self.count(self.names[row] + _BETWEEN[self.language]))
            left -= costs[row]
            if left < 0 and told:
                break
            told.append(self.names[row])
        return _BETWEEN[self.language].join(reversed(told))


def groups_of(text_of: NDArray[np.integer]) -> Iterator[NDArray[np.int64]]:
    """Yield the places of the pairs (P,) of each text."""
    order = np.argsort(text_of, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(text_of[order])) + 1) if len(order) else ()


def profiles_of(table: pl.DataFrame | None, column: str, count: int) -> list[str]:
    """Return what a column says of so many users in words, "" where it says nothing."""
    if table is None or column not in table.columns:
        return [""] * count
    return [text or "" for text in table[column].to_list()]


def grades_of(log: Interactions, config: PairSettings) -> tuple[NDArray[np.float64], float]:
    """Return the grades (K,) from the worst to the best, and the weight from which an event is a like.

    Graded likes are those that are no worse than the log's mean: of ratings, the lowest one is a weight too.

    Raises:
        DataError: Grades are wanted, and the log has one or far too many.
    """
    if config.labels == "binary":
        return np.array([0.0, 1.0]), 0.0
    found = np.unique(log.weights)
    grades = np.array(config.grades, np.float64) if config.grades else found.astype(np.float64)
    if len(found) < 2:
        raise DataError(
            f"labels are 'graded', and all {log.num_events:,} events weigh {found.tolist()}: there are no ratings",
            place=f"{_PLACE}.labels",
            remedy="Set `feedback: {use_value: true}` if the log has ratings, or `labels: binary`.",
        )
    if len(grades) > _MOST_GRADES:
        raise DataError(
            f"labels are 'graded', and the events have {len(found):,} different weights, more than {_MOST_GRADES}",
            place=f"{_PLACE}.grades",
            remedy="Name the grades that they are rounded to, such as `grades: [1, 2, 3, 4, 5]`.",
        )
    return grades, float(log.weights.mean(dtype=np.float64))


def labelled_pairs(
    data: Dataset,
    config: PairSettings,
    users: UserTexts,
    grades: NDArray[np.float64],
    column: str,
    rng: np.random.Generator,
) -> Pairs:
    """Return what the log says of pairs, each with what was known of the user before.

    Binary: likes against dislikes; where these are fewer than `num_negatives` for each like, items that were shown and
    not chosen join them, and behind these items drawn from all that the user has not met. Graded: what the log says.

    Args:
        data: The log, the items and what is said of users.
        config: Which labels, and how many.
        users: Says what was known of users.
        grades: (K,) from `grades_of`.
        column: Of the users' profiles.
        rng: Chooses.

    Raises:
        DataError: All pairs are of one kind, or there are none.
    """
    log = data.interactions
    told = users.is_told(log)
    before = np.concatenate([[0], np.cumsum(told)])
    named = np.array([bool(name) for name in users.names], bool)
    profiles = profiles_of(data.users.frame, column, data.num_users)
    people = log.row_of_event
    known = before[:-1] > before[log.offsets[people]]
    known |= np.array([bool(profile) for profile in profiles], bool)[people]
    events = np.flatnonzero(known & named[log.item_rows])
    events = np.sort(rng.permutation(events)[: config.max_pairs])
    found = _Found(people[events], before[events], log.item_rows[events], _labels(log.weights[events], grades, config))
    drawn = 0
    if config.labels == "binary":
        missing = config.num_negatives * int(found.labels.sum()) - int((found.labels == 0).sum())
        shown = _not_chosen(data, before, known_profiles=profiles, named=named, most=missing, rng=rng)
        found = found.joined(shown)
        more = _drawn(data, found, named, missing - len(shown.labels), rng)
        found, drawn = found.joined(more), len(more.labels)
    _check(found, config, len(log.item_rows))
    starts = np.maximum(before[log.offsets[found.people]], found.ends - users.length)
    keys, first, text_of = np.unique(
        np.stack([found.people, found.ends]), axis=1, return_index=True, return_inverse=True
    )
    at = _spans(starts[first], keys[1])
    likes = Ragged(offsets_of(keys[1] - starts[first]), log.item_rows[told][at])
    texts = users.of(likes, [profiles[person] for person in keys[0]])
    is_drawn = np.arange(len(found.labels)) >= len(found.labels) - drawn
    return Pairs(texts, text_of.ravel(), found.items.astype(np.int32), found.labels, found.people, is_drawn)


@dataclass(frozen=True, eq=False)
class _Found:
    """P pairs, without words."""

    people: NDArray[np.int64]
    ends: NDArray[np.int64]
    """(P,) likes of the whole log that came before the user's history ended."""
    items: NDArray[np.integer]
    labels: NDArray[np.int64]

    def joined(self, other: _Found) -> _Found:
        parts = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Found(*(np.concatenate(pair) for pair in parts))


def _labels(weights: NDArray[np.float32], grades: NDArray[np.float64], config: PairSettings) -> NDArray[np.int64]:
    if config.labels == "binary":
        return (weights > 0).astype(np.int64)
    return np.asarray(np.abs(weights[:, None] - grades).argmin(axis=1), np.int64)


def _not_chosen(
    data: Dataset,
    before: NDArray[np.int64],
    *,
    known_profiles: Sequence[str],
    named: NDArray[np.bool_],
    most: int,
    rng: np.random.Generator,
) -> _Found:
    """Return items that were shown to somebody of whom something was known, and that they never liked."""
    shown, log = data.impressions, data.interactions
    if shown is None or most <= 0:
        return _Found(*(np.empty(0, np.int64) for _ in range(4)))
    liked = log.weights > 0
    keys = np.unique(log.row_of_event[liked] * data.num_items + log.item_rows[liked])
    wanted = ~shown.clicked & (shown.user_rows != UNKNOWN_USER) & named[shown.item_rows]
    wanted &= ~np.isin(shown.user_rows.astype(np.int64) * data.num_items + shown.item_rows, keys)
    kept: list[tuple[int, int, int]] = []
    for at in rng.permutation(np.flatnonzero(wanted)).tolist():
        person, time = int(shown.user_rows[at]), int(shown.timestamps[at])
        start, stop = log.offsets[person], log.offsets[person + 1]
        # Without a time nobody knows what came before it: all of the history is taken.
        earlier = int((log.timestamps[start:stop] < time).sum()) if time else int(stop - start)
        end = int(before[start + earlier])
        if end > before[start] or known_profiles[person]:
            kept.append((person, end, int(shown.item_rows[at])))
        if len(kept) == most:
            break
    people, ends, items = np.array(kept, np.int64).reshape(-1, 3).T
    return _Found(people, ends, items, np.zeros(len(kept), np.int64))


def _drawn(data: Dataset, found: _Found, named: NDArray[np.bool_], most: int, rng: np.random.Generator) -> _Found:
    """Return items that users have not met, each beside a like: the user is who they were then."""
    likes, items = np.flatnonzero(found.labels == 1), np.flatnonzero(named)
    if most <= 0 or not len(likes):
        return _Found(*(np.empty(0, np.int64) for _ in range(4)))
    beside = np.resize(rng.permutation(likes), most)
    people, log = found.people[beside], data.interactions
    met = np.unique(log.row_of_event * data.num_items + log.item_rows)
    others = rng.choice(items, most)
    hit = np.isin(people * data.num_items + others, met)
    for _ in range(_TRIES):
        if not hit.any():
            break
        others[hit] = rng.choice(items, int(hit.sum()))
        hit = np.isin(people * data.num_items + others, met)
    return _Found(people[~hit], found.ends[beside][~hit], others[~hit], np.zeros(int((~hit).sum()), np.int64))


def _check(found: _Found, config: PairSettings, num_events: int) -> None:
    if not len(found.labels):
        raise DataError(
            f"there are {num_events:,} events, and none of an item with a text by somebody of whom a like with a text, "
            "or a profile, was known before",
            place=_PLACE,
            remedy="Histories of two likes at least are needed, of items that have texts.",
        )
    # Where nobody has left anything unmet there is nothing to draw: all are then alike, and that is what is learned.
    if len(set(found.labels)) < 2 and (config.labels == "graded" or config.num_negatives == 0):
        kind = "of one grade" if config.labels == "graded" else "likes" if found.labels[0] else "dislikes"
        raise DataError(
            f"all {len(found.labels):,} labelled pairs of the log are {kind}: there is nothing to tell apart",
            place=f"{_PLACE}.num_negatives",
            remedy="Set `num_negatives: 1` to draw others, or `feedback.like_at` if the log has ratings.",
        )


def _spans(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all places from each start to before its end."""
    lengths = ends - starts
    return np.repeat(starts - offsets_of(lengths)[:-1], lengths) + np.arange(int(lengths.sum()))
