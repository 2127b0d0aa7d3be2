"""The films of the sample world, and what makes two of them alike.

Shapes: I films.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
import polars as pl
from numpy.typing import NDArray

ERA_STARTS = (1960, 1980, 2000)
"""First years of the second, third and fourth era; the first era is everything before."""
FOLLOW_YEARS = 5
"""How many years after a film others still count as the ones that followed it."""


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


def one_hot(labels: Sequence[str] | pl.Series) -> tuple[NDArray[np.float64], list[str]]:
    """Return (I, number of labels) ones where a film has the label, and the labels in order."""
    names, rows = np.unique(np.asarray(labels), return_inverse=True)
    return np.eye(len(names))[rows], names.tolist()


def many_hot(lists: pl.Series) -> NDArray[np.float64]:
    """Return (I, number of labels) ones where the film's list has the label, labels in alphabetical order."""
    rows = np.repeat(np.arange(len(lists)), lists.list.len())
    hot, _ = one_hot(lists.explode())
    table = np.zeros((len(lists), hot.shape[1]))
    np.add.at(table, rows, hot)
    return table


def word_similarity(texts: Sequence[str] | pl.Series) -> NDArray[np.float64]:
    """Return (I, I) standardised cosines between TF-IDF vectors; the diagonal is 0.

    ``x(i, w) = (1 + ln count(i, w)) * ln(I / number of texts with w)``. Off the diagonal, mean 0 and deviation 1.
    """
    words = [re.findall(r"\w+", text.lower()) for text in texts]
    rows = np.repeat(np.arange(len(words)), [len(row) for row in words])
    names, columns = np.unique(np.concatenate(words), return_inverse=True)
    counts = np.zeros((len(words), len(names)))
    np.add.at(counts, (rows, columns), 1)
    seen = counts > 0
    vectors = np.where(seen, 1 + np.log(np.maximum(counts, 1)), 0) * np.log(len(words) / seen.sum(axis=0))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    others = ~np.eye(len(words), dtype=bool)
    return np.where(others, (cosines - cosines[others].mean()) / cosines[others].std(), 0)


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
