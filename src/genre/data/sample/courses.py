"""The world of courses: 120 invented courses in twelve subjects, and learners who are simulated.

Their taste T of `behaviour` is theta_u . a_i beside the hidden part. a_i holds the course's subjects and its length;
theta_u depends on the learner's age group, occupation and hours a week, and on chance. F is 2 after a course that the
next one names among its prerequisites, 1 after one that shares a subject and is as hard or one level easier, else 0.
R is ``-(3 * share of the prerequisites not taken + levels left out)``, where the levels left out are those below the
course of which the learner has taken nothing, or nothing harder, in any of its subjects.

Shapes: V learners, I courses, B learners at one time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.data import columns
from genre.data.sample.behaviour import AGE_GROUPS, People, Ties, with_hidden_taste
from genre.data.sample.labels import many_hot, word_similarity
from genre.data.sample.world import Rhythm, World

LEVELS = ("introductory", "intermediate", "advanced")
"""The easiest first."""
MISSING, LEFT_OUT = 3.0, 1.0
"""What it costs to have taken none of the prerequisites, and to leave out one level."""
LIKED_BY = {
    "craftsperson": ("Craft", "Design", "Photography"),
    "engineer": ("Mathematics", "Programming", "Design"),
    "health worker": ("Biology", "Fitness", "Cooking"),
    "office worker": ("Economics", "Programming", "Design"),
    "retired": ("History", "Photography", "Craft"),
    "student": ("Mathematics", "Biology", "Economics"),
    "teacher": ("History", "Languages", "Music"),
}
"""Occupations, all equally common, and the subjects that go with them."""
WEEKLY_HOURS = (1, 2, 3, 5, 8)
"""How many hours a week a learner may have."""
WEEKS = 5
"""Over so many weeks a course should last."""


@cache
def course_table() -> pl.DataFrame:
    """Return the 120 courses, subject after subject, the easy ones first.

    Columns: item_id, title, title_zh, subjects (list, the main one first), level (see `LEVELS`), hours, prerequisites
    (list of item ids, empty for most introductory courses), description and description_zh. All of it was written for
    Genre, and no such courses are given anywhere.
    """
    text = (resources.files(__package__) / "courses.jsonl").read_bytes()
    return pl.read_ndjson(text, schema_overrides={"prerequisites": pl.List(pl.String)})


def needed_by(courses: pl.DataFrame) -> NDArray[np.bool_]:
    """Return (I, I): whether the course of the row names the course of the column among its prerequisites.

    What is not in the table is left out.
    """
    ids = courses[columns.ITEM_ID].to_list()
    named = courses["prerequisites"].to_list()
    return np.array([[other in needed for other in ids] for needed in named], bool).reshape(len(ids), len(ids))


def follow_strength(courses: pl.DataFrame) -> NDArray[np.float64]:
    """Return (I, I): how strongly the course of the row leads to the course of the column.

    2 where the second needs the first; else 1 where they share a subject and the second is as hard or one level harder;
    else 0.
    """
    level = _levels(courses)
    harder = level[None, :] - level[:, None]
    follows = _share_a_subject(courses) & (harder >= 0) & (harder <= 1)
    strength = np.where(needed_by(courses).T, 2.0, follows)
    np.fill_diagonal(strength, 0)
    return strength


def readiness(courses: pl.DataFrame) -> Callable[[NDArray[np.bool_]], NDArray[np.float64]]:
    """Return the function that says how ready learners are: R (B, I) for what they have taken (B, I)."""
    level, needed = _levels(courses), needed_by(courses).astype(float)
    share_of_needs = needed / np.maximum(needed.sum(axis=1, keepdims=True), 1)
    needs_any = needed.any(axis=1).astype(float)
    alike = _share_a_subject(courses)
    # By level, which courses (rows) show that one has come so far in the subjects of which others (columns).
    shows = [((level >= reached)[:, None] & alike).astype(float) for reached in range(len(LEVELS) - 1)]

    def ready(taken: NDArray[np.bool_]) -> NDArray[np.float64]:
        done = taken.astype(float)
        missing = needs_any - done @ share_of_needs.T
        reached = sum((done @ by_level > 0).astype(float) for by_level in shows)
        return np.asarray(-(MISSING * missing + LEFT_OUT * np.maximum(level - reached, 0)))

    return ready


def course_ties(courses: pl.DataFrame) -> Ties:
    """Return what courses have to do with one another."""
    return Ties(
        word_similarity(courses["description"]), follow_strength(courses), needed_by(courses), readiness(courses)
    )


def draw_learners(num_learners: int, courses: pl.DataFrame, rng: np.random.Generator) -> People:
    """Invent learners whose columns say something of their taste, and something more that no column says.

    Columns: user_id, age_group, occupation and weekly_hours (that they have for learning).
    """
    age = rng.integers(0, len(AGE_GROUPS), num_learners)
    work = rng.integers(0, len(LIKED_BY), num_learners)
    hours = np.array(WEEKLY_HOURS)[rng.integers(0, len(WEEKLY_HOURS), num_learners)]
    table = pl.DataFrame(
        {
            columns.USER_ID: [f"learner-{row:04d}" for row in range(num_learners)],
            "age_group": np.array(AGE_GROUPS)[age],
            "occupation": np.array(list(LIKED_BY))[work],
            "weekly_hours": hours,
        }
    )
    liking = _subject_taste(age, work, courses["subjects"], rng) + _length_taste(hours, courses["hours"], rng)
    return People(table, with_hidden_taste(liking, rng))


def _subject_taste(
    age: NDArray[np.integer], work: NDArray[np.integer], subjects: pl.Series, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return (V, I): what goes with the occupation, what an age group likes, and what is one's own."""
    attributes = many_hot(subjects)
    attributes /= np.sqrt(attributes.sum(axis=1, keepdims=True))
    names = np.unique(subjects.explode())
    by_work = np.array([np.isin(names, liked) for liked in LIKED_BY.values()], float)
    by_age = rng.normal(scale=0.4, size=(len(AGE_GROUPS), len(names)))
    own = rng.normal(size=(len(age), len(names)))
    return np.asarray((by_work[work] + by_age[age] + own) @ attributes.T)


def _length_taste(hours: NDArray[np.integer], length: pl.Series, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (V, I): the less time a learner has, the shorter the courses that suit."""
    suits = np.log2(WEEKS * hours) + rng.normal(scale=0.4, size=len(hours))
    return np.asarray(-0.5 * np.abs(np.log2(length.to_numpy()) - suits[:, None]))


def _levels(courses: pl.DataFrame) -> NDArray[np.int64]:
    """Return (I,) 0 for the easiest level."""
    return np.array([LEVELS.index(level) for level in courses["level"]], np.int64)


def _share_a_subject(courses: pl.DataFrame) -> NDArray[np.bool_]:
    """Return (I, I): whether two courses have a subject in common."""
    subjects = many_hot(courses["subjects"])
    return np.asarray(subjects @ subjects.T > 0)


COURSES: Final = World(
    items=course_table,
    people=draw_learners,
    ties=course_ties,
    event="enrol",
    rhythm=Rhythm(usual_length=12, length_range=(4, 30), least_gap=6 * 3600),
    page_size=6,
    notice="Sample data: the courses are invented, the learners are simulated. "
    "No enrolment, rating or click in it is that of a person.",
)
"""A page has fewer places than one of films, since there are fewer courses to fill it from."""
