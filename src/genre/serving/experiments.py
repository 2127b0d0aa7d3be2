"""Experiments on live users: who is in which arm, and what can be concluded from what they did.

An arm is a property of a user, so that nobody sees one answer today and another tomorrow, and all is counted by user:
what one person clicks resembles what they clicked before, and a test that took clicks for independent would find
differences where there are none.

Shapes: A arms, U users of an arm.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.errors import DataError
from genre.data.columns import EVENT, ITEM_ID, LIST_ID, USER_ID
from genre.evaluation.logged import IMPRESSION
from genre.metrics.statistics import Interval, holm

if TYPE_CHECKING:
    from genre.serving.stores.experiments import Experiment

MISMATCH: Final = 0.001
"""Below this p-value the users are not divided as planned. Strict, since it is looked at often: Fabijan et al.,
Diagnosing Sample Ratio Mismatch in Online Controlled Experiments. KDD 2019."""
_CONTEXT, _ARM = "context", "arm"


def arm_of(name: str, scenario: str, arms: Mapping[str, float], user_id: str) -> str:
    """Return the arm of a user: always the same, and independent of the arms of other experiments.

    Args:
        name: Of the experiment.
        scenario: Where it runs.
        arms: The share of each arm, together 1, in the order that was planned.
        user_id: As the stores have it: a pseudonym, where a run hides the ids of its users.
    """
    said = json.dumps([name, scenario, user_id], ensure_ascii=False).encode("utf-8", "surrogatepass")
    place = int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big") / 2**64
    passed = 0.0
    for arm, share in arms.items():
        passed += share
        if place < passed:
            return arm
    return list(arms)[-1]  # The shares fall short of 1 by a rounding error.


def context_of(
    experiment: Experiment, user_id: str, *, pseudonym: Callable[[str], str] | None = None
) -> dict[str, str]:
    """Return what the context of each event of this user says: the experiment's name and the user's arm.

    Args:
        experiment: Which runs.
        user_id: As clients send it.
        pseudonym: That of the run's engine, `open_run(run).pseudonym`. Where it hides the ids of users, a service
            divides them by what the stores have in their place, and without it this would name another arm.
    """
    stored = user_id if pseudonym is None else pseudonym(user_id)
    arm = arm_of(experiment.name, experiment.scenario, experiment.arms, stored)
    return {"experiment": experiment.name, _ARM: arm}


@dataclass(frozen=True, slots=True)
class Arm:
    """What the users of one arm did."""

    name: str
    share: float
    """Of the users, as planned."""
    users: int
    """Those who were shown something."""
    impressions: int
    clicks: int
    """Shown items that were followed by an event that counts."""
    rate: Interval
    """Clicks for each impression."""
    difference: Interval | None
    """To the rate of the first arm; None for that arm."""
    p_value: float | None
    """Probability of a difference at least as large, in either direction, if the arms were equal; adjusted for the
    number of arms (Holm)."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What an experiment has shown so far."""

    experiment: Experiment
    arms: tuple[Arm, ...]
    mismatch: float
    """Probability of numbers of users at least as far from the planned shares, if they were drawn so."""
    moved: int
    """Users seen in several arms, who are counted in none: their assignment was not kept."""
    confidence: float

    @property
    def divided_as_planned(self) -> bool:
        """Whether the numbers of users fit the shares; where they do not, nothing else here can be trusted."""
        return self.mismatch >= MISMATCH


def outcomes(
    experiment: Experiment,
    frames: Iterable[pl.DataFrame],
    *,
    clicks: Collection[str] | None = None,
    confidence: float = 0.95,
) -> Outcomes:
    """Return what each arm's users did, from a scenario's log of events.

    Intervals and p-values are of the delta method over users: rates are ratios of two sums over users, and both sums
    vary. Deng, Knoblich, Lu: Applying the Delta Method in Metric Analytics. KDD 2018.

    Args:
        experiment: What was planned.
        frames: All events of the scenario, as `Events.since` yields them. An impression belongs to the arm that its
            `context` names, `{"experiment": NAME, "arm": ARM}`; what followed is found by `list_id` and `item_id`.
        clicks: The types of event that count, such as "like"; by default all but impressions.
        confidence: Of the intervals.

    Raises:
        DataError: The log names an arm that was not planned.
    """
    shown, chosen = _read(experiment, frames, clicks)
    by_user = _by_user(shown, chosen)
    arms_of_user = by_user.group_by(USER_ID).len()
    moved = arms_of_user.filter(pl.col("len") > 1)[USER_ID]
    by_user = by_user.filter(~pl.col(USER_ID).is_in(moved.implode()))
    unplanned = sorted(set(by_user[_ARM]) - set(experiment.arms))
    if unplanned:
        raise DataError(
            f"events of the experiment {experiment.name!r} name the arm {unplanned[0]!r}",
            place=f"scenario {experiment.scenario!r}",
            remedy=f"Its arms are {list(experiment.arms)}: correct what writes the context of events.",
        )
    parts = [by_user.filter(pl.col(_ARM) == name) for name in experiment.arms]
    rates = [_Rate.of(part["clicks"].to_numpy(), part["impressions"].to_numpy()) for part in parts]
    tested = [rate.against(rates[0], confidence) for rate in rates[1:]]
    adjusted = [None, *holm(np.array([p_value for _, p_value in tested]))]
    arms = tuple(
        Arm(
            name,
            share,
            users=len(part),
            impressions=int(part["impressions"].sum()),
            clicks=int(part["clicks"].sum()),
            rate=rate.interval(confidence),
            difference=difference,
            p_value=None if p_value is None else float(p_value),
        )
        for (name, share), part, rate, difference, p_value in zip(
            experiment.arms.items(), parts, rates, [None, *(one for one, _ in tested)], adjusted, strict=True
        )
    )
    users = np.array([arm.users for arm in arms])
    return Outcomes(experiment, arms, sample_ratio(users, list(experiment.arms.values())), len(moved), confidence)


