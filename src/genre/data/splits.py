"""Splits: which events a model learns from, and which questions it is chosen on and judged by.

A strategy gives every event a part. Within a user, parts follow one another: first what is learned from, then the
validation events, then the test events. What is asked is answered from all parts before; likes of the part are the
targets. Everything else (histories, targets, users and items kept out of training) is the same for all strategies.

Shapes: U users, I items, E events.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.core.config import Config
from genre.core.errors import ConfigError, DataError
from genre.core.interactions import Interactions
from genre.core.queries import UNKNOWN_USER, Holdout
from genre.core.ragged import Ragged, offsets_of
from genre.data._parts import (
    TEST,
    TRAIN,
    VALIDATION,
    in_order,
    is_among,
    likes_of_users,
    newest_likes,
    running_times,
    share_of,
)
from genre.data.dataset import Dataset, Impressions

COLD_ITEM_LIKES = 5
"""Least likes of an item that may be held out: fewer would hardly ever make it a target."""
FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Split:
    """What is learned from, and two sets of questions about what came after."""

    train: Dataset
    """All users and items, with the training events only."""
    validation: Holdout
    test: Holdout
    """Asked after the validation events, which stand in its histories."""
    cold_items: NDArray[np.bool_]
    """(I,) items without a training event, held out on purpose."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a strategy decides."""

    parts: NDArray[np.int8]
    """(E,) `TRAIN`, `VALIDATION` or `TEST`, never falling within a user."""
    held_out: NDArray[np.bool_]
    """(U,) users of whom nothing is learned: their `TRAIN` events stand in histories only."""
    cut: int = FOREVER
    """Time from which on nothing is learned from anybody."""
    new_users: bool = True
    """Whether questions without a history are asked."""


class SplitRules(Config):
    """What all strategies share."""

    ties: Literal["file", "shuffled", "item"] = "file"
    """How events of a user with equal times are ordered: as in the file (or by its `position` column), which is what
    published results do; at random; or by item id. An order that is told by chance can decide a tenth of a score on
    data with whole days for times. Events without a time stay where they are."""
    repeats: bool = False
    """Whether an item that is already in the history can be a target. False, the default, drops such targets, since
    items already seen are hidden from the answer; a question left without a target is dropped. Set it to true where
    people come back for the same things, and do not hide seen items then."""
    cold_items: float = Field(default=0.0, ge=0, lt=1)
    """Share of the items with at least 5 likes to hold out: they stay in the catalogue and can be targets, but no
    model sees an event of theirs, neither in training nor in a history. Shows what a model does with new items."""


class LeaveOneOutConfig(SplitRules):
    """Each user's last like is the test, the one before it the validation: the protocol of most published results.

    Uses the future of other users to predict a user's past; `temporal` does not.
    """

    kind: Literal["leave_one_out"] = "leave_one_out"
    targets: int = Field(default=1, ge=1)
    """Likes of each part; with more than one, what is also called leave-last-n-out."""
    min_likes: int = Field(default=3, ge=3)
    """Users with fewer likes are only learned from, as are those with no more than both parts take. 3, the least and
    the default, leaves one like to learn from."""

    def plans(self, log: Interactions, times: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Plan]:
        """Hold out as many likes for each part."""
        likes = likes_of_users(log)
        held = self.targets * ((likes >= self.min_likes) & (likes > 2 * self.targets))
        yield Plan(newest_likes(log, held, held), np.zeros(len(log), bool))


class RatioConfig(SplitRules):
    """The newest share of each user's likes."""

    kind: Literal["ratio"] = "ratio"
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of a user's likes, before those of the test; at least one."""
    test: float = Field(default=0.1, gt=0, lt=1)
    """Share of a user's likes, the newest; at least one. Users with fewer than 3 likes are only learned from."""

    @model_validator(mode="after")
    def _leaves_something(self) -> RatioConfig:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation!r} and test {self.test!r} leave nothing to learn from")
        return self

    def plans(self, log: Interactions, times: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Plan]:
        """Hold out at least one like for each part, and leave at least one."""
        likes = likes_of_users(log)
        test = np.minimum(share_of(likes, self.test), likes - 2)
        validation = np.minimum(share_of(likes, self.validation), likes - 1 - test)
        enough = likes >= 3
        yield Plan(newest_likes(log, validation * enough, test * enough), np.zeros(len(log), bool))


