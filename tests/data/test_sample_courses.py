"""The world of courses: complete texts in two languages, and learners who mostly take first what is needed first."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genre.data.build import build_dataset
from genre.data.feedback import FeedbackConfig
from genre.data.sample import SampleConfig, sample_tables
from genre.data.sample.courses import LEVELS, LIKED_BY, course_table, follow_strength, needed_by, readiness
from genre.data.sample.world import _in_order
from genre.data.tables import Tables
from tests.data.worlds import head_share, histories, text_match, without

SUBJECTS = {
    "Biology", "Cooking", "Craft", "Design", "Economics", "Fitness",
    "History", "Languages", "Mathematics", "Music", "Photography", "Programming",
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> Tables:
    """Return the default world; nobody changes it."""
    return sample_tables(SampleConfig(world="courses"))


@pytest.fixture(scope="module")
def courses() -> pl.DataFrame:
    """Return the catalogue."""
    return course_table()


# The catalogue


def test_there_are_120_courses_whose_ids_are_their_titles(courses: pl.DataFrame) -> None:
    assert len(courses) == 120
    for column in ("item_id", "title", "title_zh", "description", "description_zh"):
        assert courses[column].n_unique() == 120, column
    for name, title in courses.select("item_id", "title").iter_rows():
        assert name == "-".join(re.findall(r"[a-z]+", title.lower().replace("'", "")))


def test_every_course_is_complete(courses: pl.DataFrame) -> None:
    assert courses.null_count().sum_horizontal().item() == 0
    assert courses["subjects"].list.len().is_between(1, 2).all()
    assert set(courses["subjects"].explode()) == SUBJECTS
    assert (courses["subjects"].list.first().value_counts()["count"] == 10).all()
    assert set(courses["level"]) == set(LEVELS)
    assert courses["hours"].is_between(4, 60).all()


def test_a_description_is_two_to_four_sentences_in_each_language(courses: pl.DataFrame) -> None:
    words = courses["description"].str.split(" ").list.len()
    assert words.is_between(35, 60).all()
    assert courses["description_zh"].str.len_chars().is_between(50, 95).all()
    assert courses["description"].str.count_matches(r"[.?!](?: |$)").is_between(2, 4).all()
    assert courses["description_zh"].str.count_matches("[。？！]").is_between(2, 4).all()


def test_english_is_english_and_chinese_is_chinese(courses: pl.DataFrame) -> None:
    han = r"\p{Han}"
    for column in ("item_id", "title", "description", "level"):
        assert courses[column].str.contains(r"^[ -~]+$").all(), column
    assert courses["title_zh"].str.contains(rf"^[{han}、与]+$").all()
    assert (courses["description_zh"].str.count_matches(han) / courses["description_zh"].str.len_chars()).min() > 0.75
    assert not courses["description_zh"].str.contains(r"[\p{Hiragana}\p{Katakana}]|[,;?!]").any()


def test_descriptions_do_not_repeat_one_another(courses: pl.DataFrame) -> None:
    sentences = courses["description"].str.extract_all(r"[^.?!]+[.?!]").explode().str.strip_chars()
    assert sentences.n_unique() == len(sentences)
    openings = courses["description"].str.split(" ").list.head(2).list.join(" ")
    assert openings.value_counts()["count"].max() <= 4


def test_prerequisites_exist_are_no_harder_and_never_go_in_circles(courses: pl.DataFrame) -> None:
    level = {name: LEVELS.index(value) for name, value in courses.select("item_id", "level").iter_rows()}
    needs = dict(courses.select("item_id", "prerequisites").iter_rows())
    for name, needed in needs.items():
        assert len(set(needed)) == len(needed)
        assert all(level[other] <= level[name] for other in needed)
    done: set[str] = set()
    while free := [name for name in needs if name not in done and done.issuperset(needs[name])]:
        done.update(free)
    assert done == set(needs)


def test_every_course_beyond_the_first_level_needs_some_course(courses: pl.DataFrame) -> None:
    needy = courses.group_by("level").agg((pl.col("prerequisites").list.len() > 0).mean())
    shares = dict(needy.iter_rows())
    assert shares["introductory"] < 0.2
    assert shares["intermediate"] == shares["advanced"] == 1


def test_who_needs_what_is_read_from_the_column(courses: pl.DataFrame) -> None:
    row = {name: place for place, name in enumerate(courses["item_id"])}
    needed = needed_by(courses)
    assert np.flatnonzero(needed[row["calculus-in-motion"]]).tolist() == [row["algebra-step-by-step"]]
    assert needed.sum() == courses["prerequisites"].list.len().sum()
    assert not needed_by(courses.filter(pl.col("item_id") == "calculus-in-motion")).any()


def test_what_follows_is_what_needs_the_last_or_goes_on_with_its_subject(courses: pl.DataFrame) -> None:
    row = {name: place for place, name in enumerate(courses["item_id"])}
    strength = follow_strength(courses)
    assert strength[row["first-programs"], row["databases-and-queries"]] == 2
    assert strength[row["databases-and-queries"], row["first-programs"]] == 0
    assert strength[row["first-programs"], row["web-pages-by-hand"]] == 1
    assert strength[row["first-programs"], row["build-a-tiny-language"]] == 0, "two levels harder"
    assert strength[row["first-programs"], row["bread-at-home"]] == 0
    assert (strength.diagonal() == 0).all()


def test_readiness_counts_what_is_missing_and_levels_left_out() -> None:
    rows = {
        "item_id": ["easy", "middle", "hard", "other"],
        "subjects": [["A"], ["A"], ["A", "B"], ["B"]],
        "level": ["introductory", "intermediate", "advanced", "intermediate"],
        "prerequisites": [[], ["easy"], ["easy", "other"], []],
    }
    ready = readiness(pl.DataFrame(rows))
    taken = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], bool)
    expected = [
        [0, -3 - 1, -3 - 2, -1],
        [0, 0, -1.5 - 1, -1],
        [0, 0, -1.5, -1],
        [0, -3 - 1, -1.5, 0],
    ]
    np.testing.assert_allclose(ready(taken), expected)


def test_no_course_joins_the_catalogue_before_what_it_needs() -> None:
    needed = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]], bool)
    assert _in_order(np.array([30, 20, 0]), needed).tolist() == [0, 20, 30]
    assert _in_order(np.array([5, 0, 7]), None).tolist() == [5, 0, 7]


# The learners


def test_the_notice_says_that_nothing_is_real() -> None:
    notice = SampleConfig(world="courses").notice
    assert "courses are invented" in notice
    assert "learners are simulated" in notice


def subject_match(tables: Tables) -> float:
    """Return the share of enrolments in subjects that go with the learner's occupation."""
    pairs = histories(tables).select("subjects", "occupation").iter_rows()
    return float(np.mean([bool(set(subjects) & set(LIKED_BY[work])) for subjects, work in pairs]))


