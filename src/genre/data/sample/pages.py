"""What the simulated service showed its people, and what they clicked.

A page holds K different items. Item i is on it with probability

    pi(i) = K * m(i) / sum of m,    m(i) = 1 + ln(1 + how often i was taken so far)

over the items that are in the catalogue and that the person has not taken. Systematic sampling, in a random order,
keeps these probabilities exactly, and pi(i) is logged as the propensity. The order on the page is random, so that an
item stands at each position with probability pi(i) / K.

An item is clicked when it is noticed, with probability ``(1 + position) ** -0.7`` (position bias), and found
attractive, with probability ``1 / (1 + exp(1 - T))``, T being the taste of `behaviour`. A click is a look at what the
item is; what is taken is drawn apart from it.

Shapes: G pages, I items, K items on a page, E events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def show(
    eligible: NDArray[np.bool_], views: NDArray[np.integer], page_size: int, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the item rows on each page (G, K), in the order shown, and the probabilities of being there (G, K).

    Args:
        eligible: (G, I) which items may be shown, over 10 for each place on the page, so that no probability passes 1.
        views: (G, I) how often each item was taken before the page was made.
        page_size: K.
        rng: Source of chance.
    """
    appeal = np.where(eligible, 1 + np.log1p(views), 0)
    chance = page_size * appeal / appeal.sum(axis=1, keepdims=True)
    order = rng.random(chance.shape).argsort(axis=1)
    rising = np.cumsum(np.take_along_axis(chance, order, 1), axis=1)
    rising = rising / rising[:, -1:] * page_size  # The last sum is K without a rounding error.
    # Points lie at start, start + 1, ... on the line of summed probabilities: an item as long as pi is hit with
    # probability pi, and never twice.
    start = rng.random((len(chance), 1))
    points_passed = np.ceil(rising - start)
    hit = np.diff(points_passed, axis=1, prepend=0) > 0
    shown = rng.permuted(order[hit].reshape(-1, page_size), axis=1)
    return shown, np.take_along_axis(chance, shown, 1)


def clicks_of(taste: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which of the shown items are clicked, for the taste (G, K) of those who see them."""
    noticed = (1.0 + np.arange(taste.shape[1])) ** -0.7
    attractive = 1 / (1 + np.exp(1 - taste))
    return rng.random(taste.shape) < noticed * attractive


def views_before(
    when: NDArray[np.int64], times: NDArray[np.int64], item_rows: NDArray[np.integer], num_items: int
) -> NDArray[np.int64]:
    """Return (G, I): how often each item was taken before the times `when` (G,).

    Args:
        when: (G,) times of the pages, rising.
        times: (E,) when each event happened.
        item_rows: (E,) what was taken.
        num_items: I.
    """
    counts = np.zeros((len(when) + 1, num_items), np.int64)
    np.add.at(counts, (np.searchsorted(when, times, side="right"), item_rows), 1)
    return counts.cumsum(axis=0)[:-1]