class TemporalConfig(SplitRules):
    """Everything before a moment is known, everything after it is asked: as in service.

    A question is asked of each user who likes something in a part, with all events before the part for a history.
    """

    kind: Literal["temporal"] = "temporal"
    validation_from: float | datetime = 0.8
    """Where the validation part begins: a share of the events, or a date (UTC unless it names a zone). Events of the
    same second fall on the same side."""
    test_from: float | datetime = 0.9
    """Where the test part begins."""
    new_users: bool = True
    """Whether users without an event before a part are asked too, with an empty history. True, the default, since a
    service has to answer them."""

    @model_validator(mode="after")
    def _in_order(self) -> TemporalConfig:
        cuts = (self.validation_from, self.test_from)
        for cut in cuts:
            if isinstance(cut, float) and not 0 < cut < 1:
                raise ValueError(f"{cut!r} is neither a share between 0 and 1 nor a date")
        if isinstance(cuts[0], float) == isinstance(cuts[1], float) and _comparable(cuts[0]) >= _comparable(cuts[1]):
            raise ValueError(f"`test_from` ({cuts[1]!s}) must be later than `validation_from` ({cuts[0]!s})")
        return self

    def plans(self, log: Interactions, times: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Plan]:
        """Cut the log at two moments."""
        if times.max(initial=0) == 0:
            raise DataError(
                "the events have no time",
                place="split.kind: 'temporal'",
                remedy="Map a time column, or use `leave_one_out` or `ratio`.",
            )
        validation_from, test_from = (_moment(cut, times) for cut in (self.validation_from, self.test_from))
        if not times.min() < validation_from < test_from <= times.max():
            raise ConfigError(
                f"cuts at {_day(validation_from)} and {_day(test_from)} leave a part empty: the events are from "
                f"{_day(times.min())} to {_day(times.max())}",
                place="split",
                remedy="Move `validation_from` and `test_from` apart, and into this time.",
            )
        parts = (times >= validation_from).astype(np.int8) + (times >= test_from)
        yield Plan(parts, np.zeros(len(log), bool), cut=validation_from, new_users=self.new_users)


class KFoldConfig(SplitRules):
    """Users are dealt into folds; each fold in turn is the test, and the next one the validation.

    Nothing is learned of the users of these two (strong generalisation): each is asked for the newest share of their
    likes, from the history before. Every user with two likes is a test user once.
    """

    kind: Literal["k_fold"] = "k_fold"
    folds: int = Field(default=5, ge=3)
    """Number of folds, and so of models; 5 leaves three fifths of the users to learn from."""
    target_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of a held-out user's likes to ask for, at least one."""

    def plans(self, log: Interactions, times: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Plan]:
        """Hold out two folds at a time."""
        likes = likes_of_users(log)
        users = rng.permutation(np.flatnonzero(likes >= 2))
        if len(users) < self.folds:
            raise DataError(
                f"{len(users)} users with two likes cannot be dealt into {self.folds!r} folds",
                place="split.folds",
                remedy="Take fewer folds, or another `kind`.",
            )
        fold_of_user = np.full(len(log), -1)
        fold_of_user[users] = np.arange(len(users)) % self.folds
        targets = share_of(likes, self.target_share)
        for fold in range(self.folds):
            validation, test = fold_of_user == (fold + 1) % self.folds, fold_of_user == fold
            yield Plan(newest_likes(log, targets * validation, targets * test), validation | test)


class FewShotConfig(SplitRules):
    """Some users, of whom nothing is learned, are asked after their first few events for all they like later."""

    kind: Literal["few_shot"] = "few_shot"
    shots: int = Field(default=3, ge=1)
    """Events in each history, the user's oldest."""
    validation_users: float = Field(default=0.1, gt=0, lt=1)
    """Share of the users who like something after their first `shots` events."""
    test_users: float = Field(default=0.1, gt=0, lt=1)
    """Share of the users who like something after their first `shots` events."""

    @model_validator(mode="after")
    def _leaves_something(self) -> FewShotConfig:
        shares = (self.validation_users, self.test_users)
        if sum(shares) >= 1:
            raise ValueError(f"validation_users {shares[0]!r} and test_users {shares[1]!r} leave nobody to learn from")
        return self

    def plans(self, log: Interactions, times: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Plan]:
        """Draw the users."""
        rows = log.row_of_event
        later = np.arange(log.num_events) - log.offsets[rows] >= self.shots
        users = rng.permutation(np.unique(rows[later & (log.weights > 0)]))
        num_test, num_validation = (
            max(1, int(share * len(users))) for share in (self.test_users, self.validation_users)
        )
        part_of_user = np.zeros(len(log), np.int8)
        part_of_user[users[:num_test]] = TEST
        part_of_user[users[num_test : num_test + num_validation]] = VALIDATION
        yield Plan(np.where(later, part_of_user[rows], np.int8(TRAIN)), part_of_user != TRAIN)


SplitConfig: TypeAlias = Annotated[
    LeaveOneOutConfig | RatioConfig | TemporalConfig | KFoldConfig | FewShotConfig, Field(discriminator="kind")
]


