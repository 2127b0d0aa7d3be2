"""What a sample world is, and how it runs.

Nobody took these items. Who the people are, what they choose and how they rate is drawn from the model in `behaviour`,
so that a result on this data says how a method works, and nothing about people or about what they choose from.

Shapes: V people, I items, L places in the longest history, E events, G pages, K items on a page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.queries import NO_ITEM
from genre.core.run import RunContext
from genre.data import columns
from genre.data.sample.behaviour import DAY, People, Ties, Weights, choose, stars_of
from genre.data.sample.pages import clicks_of, show, views_before
from genre.data.tables import Tables

END: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
"""Nothing happens after this, in seconds since 1970."""
START: Final = int(datetime(2024, 7, 1, tzinfo=UTC).timestamp())
"""Nothing happens before this: a world is 18 months long."""

ARRIVING_SHARE, NEW_ITEM_SHARE, NEW_ITEM_DAYS = 0.25, 0.07, 21
"""Shares of the items that join the catalogue along the way, and of those that join in the last days."""
NEW_PERSON_SHARE, NEW_PERSON_DAYS, NEW_PERSON_LENGTH = 0.08, 14, 3
"""Share of people who come in the last days, and the most that they take."""
LENGTH_SPREAD = 0.7
"""Log-deviation of the number of items that other people take."""
USUAL_STAY_DAYS, LEAVING_SHARE = 110, 0.3
"""Days before the end by which the others have come, and share of them who leave earlier than the end."""
PAGE_SHARE, PAGE_LEAD = 0.25, 600
"""Share of the events before which a page was logged, and how many seconds before."""


@dataclass(frozen=True)
class Rhythm:
    """How much people take, and how fast."""

    usual_length: int
    """Median number of items, of those who do not come in the last days."""
    length_range: tuple[int, int]
    """Its limits."""
    least_gap: int
    """Seconds between two events of one person, at least."""


@dataclass(frozen=True)
class World:
    """A catalogue, and those who choose from it."""

    items: Callable[[], pl.DataFrame]
    """Returns the catalogue: item_id, description and more, one row an item."""
    people: Callable[[int, pl.DataFrame, np.random.Generator], People]
    """Invents so many people for the catalogue."""
    ties: Callable[[pl.DataFrame], Ties]
    """Returns what the items have to do with one another."""
    event: str
    """What it is called when an item is taken and nothing is said of it."""
    rhythm: Rhythm
    page_size: int
    """K."""
    notice: str
    """Stands wherever results on the world are shown."""


def simulate(world: World, seed: int, num_people: int, weights: Weights) -> Tables:
    """Return interactions, items, users and impressions of a world, the same for the same arguments."""
    run, items = RunContext(seed=seed), world.items()
    # The streams are called after the first world that there was; another name would be another world.
    people, ties = world.people(num_people, items, run.rng("viewers")), world.ties(items)
    joined = _in_order(_arrivals_of_items(len(items), run.rng("arrivals")), ties.needed)
    timetable = _timetable(num_people, world.rhythm, run.rng("timetable"))
    taken = choose(people.taste, ties, timetable.times, timetable.lengths, joined, weights, run.rng("choices"))
    who, place = np.nonzero(taken != NO_ITEM)
    events = Events(who, taken[who, place], timetable.times[who, place])
    return Tables(
        interactions=_interactions(events, people, items, world.event, run.rng("feedback")),
        items=items,
        users=people.table,
        impressions=_impressions(events, people, items, joined, timetable, world.page_size, run.rng("impressions")),
    )


@dataclass(frozen=True)
class Timetable:
    """When people come and choose."""

    lengths: NDArray[np.int64]
    """(V,) items each person will take."""
    times: NDArray[np.int64]
    """(V, L) when, rising along a row; meaningless past the person's length."""
    arrivals: NDArray[np.int64]
    """(V,) when each person first came."""


@dataclass(frozen=True)
class Events:
    """Who took what, and when: E events, each person's in order."""

    people_rows: NDArray[np.intp]
    item_rows: NDArray[np.int32]
    times: NDArray[np.int64]


