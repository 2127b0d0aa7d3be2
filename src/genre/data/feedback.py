"""From what happened to how much it was liked."""

from __future__ import annotations

import difflib
import math
from typing import Annotated, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import ConfigError, DataError
from genre.core.interactions import Interactions
from genre.data.columns import EVENT, TIMESTAMP, VALUE

DAY: Final = 86_400
"""Seconds."""
LEAST_DECAY: Final = 2.0**-10
"""What an old event keeps of its weight at least, after ten half-lives: no like fades into a dislike, and somebody who
was here long ago is still answered by what they liked."""
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FeedbackConfig(Config):
    """How strong a liking each event stands for. By default every event is a like of weight 1."""

    events: dict[str, Weight] = Field(default_factory=dict)
    """Weight of each type of event, as in `{view: 0.2, purchase: 1, hide: 0}`. 0 says seen but not liked. Once one
    type is named all must be, so that a misspelt name cannot pass. Empty, the default, counts all types alike."""
    use_value: bool = False
    """Multiply by the event's value: a quantity, a playing time. Off by default, since a rating of 1 star is no small
    liking; for ratings set `like_at`. A negative value counts as 0."""
    like_at: float | None = None
    """Values from here up are likes, values below it dislikes (weight 0). None, the default, takes no notice of the
    value. An event without a value is a like."""
    half_life: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Days after which an event weighs half: its weight is multiplied by ``0.5 ** (age / half_life)``, down to a
    thousandth, its age counted back from the newest event of the data. None, the default, lets nothing fade: where
    tastes last, old events are half of what is known. An event without a time counts as the oldest. Models with a
    half-life of their own (`popularity`, `segment`) apply both."""


def weights(interactions: pl.DataFrame, config: FeedbackConfig, *, now: float | None = None) -> pl.Series:
    """Return the weight (Float32) of each event: its type's, times its value, or 0 below `like_at`, times its decay.

    Args:
        interactions: The events.
        config: What they stand for.
        now: When an event is new, in seconds; a later one is new too. By default the time of the newest one. Events
            that continue histories of a data set as it is are as new as its newest one: pass its `end_time`.

    Raises:
        ConfigError: A setting needs a column that the data does not have, or an event type has no weight.
    """
    weight = pl.lit(1.0)
    if config.events:
        _require(interactions, EVENT, "feedback.events", config.events)
        _require_all_named(interactions[EVENT], config)
        weight = pl.col(EVENT).replace_strict(config.events, return_dtype=pl.Float64)
    if config.use_value:
        _require(interactions, VALUE, "feedback.use_value", config.use_value)
        weight *= pl.col(VALUE).fill_nan(None).clip(lower_bound=0).fill_null(1.0)
    if config.like_at is not None:
        _require(interactions, VALUE, "feedback.like_at", config.like_at)
        disliked = pl.col(VALUE).fill_nan(None) < config.like_at
        weight = pl.when(disliked).then(0.0).otherwise(weight)
    if config.half_life is not None:
        _require(interactions, TIMESTAMP, "feedback.half_life", config.half_life)
        time = pl.col(TIMESTAMP).cast(pl.Float64)
        newest = time.max() if now is None else pl.lit(float(now))
        age = (newest - time.fill_null(time.min())).fill_null(0.0).clip(lower_bound=0.0) / DAY
        weight *= (0.5 ** (age / config.half_life)).clip(lower_bound=LEAST_DECAY)
    height = pl.int_range(pl.len())  # Gives the constant weight its length.
    return interactions.select(weight=(weight + 0 * height).cast(pl.Float32))["weight"]


def decay(ages: NDArray[np.integer], config: FeedbackConfig) -> NDArray[np.float64]:
    """Return what events keep of their weights at these ages in seconds; all of it below 0, as in `weights`."""
    if config.half_life is None:
        return np.ones(len(ages))
    kept: NDArray[np.float64] = 0.5 ** (np.maximum(ages, 0) / DAY / config.half_life)
    return np.maximum(kept, LEAST_DECAY)


def faded(log: Interactions, config: FeedbackConfig, *, end: int, now: int) -> NDArray[np.float32]:
    """Return the weights (E,) that the events of a log have at a later time.

    What they keep then is divided by what they kept before: an event at the least it can be stays there. So all
    together an event loses no more than that, however often the time moves on, and a like stays a like.

    Args:
        log: The events, with the weights of before.
        config: What they stand for.
        end: When an event was new before, in seconds.
        now: When it is new now, not before that.
    """
    if config.half_life is None or now <= end:
        return log.weights
    dated = log.timestamps != 0
    # What has no time counts as the oldest, as where the data was built.
    times = np.where(dated, log.timestamps, log.timestamps.min(where=dated, initial=end))
    kept = decay(now - times, config) / decay(end - times, config)
    weights = (log.weights * kept).astype(np.float32)
    # A weight next to nothing to begin with could be rounded to nothing.
    return np.where(log.weights > 0, np.maximum(weights, np.finfo(np.float32).tiny), weights)


def weight_of(event: str | None, value: float | None, config: FeedbackConfig, place: str = "event") -> float:
    """Return the weight of one event, as `weights` does of many.

    Raises:
        DataError: The event's type has no weight.
    """
    weight = 1.0
    if config.events:
        if event not in config.events:
            raise DataError(
                f"the type {event!r} has no weight", place=place, remedy=f"Choose from {sorted(config.events)}."
            )
        weight = config.events[event]
    if value is not None and math.isnan(value):
        value = None
    if config.use_value and value is not None:
        weight *= max(0.0, value)
    if config.like_at is not None and value is not None and value < config.like_at:
        weight = 0.0
    return weight


def _require(interactions: pl.DataFrame, column: str, setting: str, value: object) -> None:
    if column not in interactions.columns:
        raise ConfigError(
            f"{value!r} needs a column `{column}`, and the interactions have only {', '.join(interactions.columns)}",
            place=setting,
            remedy=f"Name the column under `data.columns.interactions.{column}`, or leave the setting out.",
        )


def _require_all_named(events: pl.Series, config: FeedbackConfig) -> None:
    counts = events.value_counts(sort=True)
    unnamed = [event for event in counts[EVENT] if event not in config.events]
    if not unnamed:
        return
    if None in unnamed:
        raise ConfigError(
            f"{events.null_count():,} events have no type, so that no weight can be looked up",
            place="feedback.events",
            remedy="Set `clean.missing: {interactions.event: drop}`, or `category` to call their type '(missing)'.",
        )
    found = ", ".join(f"{event!r} ({count:,})" for event, count in counts.head(20).iter_rows())
    close = difflib.get_close_matches(unnamed[0], [name for name in config.events if name not in set(events)], n=1)
    raise ConfigError(
        f"event type {unnamed[0]!r} has no weight; the types in the data are {found}",
        place="feedback.events",
        remedy=f"Is {close[0]!r} meant to be {unnamed[0]!r}?"
        if close
        else "Give each a weight, 0 for what is seen and not liked.",
    )
