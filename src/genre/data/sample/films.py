"""The world of films: 280 real films, and viewers who are simulated.

Their taste T of `behaviour` is theta_u . a_i beside the hidden part. a_i holds the film's genres, country and era;
theta_u depends on the viewer's age group, country and language, and on chance. F is 2 after a film of the same
director, 1 after a slightly older film that shares a genre, else 0. A film needs no other: R is 0.

Shapes: V viewers, I films.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.data import columns
from genre.data.sample.behaviour import AGE_GROUPS, People, Ties, with_hidden_taste
from genre.data.sample.labels import many_hot, one_hot, word_similarity
from genre.data.sample.world import Rhythm, World

ERA_STARTS = (1960, 1980, 2000)
"""First years of the second, third and fourth era; the first era is everything before."""
FOLLOW_YEARS = 5
"""How many years after a film others still count as the ones that followed it."""
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


@cache
def film_table() -> pl.DataFrame:
    """Return the 280 films, oldest first.

    Columns: item_id, title, title_zh, year, director (list), genres (list), country (the country or region of the
    production), description and description_zh. The descriptions were written for Genre.
    """
    return pl.read_ndjson((resources.files(__package__) / "films.jsonl").read_bytes())


def era_of(year: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the era, 0 to 3, of each year."""
    return np.asarray(np.digitize(year, ERA_STARTS))


def follow_strength(films: pl.DataFrame) -> NDArray[np.float64]:
    """Return (I, I): how strongly the film of the row leads to the film of the column.

    2 where they share a director; else 1 where they share a genre and the second came out within `FOLLOW_YEARS` years
    after the first; else 0. Not symmetric: what follows is more tempting than what came before.
    """
    directors, genres = many_hot(films["director"]), many_hot(films["genres"])
    year = films["year"].to_numpy()
    later = year[None, :] - year[:, None]
    follows = (genres @ genres.T > 0) & (later > 0) & (later <= FOLLOW_YEARS)
    strength = np.where(directors @ directors.T > 0, 2.0, follows)
    np.fill_diagonal(strength, 0)
    return strength


def film_ties(films: pl.DataFrame) -> Ties:
    """Return what films have to do with one another."""
    return Ties(word_similarity(films["description"]), follow_strength(films))


def draw_viewers(num_viewers: int, films: pl.DataFrame, rng: np.random.Generator) -> People:
    """Invent viewers whose columns say something of their taste, and something more that no column says.

    Columns: user_id, age_group, country and language (the favourite one).
    """
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
    return People(table, with_hidden_taste(liking, rng))


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


FILMS: Final = World(
    items=film_table,
    people=draw_viewers,
    ties=film_ties,
    event="watch",
    rhythm=Rhythm(usual_length=18, length_range=(5, 80), least_gap=2 * 3600),
    page_size=10,
    notice="Sample data: the films are real, the viewers are simulated. "
    "No viewing, rating or click in it is that of a person.",
)
"""One cannot start the next film within two hours."""