def _arrivals_of_items(num_items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (I,) when each item joined the catalogue; 0 for those that were there before the first day."""
    last_days = END - NEW_ITEM_DAYS * DAY
    num_new, num_arriving = int(NEW_ITEM_SHARE * num_items), int(ARRIVING_SHARE * num_items)
    joined = np.zeros(num_items, np.int64)
    joined[:num_new] = rng.integers(last_days, END, num_new)
    joined[num_new : num_new + num_arriving] = rng.integers(START, last_days, num_arriving)
    return rng.permutation(joined)


def _in_order(joined: NDArray[np.int64], needed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Return the same times (I,), exchanged so that no item joins before one that it needs."""
    joined = joined.copy()
    pairs = np.empty((0, 2), int) if needed is None else np.argwhere(needed)
    while (early := joined[pairs[:, 0]] < joined[pairs[:, 1]]).any():
        later, first = pairs[early.argmax()]
        joined[[later, first]] = joined[[first, later]]
    return joined


def _timetable(num_people: int, rhythm: Rhythm, rng: np.random.Generator) -> Timetable:
    """Draw how much and when each person takes: in bursts, from the arrival until leaving or the end."""
    new = rng.permutation(np.arange(num_people) < int(NEW_PERSON_SHARE * num_people))
    usual = np.rint(rhythm.usual_length * np.exp(LENGTH_SPREAD * rng.normal(size=num_people))).astype(np.int64)
    lengths = np.where(new, rng.integers(0, NEW_PERSON_LENGTH + 1, num_people), usual.clip(*rhythm.length_range))
    usual_arrivals = rng.uniform(START, END - USUAL_STAY_DAYS * DAY, num_people)
    arrivals = np.where(new, rng.uniform(END - NEW_PERSON_DAYS * DAY, END - DAY, num_people), usual_arrivals)
    stays = np.where(new | (rng.random(num_people) > LEAVING_SHARE), 1, rng.uniform(0.3, 1, num_people))
    # One gap more than events, so that the last one does not always fall on the last moment.
    place = np.arange(lengths.max() + 1)
    gaps = np.where(place <= lengths[:, None], rng.lognormal(sigma=1.2, size=(num_people, len(place))), 0)
    share = np.cumsum(gaps, axis=1) / gaps.sum(axis=1, keepdims=True)
    idle = stays * (END - arrivals) - rhythm.least_gap * lengths
    times = arrivals[:, None] + share * idle[:, None] + rhythm.least_gap * place
    return Timetable(lengths, times[:, :-1].astype(np.int64), arrivals.astype(np.int64))


def _interactions(
    events: Events, people: People, items: pl.DataFrame, event: str, rng: np.random.Generator
) -> pl.DataFrame:
    """Return the log, oldest first.

    Half of the time nothing is said of what was taken: the world's own event, value 3. Otherwise the value is the
    number of stars that `behaviour` draws, as a "rating" (1 and 2 are dislikes), or, where it is 4 or 5, sometimes as a
    "like".
    """
    stars = stars_of(people.taste[events.people_rows, events.item_rows], rng)
    silent = rng.random(len(stars)) < 0.5
    thumb = (rng.random(len(stars)) < 0.5) & (stars >= 4)
    log = pl.DataFrame(
        {
            columns.USER_ID: people.table[columns.USER_ID].gather(events.people_rows),
            columns.ITEM_ID: items[columns.ITEM_ID].gather(events.item_rows),
            columns.TIMESTAMP: events.times,
            columns.EVENT: np.where(silent, event, np.where(thumb, "like", "rating")),
            columns.VALUE: np.where(silent, 3.0, stars),
        }
    )
    return log.sort(columns.TIMESTAMP, columns.USER_ID)


def _impressions(
    events: Events,
    people: People,
    items: pl.DataFrame,
    joined: NDArray[np.int64],
    timetable: Timetable,
    page_size: int,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return the pages shown before some of the events, and to each person on arrival, oldest first."""
    logged = np.flatnonzero(rng.random(len(events.times)) < PAGE_SHARE)
    who = np.concatenate([np.arange(len(people.table)), events.people_rows[logged]])
    when = np.concatenate([timetable.arrivals, events.times[logged] - PAGE_LEAD]).clip(timetable.arrivals[who])
    order = np.argsort(when, kind="stable")
    who, when = who[order], when[order]
    first_taken = np.full(people.taste.shape, END, np.int64)
    first_taken[events.people_rows, events.item_rows] = events.times
    eligible = (joined <= when[:, None]) & (first_taken[who] >= when[:, None])
    views = views_before(when, events.times, events.item_rows, len(items))
    shown, chance = show(eligible, views, page_size, rng)
    clicked = clicks_of(np.take_along_axis(people.taste[who], shown, 1), rng)
    return pl.DataFrame(
        {
            columns.LIST_ID: np.repeat([f"page-{page:05d}" for page in range(len(who))], page_size),
            columns.USER_ID: people.table[columns.USER_ID].gather(np.repeat(who, page_size)),
            columns.ITEM_ID: items[columns.ITEM_ID].gather(shown.ravel()),
            columns.TIMESTAMP: np.repeat(when, page_size),
            columns.POSITION: np.tile(np.arange(page_size), len(who)),
            columns.CLICKED: clicked.ravel(),
            columns.PROPENSITY: chance.ravel(),
        }
    )