def split(data: Dataset, config: SplitConfig, rng: np.random.Generator) -> list[Split]:
    """Return one split, or one for each fold.

    A question's time is that of its first target. A user who was kept out of training on purpose is `UNKNOWN_USER` to
    the model, though their columns are known; somebody who is merely new is not. Impressions are learned from up to the
    first event that is held out of their user.

    Raises:
        DataError: The log has too few likes, or no times, for this strategy.
        ConfigError: Cuts lie outside the time of the log.
    """
    ties_rng, cold_rng, users_rng = rng.spawn(3)
    log = in_order(data.interactions, config.ties, data.items.vocabulary.ids, ties_rng)
    cold = _draw_cold(log, data.num_items, config.cold_items, cold_rng)
    times = running_times(log)
    ordered = data.with_interactions(log)
    return [_assemble(ordered, times, plan, cold, config) for plan in config.plans(log, times, users_rng)]


def _assemble(
    data: Dataset, times: NDArray[np.int64], plan: Plan, cold: NDArray[np.bool_], config: SplitConfig
) -> Split:
    log = data.interactions
    warm = ~cold[log.item_rows]
    learned = log.where((plan.parts == TRAIN) & warm & ~plan.held_out[log.row_of_event])
    validation, test = (_holdout(data, times, plan, part, warm, config) for part in (VALIDATION, TEST))
    for part, size in (("training", learned.num_events), ("validation", len(validation)), ("test", len(test))):
        if size == 0:
            raise DataError(
                f"a log of {log.num_events:,} events leaves nothing for the {part} part",
                place=f"split.kind: {config.kind!r}",
                remedy="Choose another `kind` or other shares; if users like items again, set `repeats: true`.",
            )
    impressions = None if data.impressions is None else _learned_impressions(data.impressions, log, times, plan, cold)
    return Split(replace(data, interactions=learned, impressions=impressions), validation, test, cold)


def _holdout(
    data: Dataset,
    times: NDArray[np.int64],
    plan: Plan,
    part: int,
    warm: NDArray[np.bool_],
    config: SplitRules,
) -> Holdout:
    """Ask for the likes of one part, from the parts before it."""
    log = data.interactions
    past = log.where((plan.parts < part) & warm)
    where = np.flatnonzero((plan.parts == part) & (log.weights > 0))
    users = log.row_of_event[where]
    pairs = users * data.num_items + log.item_rows[where]
    keep = np.zeros(len(where), bool)
    keep[np.unique(pairs, return_index=True)[1]] = True
    if not config.repeats:
        keep &= ~is_among(pairs, past.row_of_event * data.num_items + past.item_rows)
    if not plan.new_users:
        keep &= past.lengths[users] > 0
    where = where[keep]
    rows, first, counts = np.unique(users[keep], return_index=True, return_counts=True)
    queries = data.queries(rows, history=past.take(rows), times=times[where[first]])
    known = np.where(plan.held_out[rows], UNKNOWN_USER, rows).astype(np.int32)
    return Holdout(replace(queries, user_rows=known), Ragged(offsets_of(counts), log.item_rows[where]))


def _learned_impressions(
    shown: Impressions, log: Interactions, times: NDArray[np.int64], plan: Plan, cold: NDArray[np.bool_]
) -> Impressions:
    """Keep what was shown before anything of its user is asked."""
    until = np.full(len(log) + 1, plan.cut)  # The last place is that of unknown users, whose row is -1.
    asked = np.flatnonzero(plan.parts != TRAIN)
    np.minimum.at(until, log.row_of_event[asked], times[asked])
    until[:-1][plan.held_out] = 0
    limit = until[shown.user_rows]
    dated = (shown.timestamps > 0) | (limit == FOREVER)
    keep = dated & (shown.timestamps < limit) & ~cold[shown.item_rows]
    return Impressions(**{name.name: getattr(shown, name.name)[keep] for name in fields(shown)})


def _draw_cold(log: Interactions, num_items: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return (I,) which items are held out."""
    cold = np.zeros(num_items, bool)
    if share == 0:
        return cold
    eligible = np.flatnonzero(np.bincount(log.item_rows[log.weights > 0], minlength=num_items) >= COLD_ITEM_LIKES)
    if len(eligible) == 0:
        raise DataError(
            f"no item has {COLD_ITEM_LIKES} likes, so no share of {share!r} can be held out",
            place="split.cold_items",
            remedy="Leave `cold_items` at 0.",
        )
    cold[rng.choice(eligible, max(1, round(share * len(eligible))), replace=False)] = True
    return cold


def _comparable(cut: float | datetime) -> float:
    """Return a share as it is, and a date as seconds since 1970."""
    if isinstance(cut, float):
        return cut
    return (cut if cut.tzinfo else cut.replace(tzinfo=UTC)).timestamp()


def _moment(cut: float | datetime, times: NDArray[np.int64]) -> int:
    """Return the time in seconds at which a part begins."""
    if isinstance(cut, float):
        return int(np.quantile(times, cut, method="higher"))
    return math.ceil(_comparable(cut))


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M}"
