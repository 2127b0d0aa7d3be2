"""The sample world: 280 real films, and viewers who are simulated.

Nobody watched these films. Who the viewers are, what they choose and how they rate is drawn from the model in
`behaviour`, so that a result on this data says how a method works, and nothing about people or about films.

Shapes: V viewers, I films, L places in the longest history, E viewings, G pages, K films on a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.queries import NO_ITEM
from genre.core.run import RunContext
from genre.data import columns
from genre.data.sample.behaviour import DAY, Viewers, Weights, choose, draw_viewers, stars_of
from genre.data.sample.films import film_table
from genre.data.sample.pages import PAGE_SIZE, clicks_of, show, views_before
from genre.data.tables import Tables

NOTICE: Final = (
    "Sample data: the films are real, the viewers are simulated. No viewing, rating or click in it is that of a person."
)
"""Stands wherever results on the sample world are shown."""
END: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
"""Nothing happens after this, in seconds since 1970."""
START: Final = int(datetime(2024, 7, 1, tzinfo=UTC).timestamp())
"""Nothing happens before this: the world is 18 months long."""

ARRIVING_SHARE, NEW_FILM_SHARE, NEW_FILM_DAYS = 0.25, 0.07, 21
"""Shares of the films that join the catalogue along the way, and of those that join in the last days."""
NEW_VIEWER_SHARE, NEW_VIEWER_DAYS, NEW_VIEWER_LENGTH = 0.08, 14, 3
"""Share of viewers who come in the last days, and the most that they watch."""
USUAL_LENGTH, LENGTH_SPREAD, LENGTH_RANGE = 18, 0.7, (5, 80)
"""Median, log-deviation and limits of the number of films that other viewers watch."""
USUAL_STAY_DAYS, LEAVING_SHARE = 110, 0.3
"""Days before the end by which the others have come, and share of them who leave earlier than the end."""
FILM_SECONDS = 2 * 3600
"""One cannot start the next film earlier."""
PAGE_SHARE, PAGE_LEAD = 0.25, 600
"""Share of the viewings before which a page was logged, and how many seconds before."""


class SampleConfig(Config):
    """Settings of the sample world."""

    kind: Literal["sample"] = "sample"
    seed: int = Field(default=7, ge=0)
    """Another seed is another world with the same films."""
    num_viewers: int = Field(default=600, ge=20, le=10_000)
    """Viewers, with about 20 viewings each. 600 are enough to tell a good method from a bad one within seconds."""
    weights: Weights = Weights()
    """What the choice of a film depends on."""


def sample_tables(config: SampleConfig | None = None) -> Tables:
    """Simulate the world: interactions, items, users and impressions, the same for the same settings."""
    config = config or SampleConfig()
    run, films = RunContext(seed=config.seed), film_table()
    viewers = draw_viewers(config.num_viewers, films, run.rng("viewers"))
    joined = _film_arrivals(len(films), run.rng("arrivals"))
    timetable = _timetable(config.num_viewers, run.rng("timetable"))
    watched = choose(
        viewers.taste, films, timetable.times, timetable.lengths, joined, config.weights, run.rng("choices")
    )
    who, place = np.nonzero(watched != NO_ITEM)
    viewings = Viewings(who, watched[who, place], timetable.times[who, place])
    return Tables(
        interactions=_interactions(viewings, viewers, films, run.rng("feedback")),
        items=films,
        users=viewers.table,
        impressions=_impressions(viewings, viewers, films, joined, timetable, run.rng("impressions")),
    )


@dataclass(frozen=True)
class Timetable:
    """When viewers come and watch."""

    lengths: NDArray[np.int64]
    """(V,) films each viewer will watch."""
    times: NDArray[np.int64]
    """(V, L) when, rising along a row; meaningless past the viewer's length."""
    arrivals: NDArray[np.int64]
    """(V,) when each viewer first came."""


@dataclass(frozen=True)
class Viewings:
    """Who watched what, and when: E viewings, each viewer's in order."""

    viewer_rows: NDArray[np.intp]
    film_rows: NDArray[np.int32]
    times: NDArray[np.int64]