def sample_ratio(users: NDArray[np.integer], shares: Collection[float]) -> float:
    """Return the p-value of the chi-square test of numbers of users (A,) against their shares; 1 without users."""
    from scipy import stats

    wanted = np.array(list(shares)) / sum(shares) * users.sum()
    return float(stats.chisquare(users, wanted).pvalue) if users.sum() else 1.0


@dataclass(frozen=True, slots=True)
class _Rate:
    """A ratio of two sums over users, and its variance by the delta method."""

    mean: float
    variance: float

    @classmethod
    def of(cls, clicks: NDArray[np.integer], impressions: NDArray[np.integer]) -> _Rate:
        """Return the rate of users (U,); no number without impressions, no variance below two users."""
        users, shown = len(clicks), int(impressions.sum())
        if shown == 0:
            return cls(math.nan, math.nan)
        mean = float(clicks.sum()) / shown
        if users < 2:
            return cls(mean, math.nan)
        residuals = clicks - mean * impressions
        return cls(mean, users / (users - 1) * float(np.square(residuals).sum()) / shown**2)

    def interval(self, confidence: float) -> Interval:
        """Return the rate with its normal interval."""
        return _around(self.mean, self.variance, confidence)

    def against(self, other: _Rate, confidence: float) -> tuple[Interval, float]:
        """Return the difference to another arm's rate, and its p-value, 1 where nothing is known."""
        from scipy import stats

        difference, variance = self.mean - other.mean, self.variance + other.variance
        found = _around(difference, variance, confidence)
        if not math.isfinite(difference + variance):
            return found, 1.0
        if variance == 0:
            return found, 1.0 if difference == 0 else 0.0
        return found, float(2 * stats.norm.sf(abs(difference) / math.sqrt(variance)))


def _around(mean: float, variance: float, confidence: float) -> Interval:
    from scipy import stats

    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(variance) if variance >= 0 else math.nan
    return Interval(mean, mean - half, mean + half)


def _read(
    experiment: Experiment, frames: Iterable[pl.DataFrame], clicks: Collection[str] | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what was shown in the experiment (user, arm, list, item), and which lists and items were clicked."""
    shown, chosen = [], []
    impression = (pl.col(EVENT) == IMPRESSION).fill_null(value=False)
    counts = ~impression if clicks is None else pl.col(EVENT).is_in(list(clicks))
    named = pl.col(_CONTEXT).str.json_path_match("$.experiment") == experiment.name
    arm = pl.col(_CONTEXT).str.json_path_match("$.arm").alias(_ARM)
    for frame in frames:
        shown.append(frame.filter(impression & named).select(USER_ID, arm, LIST_ID, ITEM_ID))
        chosen.append(frame.filter(counts & pl.col(LIST_ID).is_not_null()).select(LIST_ID, ITEM_ID))
    if not shown:
        empty: dict[str, Any] = dict.fromkeys((USER_ID, _ARM, LIST_ID, ITEM_ID), pl.String)
        return pl.DataFrame(schema=empty), pl.DataFrame(schema={LIST_ID: pl.String, ITEM_ID: pl.String})
    return pl.concat(shown).unique([LIST_ID, ITEM_ID], keep="first", maintain_order=True), pl.concat(chosen).unique()


def _by_user(shown: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """Return `user_id, arm, impressions, clicks` for each user in each arm."""
    marked = shown.join(chosen.with_columns(clicked=pl.lit(value=True)), on=[LIST_ID, ITEM_ID], how="left")
    return (
        marked.group_by(USER_ID, _ARM)
        .agg(impressions=pl.len().cast(pl.Int64), clicks=pl.col("clicked").fill_null(value=False).sum().cast(pl.Int64))
        .sort(USER_ID, _ARM)
    )
