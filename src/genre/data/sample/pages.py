"""What the simulated service showed its viewers, and what they clicked.

A page holds `PAGE_SIZE` different films. Film i is on it with probability

    pi(i) = PAGE_SIZE * m(i) / sum of m,    m(i) = 1 + ln(1 + how often i was watched so far)

over the films that are in the catalogue and that the viewer has not watched. Systematic sampling, in a random order,
keeps these probabilities exactly, and pi(i) is logged as the propensity. The order on the page is random, so that a
film stands at each position with probability pi(i) / PAGE_SIZE.

A film is clicked when it is noticed, with probability ``(1 + position) ** -0.7`` (position bias), and found attractive,
with probability ``1 / (1 + exp(1 - T))``, T being the taste of `behaviour`. A click is a look at what the film is; what
is watched is drawn apart from it.

Shapes: G pages, I films, K films on a page, E viewings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PAGE_SIZE = 10
"""K."""


def show(
    eligible: NDArray[np.bool_], views: NDArray[np.integer], rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the film rows on each page (G, K), in the order shown, and the probabilities of being there (G, K).

    Args:
        eligible: (G, I) which films may be shown, over 100 of them, so that no probability passes 1.
        views: (G, I) how often each film was watched before the page was made.
        rng: Source of chance.
    """
    appeal = np.where(eligible, 1 + np.log1p(views), 0)
    chance = PAGE_SIZE * appeal / appeal.sum(axis=1, keepdims=True)
    order = rng.random(chance.shape).argsort(axis=1)
    rising = np.cumsum(np.take_along_axis(chance, order, 1), axis=1)
    rising = rising / rising[:, -1:] * PAGE_SIZE  # The last sum is PAGE_SIZE without a rounding error.
    # Points lie at start, start + 1, ... on the line of summed probabilities: a film as long as pi is hit with
    # probability pi, and never twice.
    start = rng.random((len(chance), 1))
    points_passed = np.ceil(rising - start)
    hit = np.diff(points_passed, axis=1, prepend=0) > 0
    shown = rng.permuted(order[hit].reshape(-1, PAGE_SIZE), axis=1)
    return shown, np.take_along_axis(chance, shown, 1)


def clicks_of(taste: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which of the shown films are clicked, for the taste (G, K) of those who see them."""
    noticed = (1.0 + np.arange(PAGE_SIZE)) ** -0.7
    attractive = 1 / (1 + np.exp(1 - taste))
    return rng.random(taste.shape) < noticed * attractive


def views_before(
    when: NDArray[np.int64], times: NDArray[np.int64], film_rows: NDArray[np.integer], num_films: int
) -> NDArray[np.int64]:
    """Return (G, I): how often each film was watched before the times `when` (G,).

    Args:
        when: (G,) times of the pages, rising.
        times: (E,) when each viewing happened.
        film_rows: (E,) what was watched.
        num_films: I.
    """
    counts = np.zeros((len(when) + 1, num_films), np.int64)
    np.add.at(counts, (np.searchsorted(when, times, side="right"), film_rows), 1)
    return counts.cumsum(axis=0)[:-1]