def respect(tables: Tables) -> float:
    """Return the share of enrolments in courses with prerequisites for which all of them were taken before."""
    taken: dict[str, set[str]] = {}
    found = []
    for user, item, needed in histories(tables).select("user_id", "item_id", "prerequisites").iter_rows():
        before = taken.setdefault(user, set())
        found += [before.issuperset(needed)] if needed else []
        before.add(item)
    return float(np.mean(found))


def upwards(tables: Tables) -> float:
    """Return, of pairs of a learner's courses that share a subject and differ in level, those with the easier first."""
    log = histories(tables).with_columns(
        pl.col("level").replace_strict({level: rank for rank, level in enumerate(LEVELS)}, return_dtype=pl.Int64)
    )
    pairs = log.select("user_id", "timestamp", "level", "subjects").join(
        log.select("user_id", "timestamp", "level", "subjects"), on="user_id", suffix="_later"
    )
    pairs = pairs.filter(
        pl.col("timestamp") < pl.col("timestamp_later"),
        pl.col("level") != pl.col("level_later"),
        pl.col("subjects").list.set_intersection("subjects_later").list.len() > 0,
    )
    return pairs.select((pl.col("level") < pl.col("level_later")).mean()).item()


def shuffled(tables: Tables) -> Tables:
    """Return the same courses of the same learners, in another order for each."""
    rng = np.random.default_rng(0)
    log = tables.interactions.with_columns(chance=rng.random(len(tables.interactions)))
    times = pl.col("timestamp").sort_by("chance").over("user_id")
    return replace(tables, interactions=log.with_columns(times.alias("timestamp")).drop("chance"))


@pytest.mark.parametrize(
    ("part", "statistic", "factor"),
    [
        ("taste", subject_match, 1.3),
        ("text", text_match, 2.0),
        ("popularity", head_share, 1.2),
        ("recency", respect, 3.0),
        ("recency", upwards, 1.2),
    ],
)
def test_each_part_of_the_utility_matters(
    world: Tables, part: str, statistic: Callable[[Tables], float], factor: float
) -> None:
    assert statistic(world) > factor * statistic(without(part, "courses"))


def test_learners_mostly_take_first_what_a_course_needs(world: Tables) -> None:
    assert respect(world) > 0.75
    assert respect(world) > 1.7 * respect(shuffled(world))


def test_learners_go_from_easy_to_hard_within_a_subject(world: Tables) -> None:
    assert upwards(world) > 0.7
    assert upwards(shuffled(world)) == pytest.approx(0.5, abs=0.03)


def test_courses_of_all_levels_are_taken(world: Tables) -> None:
    shares = histories(world)["level"].value_counts(normalize=True)
    by_level = dict(shares.iter_rows())
    assert by_level["introductory"] > by_level["intermediate"] > by_level["advanced"] > 0.04


def test_learners_columns_tell_something_of_their_taste(world: Tables) -> None:
    log = histories(world)
    for work, subject in (("retired", "History"), ("teacher", "Languages"), ("health worker", "Fitness")):
        of_subject = log.filter(pl.col("subjects").list.contains(subject))
        assert (of_subject["occupation"] == work).mean() > 1.2 * (log["occupation"] == work).mean()
    hours = dict(log.group_by("weekly_hours").agg(pl.mean("hours")).iter_rows())
    assert hours[1] < hours[2] < hours[3] < hours[8]


def test_learners_click_on_what_goes_with_their_occupation(world: Tables) -> None:
    pages = replace(world, interactions=world.impressions)
    rows = histories(pages).select("subjects", "occupation", "clicked").iter_rows()
    clicked: dict[bool, list[bool]] = {True: [], False: []}
    for subjects, work, click in rows:
        clicked[bool(set(subjects) & set(LIKED_BY[work]))].append(click)
    assert np.mean(clicked[True]) > 1.2 * np.mean(clicked[False])


# In use


def test_columns_are_read_as_what_they_are(world: Tables) -> None:
    data = build_dataset(world, FeedbackConfig(like_at=3))
    assert data.items.roles.text == ("title", "description", "description_zh")
    assert data.items.roles.category == ("subjects", "level", "prerequisites")
    assert data.items.roles.number == ("hours",)
    assert data.users.roles.category == ("age_group", "occupation")
    assert data.users.roles.number == ("weekly_hours",)
