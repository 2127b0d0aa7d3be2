"""How simulated people choose and rate items: the part that is the same in every sample world.

At time t person u takes one of the items that are in the catalogue and that u has not taken yet: item i with
probability

    P(i | u, t) = exp(U(u, i, t)) / sum over such items j of exp(U(u, j, t))

    U(u, i, t) = taste * T(u, i) + text * S(u, i, t) + popularity * P(i)
                 + recency * (N(i, t) + F(last(u, t), i) + R(u, i, t))

    T   taste: what the columns of the person say of the columns of the item, chance, and 0.35 * p_u . q_i, standardised
        over the items. q_i and p_u are hidden: no column tells them, only behaviour does. The rest is said by `films`
        and `courses`.
    S   text: the word similarities between the English descriptions of i and of the n items that u has taken, summed
        and divided by sqrt(n).
    P   popularity: -ln(rank of i), standardised; the rank is drawn at random and says nothing about the real item.
    N   newness: exp(-days since i joined the catalogue / 30); 0 for the items that were there from the first day.
    F   what follows: how strongly the item taken last leads to i; 0 before the first.
    R   readiness: 0, or below it where something should be taken before i and u has not. 0 for all films.

An item is then found worth ``round(3.5 + 0.5 * T + 0.8 * noise)`` stars, from 1 to 5.

Shapes: V people, I items, L places in the longest history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.queries import NO_ITEM

DAY = 86_400
"""Seconds."""
NEWNESS_DAYS = 30
HIDDEN_SIZE, HIDDEN_SHARE = 4, 0.35
"""Length of p_u and q_i, and their factor."""
AGE_GROUPS = ("under 25", "25 to 34", "35 to 49", "50 and over")


class Weights(Config):
    """How much each part of the utility counts; 0 turns a part off.

    With the defaults every part can be learned from the log, none of them alone is enough, and the most popular tenth
    of the items has between a third and two fifths of the events.
    """

    taste: float = Field(default=1.5, ge=0)
    """What the columns of people and items have to do with each other, and a hidden taste."""
    text: float = Field(default=0.8, ge=0)
    """Descriptions that share words with those of items taken before."""
    popularity: float = Field(default=1.0, ge=0)
    """What everybody takes."""
    recency: float = Field(default=1.5, ge=0)
    """Items that are new in the catalogue, those that follow on the item taken last, and, of courses, those that one is
    ready for."""


@dataclass(frozen=True)
class People:
    """Who chooses."""

    table: pl.DataFrame
    """V rows: user_id, and what is known of each."""
    taste: NDArray[np.float64]
    """(V, I) T of the formula above."""


@dataclass(frozen=True)
class Ties:
    """What items have to do with one another."""

    similarity: NDArray[np.float64]
    """(I, I) of the descriptions, for S of the formula."""
    follows: NDArray[np.float64]
    """(I, I) F: how strongly the item of the row leads to the item of the column."""
    needed: NDArray[np.bool_] | None = None
    """(I, I) whether the item of the row should come behind the item of the column, without circles; None is never."""
    readiness: Callable[[NDArray[np.bool_]], NDArray[np.float64]] | None = None
    """Returns R (B, I) for what B people have taken (B, I); None is 0 everywhere."""


def choose(
    taste: NDArray[np.float64],
    ties: Ties,
    times: NDArray[np.int64],
    lengths: NDArray[np.int64],
    joined: NDArray[np.int64],
    weights: Weights,
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Return (V, L) the item rows that people take one after another, `NO_ITEM` past the end of a history.

    Args:
        taste: (V, I) of `People`.
        ties: Between the items.
        times: (V, L) when each event happens, rising along a row.
        lengths: (V,) events of each person, at most the number of items there at the time.
        joined: (I,) when each item joined the catalogue, 0 for those that were there from the first day.
        weights: How much each part counts.
        rng: Source of all chance in here.
    """
    rank = rng.permutation(taste.shape[1]) + 1
    steady = weights.taste * taste + weights.popularity * standardised(-np.log(rank))
    taken = np.full(times.shape, NO_ITEM, np.int32)
    unseen = np.ones(taste.shape, bool)
    text = np.zeros(taste.shape)
    for step in range(times.shape[1]):
        who = np.flatnonzero(lengths > step)
        now = times[who, step][:, None]
        utility = steady[who] + weights.recency * _newness(joined, now)
        if step > 0:
            follows = ties.follows[taken[who, step - 1]]
            utility += weights.text * text[who] / np.sqrt(step) + weights.recency * follows
        if ties.readiness is not None:
            utility += weights.recency * ties.readiness(~unseen[who])
        utility[~unseen[who] | (joined > now)] = -np.inf
        picked = _draw(utility, rng)
        taken[who, step] = picked
        unseen[who, picked] = False
        text[who] += ties.similarity[picked]
    return taken


def stars_of(taste: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how people find items for which their taste is as given, 1 to 5."""
    noise = rng.normal(size=taste.shape)
    return np.clip(np.rint(3.5 + 0.5 * taste + 0.8 * noise), 1, 5)


def with_hidden_taste(liking: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return T (V, I) of the formula, for the part of it (V, I) that columns tell."""
    hidden_items = rng.normal(size=(HIDDEN_SIZE, liking.shape[1]))
    hidden = rng.normal(size=(len(liking), HIDDEN_SIZE)) @ hidden_items
    return standardised(liking + HIDDEN_SHARE * hidden)


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values with mean 0 and deviation 1 over the items (last axis)."""
    return np.asarray((values - values.mean(axis=-1, keepdims=True)) / values.std(axis=-1, keepdims=True))


def _newness(joined: NDArray[np.int64], now: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return N of the formula, for times (B, 1): (B, I), 1 on the day an item joins and falling by 1/e in 30 days."""
    days = np.maximum(now - joined, 0) / DAY
    return np.where(joined > 0, np.exp(-days / NEWNESS_DAYS), 0)


def _draw(utility: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw one column of each row with probability softmax(utility)."""
    rising = np.cumsum(np.exp(utility - utility.max(axis=1, keepdims=True)), axis=1)
    drawn = rng.random(len(utility)) * rising[:, -1]
    return np.asarray((rising <= drawn[:, None]).sum(axis=1))
