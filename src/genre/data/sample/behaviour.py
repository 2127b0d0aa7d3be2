"""How simulated viewers choose and rate films.

At time t viewer u watches one of the films that are in the catalogue and that u has not watched yet: film i with
probability

    P(i | u, t) = exp(U(u, i, t)) / sum over such films j of exp(U(u, j, t))

    U(u, i, t) = taste * T(u, i) + text * S(u, i, t) + popularity * P(i) + recency * (N(i, t) + F(last(u, t), i))

    T   taste: theta_u . a_i + 0.35 * p_u . q_i, standardised over the films. a_i holds the film's genres, country and
        era; theta_u depends on the viewer's age group, country and language, and on chance. q_i and p_u are hidden: no
        column tells them, only behaviour does.
    S   text: the word similarities between the English descriptions of i and of the n films that u has watched, summed
        and divided by sqrt(n).
    P   popularity: -ln(rank of i), standardised; the rank is drawn at random and says nothing about the real film.
    N   newness: exp(-days since i joined the catalogue / 30); 0 for the films that were there from the first day.
    F   what follows: 2 after a film of the same director, 1 after a slightly older film that shares a genre, else 0.

A film is then found worth ``round(3.5 + 0.5 * T + 0.8 * noise)`` stars, from 1 to 5.

Shapes: V viewers, I films, L places in the longest history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.queries import NO_ITEM
from genre.data import columns
from genre.data.sample.films import ERA_STARTS, era_of, follow_strength, many_hot, one_hot, word_similarity

DAY = 86_400
"""Seconds."""
NEWNESS_DAYS = 30
HIDDEN_SIZE, HIDDEN_SHARE = 4, 0.35
"""Length of p_u and q_i, and their factor."""
AGE_GROUPS = ("under 25", "25 to 34", "35 to 49", "50 and over")
LANGUAGE_OF = {
    "Argentina": "Spanish",
    "Australia": "English",
    "China": "Chinese",
    "France": "French",
    "Hong Kong": "Chinese",
    "India": "Hindi",
    "Ireland": "English",
    "Japan": "Japanese",
    "Mexico": "Spanish",
    "New Zealand": "English",
    "South Africa": "English",
    "South Korea": "Korean",
    "Spain": "Spanish",
    "Taiwan": "Chinese",
    "United Kingdom": "English",
    "United States": "English",
}
"""Main film language of a country; left out are countries whose language is no viewer's favourite."""
HOMES = {
    "United States": 0.25,
    "China": 0.25,
    "Japan": 0.1,
    "France": 0.1,
    "India": 0.1,
    "United Kingdom": 0.08,
    "South Korea": 0.06,
    "Spain": 0.06,
}
"""Where viewers live, and which share of them."""


class Weights(Config):
    """How much each part of the utility counts; 0 turns a part off.

    With the defaults every part can be learned from the log, none of them alone is enough, and the most popular tenth
    of the films has about two fifths of the viewings.
    """

    taste: float = Field(default=1.5, ge=0)
    """Genres, countries, eras, and a hidden taste."""
    text: float = Field(default=0.8, ge=0)
    """Descriptions that share words with those of films watched before."""
    popularity: float = Field(default=1.0, ge=0)
    """What everybody watches."""
    recency: float = Field(default=1.5, ge=0)
    """Films that are new in the catalogue, and those that follow on the film watched last."""


@dataclass(frozen=True)
class Viewers:
    """Who watches."""

    table: pl.DataFrame
    """V rows: user_id, age_group, country and language (the favourite one)."""
    taste: NDArray[np.float64]
    """(V, I) T of the formula above."""


def draw_viewers(num_viewers: int, films: pl.DataFrame, rng: np.random.Generator) -> Viewers:
    """Invent viewers whose columns say something of their taste, and something more that no column says."""
    age = rng.integers(0, len(AGE_GROUPS), num_viewers)
    homes = list(HOMES)
    home = np.array(homes)[rng.choice(len(homes), num_viewers, p=list(HOMES.values()))]
    at_home = np.array([LANGUAGE_OF[name] for name in home])
    language = np.where(rng.random(num_viewers) < 0.85, at_home, "English")
    table = pl.DataFrame(
        {
            columns.USER_ID: [f"viewer-{row:04d}" for row in range(num_viewers)],
            "age_group": np.array(AGE_GROUPS)[age],
            "country": home,
            "language": language,
        }
    )
    liking = (
        _genre_taste(age, films["genres"], rng)
        + _country_taste(home, language, films["country"], rng)
        + _era_taste(age, films["year"], rng)
    )
    hidden_films = rng.normal(size=(HIDDEN_SIZE, len(films)))
    hidden = rng.normal(size=(num_viewers, HIDDEN_SIZE)) @ hidden_films
    return Viewers(table, _standardised(liking + HIDDEN_SHARE * hidden))