def _film_arrivals(num_films: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (I,) when each film joined the catalogue; 0 for those that were there before the first day."""
    last_days = END - NEW_FILM_DAYS * DAY
    num_new, num_arriving = int(NEW_FILM_SHARE * num_films), int(ARRIVING_SHARE * num_films)
    joined = np.zeros(num_films, np.int64)
    joined[:num_new] = rng.integers(last_days, END, num_new)
    joined[num_new : num_new + num_arriving] = rng.integers(START, last_days, num_arriving)
    return rng.permutation(joined)


def _timetable(num_viewers: int, rng: np.random.Generator) -> Timetable:
    """Draw how much and when each viewer watches: in bursts, from the arrival until leaving or the end."""
    new = rng.permutation(np.arange(num_viewers) < int(NEW_VIEWER_SHARE * num_viewers))
    usual = np.rint(USUAL_LENGTH * np.exp(LENGTH_SPREAD * rng.normal(size=num_viewers))).astype(np.int64)
    lengths = np.where(new, rng.integers(0, NEW_VIEWER_LENGTH + 1, num_viewers), usual.clip(*LENGTH_RANGE))
    usual_arrivals = rng.uniform(START, END - USUAL_STAY_DAYS * DAY, num_viewers)
    arrivals = np.where(new, rng.uniform(END - NEW_VIEWER_DAYS * DAY, END - DAY, num_viewers), usual_arrivals)
    stays = np.where(new | (rng.random(num_viewers) > LEAVING_SHARE), 1, rng.uniform(0.3, 1, num_viewers))
    # One gap more than viewings, so that the last one does not always fall on the last moment.
    place = np.arange(lengths.max() + 1)
    gaps = np.where(place <= lengths[:, None], rng.lognormal(sigma=1.2, size=(num_viewers, len(place))), 0)
    share = np.cumsum(gaps, axis=1) / gaps.sum(axis=1, keepdims=True)
    idle = stays * (END - arrivals) - FILM_SECONDS * lengths
    times = arrivals[:, None] + share * idle[:, None] + FILM_SECONDS * place
    return Timetable(lengths, times[:, :-1].astype(np.int64), arrivals.astype(np.int64))


def _interactions(viewings: Viewings, viewers: Viewers, films: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return the log, oldest first.

    After half of the viewings nothing is said: event "watch", value 3. After the others the value is the number of
    stars that `behaviour` draws, as a "rating" (1 and 2 are dislikes), or, where it is 4 or 5, sometimes as a "like".
    """
    stars = stars_of(viewers.taste[viewings.viewer_rows, viewings.film_rows], rng)
    silent = rng.random(len(stars)) < 0.5
    thumb = (rng.random(len(stars)) < 0.5) & (stars >= 4)
    log = pl.DataFrame(
        {
            columns.USER_ID: viewers.table[columns.USER_ID].gather(viewings.viewer_rows),
            columns.ITEM_ID: films[columns.ITEM_ID].gather(viewings.film_rows),
            columns.TIMESTAMP: viewings.times,
            columns.EVENT: np.where(silent, "watch", np.where(thumb, "like", "rating")),
            columns.VALUE: np.where(silent, 3.0, stars),
        }
    )
    return log.sort(columns.TIMESTAMP, columns.USER_ID)


def _impressions(
    viewings: Viewings,
    viewers: Viewers,
    films: pl.DataFrame,
    joined: NDArray[np.int64],
    timetable: Timetable,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return the pages shown before some of the viewings, and to each viewer on arrival, oldest first."""
    logged = np.flatnonzero(rng.random(len(viewings.times)) < PAGE_SHARE)
    who = np.concatenate([np.arange(len(viewers.table)), viewings.viewer_rows[logged]])
    when = np.concatenate([timetable.arrivals, viewings.times[logged] - PAGE_LEAD]).clip(timetable.arrivals[who])
    order = np.argsort(when, kind="stable")
    who, when = who[order], when[order]
    first_watched = np.full(viewers.taste.shape, END, np.int64)
    first_watched[viewings.viewer_rows, viewings.film_rows] = viewings.times
    eligible = (joined <= when[:, None]) & (first_watched[who] >= when[:, None])
    views = views_before(when, viewings.times, viewings.film_rows, len(films))
    shown, chance = show(eligible, views, rng)
    clicked = clicks_of(np.take_along_axis(viewers.taste[who], shown, 1), rng)
    return pl.DataFrame(
        {
            columns.LIST_ID: np.repeat([f"page-{page:05d}" for page in range(len(who))], PAGE_SIZE),
            columns.USER_ID: viewers.table[columns.USER_ID].gather(np.repeat(who, PAGE_SIZE)),
            columns.ITEM_ID: films[columns.ITEM_ID].gather(shown.ravel()),
            columns.TIMESTAMP: np.repeat(when, PAGE_SIZE),
            columns.POSITION: np.tile(np.arange(PAGE_SIZE), len(who)),
            columns.CLICKED: clicked.ravel(),
            columns.PROPENSITY: chance.ravel(),
        }
    )