def choose(
    taste: NDArray[np.float64],
    films: pl.DataFrame,
    times: NDArray[np.int64],
    lengths: NDArray[np.int64],
    joined: NDArray[np.int64],
    weights: Weights,
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Return (V, L) the film rows that viewers watch one after another, `NO_ITEM` past the end of a history.

    Args:
        taste: (V, I) of `Viewers`.
        films: The catalogue.
        times: (V, L) when each viewing happens, rising along a row.
        lengths: (V,) viewings of each viewer, at most the number of films there at the time.
        joined: (I,) when each film joined the catalogue, 0 for those that were there from the first day.
        weights: How much each part counts.
        rng: Source of all chance in here.
    """
    rank = rng.permutation(len(films)) + 1
    steady = weights.taste * taste + weights.popularity * _standardised(-np.log(rank))
    similarity, follows = word_similarity(films["description"]), follow_strength(films)
    watched = np.full(times.shape, NO_ITEM, np.int32)
    unseen = np.ones(taste.shape, bool)
    text = np.zeros(taste.shape)
    for step in range(times.shape[1]):
        who = np.flatnonzero(lengths > step)
        now = times[who, step][:, None]
        utility = steady[who] + weights.recency * _newness(joined, now)
        if step > 0:
            utility += weights.text * text[who] / np.sqrt(step) + weights.recency * follows[watched[who, step - 1]]
        utility[~unseen[who] | (joined > now)] = -np.inf
        picked = _draw(utility, rng)
        watched[who, step] = picked
        unseen[who, picked] = False
        text[who] += similarity[picked]
    return watched


def stars_of(taste: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how viewers find films for which their taste is as given, 1 to 5."""
    noise = rng.normal(size=taste.shape)
    return np.clip(np.rint(3.5 + 0.5 * taste + 0.8 * noise), 1, 5)


def _newness(joined: NDArray[np.int64], now: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return N of the formula, for times (B, 1): (B, I), 1 on the day a film joins and falling by 1/e in 30 days."""
    days = np.maximum(now - joined, 0) / DAY
    return np.where(joined > 0, np.exp(-days / NEWNESS_DAYS), 0)


def _draw(utility: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw one column of each row with probability softmax(utility)."""
    rising = np.cumsum(np.exp(utility - utility.max(axis=1, keepdims=True)), axis=1)
    drawn = rng.random(len(utility)) * rising[:, -1]
    return np.asarray((rising <= drawn[:, None]).sum(axis=1))


def _genre_taste(age: NDArray[np.integer], genres: pl.Series, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (V, I): what an age group likes, and what is one's own."""
    attributes = many_hot(genres)
    attributes /= np.sqrt(attributes.sum(axis=1, keepdims=True))
    shared = rng.normal(scale=0.7, size=(len(AGE_GROUPS), attributes.shape[1]))
    own = rng.normal(size=(len(age), attributes.shape[1]))
    return np.asarray((shared[age] + own) @ attributes.T)


def _country_taste(
    home: NDArray[np.str_], language: NDArray[np.str_], country: pl.Series, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return (V, I): one more for films from home, one more for films in the favourite language."""
    attributes, names = one_hot(country)
    spoken = np.array([LANGUAGE_OF.get(name, "") for name in names])
    own = rng.normal(scale=0.4, size=(len(home), len(names)))
    liking = own + (home[:, None] == np.array(names)) + (language[:, None] == spoken)
    return np.asarray(liking @ attributes.T)


def _era_taste(age: NDArray[np.integer], year: pl.Series, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (V, I): the older the viewer, the older the films that are dear."""
    num_eras = len(ERA_STARTS) + 1
    dearest = num_eras - 1 - age
    own = rng.normal(scale=0.4, size=(len(age), num_eras))
    liking: NDArray[np.float64] = own - 0.5 * np.abs(np.arange(num_eras) - dearest[:, None])
    return liking[:, era_of(year.to_numpy())]


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values with mean 0 and deviation 1 over the films (last axis)."""
    return np.asarray((values - values.mean(axis=-1, keepdims=True)) / values.std(axis=-1, keepdims=True))
