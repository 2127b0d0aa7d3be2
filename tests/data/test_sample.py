"""The sample worlds: simulated behaviour that follows its formula, and nothing out of its time.

What is so of one world alone is tested in `test_sample_films` and `test_sample_courses`.
"""

from __future__ import annotations

import time
from importlib import resources

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from genre.core.queries import NO_ITEM
from genre.data.sample import SampleConfig, sample_tables
from genre.data.sample.behaviour import DAY, Ties, Weights, choose
from genre.data.sample.films import film_table, film_ties
from genre.data.sample.labels import word_similarity
from genre.data.sample.pages import show, views_before
from genre.data.sample.world import END, NEW_ITEM_DAYS, START
from genre.data.sample.worlds import WORLDS
from genre.data.tables import Tables

NO_TIES = np.zeros((5, 5))


@pytest.fixture(scope="module", params=WORLDS)
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of each world."""
    return str(request.param)


@pytest.fixture(scope="module")
def world(name: str) -> Tables:
    """Return the default tables of each world; nobody changes them."""
    return sample_tables(SampleConfig(world=name))


# The settings


def test_the_worlds_that_can_be_named_are_those_that_there_are(name: str) -> None:
    assert SampleConfig(world=name).notice == WORLDS[name].notice
    assert "No " in WORLDS[name].notice


def test_films_are_the_default(world: Tables, name: str) -> None:
    assert sample_tables().items.equals(world.items) == (name == "films")


@pytest.mark.parametrize(
    "settings",
    [{"num_viewers": 5}, {"seed": -1}, {"weights": {"text": -0.5}}, {"viewers": 100}, {"world": "books"}],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SampleConfig(**settings)


@pytest.mark.parametrize("settings", [{"num_viewers": 20}, {"weights": Weights(popularity=8)}, {"seed": 123}])
def test_other_settings_give_sound_worlds_too(name: str, settings: dict[str, object]) -> None:
    tables = sample_tables(SampleConfig(world=name, **settings))
    assert tables.impressions is not None
    assert tables.impressions["propensity"].max() <= 1
    assert tables.interactions["timestamp"].is_between(START, END).all()


def test_the_package_data_is_under_one_megabyte() -> None:
    files = [file for file in resources.files("genre.data.sample").iterdir() if file.is_file()]
    assert 100_000 < sum(len(file.read_bytes()) for file in files) < 1_000_000


# The tables


def test_same_settings_same_world_and_another_seed_another_world(world: Tables, name: str) -> None:
    again, other = sample_tables(SampleConfig(world=name)), sample_tables(SampleConfig(world=name, seed=8))
    for table in ("interactions", "items", "users", "impressions"):
        assert_frame_equal(getattr(world, table), getattr(again, table))
    assert_frame_equal(world.items, other.items)
    assert not world.interactions.equals(other.interactions)


def test_a_world_is_made_in_under_a_second(name: str) -> None:
    def seconds() -> float:
        start = time.process_time()
        sample_tables(SampleConfig(world=name))
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 1


def test_all_worlds_have_the_same_columns_in_log_and_impressions(world: Tables) -> None:
    films = sample_tables(SampleConfig(num_viewers=20))
    assert world.interactions.schema == films.interactions.schema
    assert world.impressions is not None
    assert world.impressions.schema == films.impressions.schema


def test_ids_point_at_items_and_users_and_nobody_takes_an_item_twice(world: Tables) -> None:
    assert world.users is not None
    assert world.items is not None
    assert world.impressions is not None
    assert world.users["user_id"].n_unique() == len(world.users) == 600
    for table in (world.interactions, world.impressions):
        assert table["item_id"].is_in(world.items["item_id"].to_list()).all()
        assert table["user_id"].is_in(world.users["user_id"].to_list()).all()
        assert table.null_count().sum_horizontal().item() == 0
    assert not world.interactions.select("user_id", "item_id").is_duplicated().any()


def test_no_event_lies_outside_the_eighteen_months(world: Tables, name: str) -> None:
    assert world.impressions is not None
    assert END - START == 549 * DAY
    for table in (world.interactions, world.impressions):
        assert table["timestamp"].is_between(START, END).all()
        assert table["timestamp"].is_sorted()
    months = world.interactions["timestamp"].cast(pl.Int64) // (30 * DAY)
    assert months.n_unique() >= 18
    gaps = world.interactions.sort("timestamp").select(pl.col("timestamp").diff().over("user_id")).drop_nulls()
    least = {"films": 2, "courses": 6}[name] * 3600  # A second is lost to rounding.
    assert gaps.to_series().min() >= least - 1


def test_values_say_how_much_an_item_was_liked(world: Tables, name: str) -> None:
    log, silent = world.interactions, {"films": "watch", "courses": "enrol"}[name]
    assert set(log["event"]) == {silent, "like", "rating"}
    assert (log.filter(event=silent)["value"] == 3).all()
    assert (log.filter(event="like")["value"] >= 4).all()
    ratings = log.filter(event="rating")["value"]
    assert set(ratings) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert 0.05 < (ratings <= 2).mean() < 0.25


def test_there_are_new_items_and_new_people(world: Tables, name: str) -> None:
    assert world.items is not None
    assert world.users is not None
    log = world.interactions
    before = log.filter(pl.col("timestamp") < END - NEW_ITEM_DAYS * DAY)
    new_items = world.items.join(before, on="item_id", how="anti")
    events = new_items.join(log, on="item_id", how="left")["timestamp"].is_not_null()
    assert 0.05 < len(new_items) / len(world.items) < 0.11
    assert 0 < events.sum() < 10 * len(new_items)
    lengths = world.users.join(log, on="user_id", how="left").group_by("user_id").agg(pl.count("item_id"))["item_id"]
    assert {0, 1, 2, 3} <= set(lengths)
    assert 0.05 < (lengths <= 3).mean() < 0.1
    least, most = {"films": (15, 30), "courses": (12, 15)}[name]
    assert least < lengths.mean() < most


# The choices


def test_word_similarity_agrees_with_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = film_table()["description"].head(60)
    vectorizer = TfidfVectorizer(token_pattern=r"\w+", smooth_idf=False, sublinear_tf=True)
    counts = vectorizer.fit_transform(texts.to_list())
    # Scikit-learn adds 1 to every inverse document frequency; we do not.
    plain = counts.multiply((vectorizer.idf_ - 1) / vectorizer.idf_).toarray()
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    others = ~np.eye(60, dtype=bool)
    expected = (plain @ plain.T)[others]
    np.testing.assert_allclose(word_similarity(texts)[others], (expected - expected.mean()) / expected.std(), atol=1e-9)


def test_choices_follow_the_softmax_of_the_utility() -> None:
    num_people = 40_000
    taste = np.tile([0.0, 1.0, -1.0, 0.5, 2.0], (num_people, 1))
    once = np.ones(num_people, np.int64)
    only_taste = Weights(taste=2, text=0, popularity=0, recency=0)
    there = np.array([0, 0, 0, 0, 11])  # The last item comes a second too late.
    ties = Ties(NO_TIES, NO_TIES)
    taken = choose(taste, ties, once[:, None] * 10, once, there, only_taste, np.random.default_rng(0))
    expected = np.exp([0.0, 2.0, -2.0, 1.0])
    found = np.bincount(taken[:, 0], minlength=5) / num_people
    np.testing.assert_allclose(found, [*(expected / expected.sum()), 0], atol=0.01)


def test_readiness_and_what_follows_count_for_the_second_choice() -> None:
    num_people = 40_000
    follows, all_taken = np.zeros((3, 3)), []
    follows[0, 1] = 1.0

    def ready(taken: np.ndarray) -> np.ndarray:
        all_taken.append(taken.copy())
        return np.where(taken[:, :1], [[0.0, 0.0, -2.0]], [[0.0, -50.0, -50.0]])

    times, lengths = np.tile([10, 20], (num_people, 1)), np.full(num_people, 2)
    only_last = Weights(taste=0, text=0, popularity=0, recency=0.5)
    ties = Ties(np.zeros((3, 3)), follows, readiness=ready)
    taken = choose(
        np.zeros((num_people, 3)), ties, times, lengths, np.zeros(3, int), only_last, np.random.default_rng(0)
    )
    assert (taken[:, 0] == 0).all(), "the others need the first"
    assert [rows.sum() for rows in all_taken] == [0, num_people]
    expected = np.exp([0.5 * 1.0, 0.5 * -2.0])
    np.testing.assert_allclose((taken[:, 1] == 1).mean(), expected[0] / expected.sum(), atol=0.01)


def test_histories_end_where_they_should_and_never_repeat() -> None:
    ties, lengths = film_ties(film_table().head(4)), np.array([0, 2, 4])
    times = np.arange(4) + np.zeros((3, 1), np.int64)
    taken = choose(np.zeros((3, 4)), ties, times, lengths, np.zeros(4, int), Weights(), np.random.default_rng(0))
    assert [(row != NO_ITEM).sum() for row in taken] == [0, 2, 4]
    assert set(taken[2]) == {0, 1, 2, 3}
    assert len(set(taken[1][:2])) == 2


# The impressions


def test_pages_hold_different_items_that_the_person_has_not_taken(world: Tables, name: str) -> None:
    assert world.impressions is not None
    pages, size = world.impressions, {"films": 10, "courses": 6}[name]
    shape = pages.group_by("list_id").agg(
        pl.len(),
        pl.n_unique("item_id"),
        pl.n_unique("user_id").alias("users"),
        pl.col("position").sort().alias("order"),
    )
    assert (shape["len"] == size).all()
    assert (shape["item_id"] == size).all()
    assert (shape["users"] == 1).all()
    assert shape["order"].to_list() == [list(range(size))] * len(shape)
    seen = pages.join(world.interactions, on=["user_id", "item_id"], suffix="_taken")
    assert (seen["timestamp_taken"] >= seen["timestamp"]).all()
    assert set(world.interactions["user_id"]) < set(pages["user_id"]), "people who take nothing get a page too"


def test_the_logged_propensity_is_the_probability_of_being_shown() -> None:
    num_pages, num_items, size = 20_000, 30, 10
    eligible = np.arange(num_items) != 3
    views = np.arange(num_items) * 2
    shown, chance = show(
        np.tile(eligible, (num_pages, 1)), np.tile(views, (num_pages, 1)), size, np.random.default_rng(0)
    )
    appeal = np.where(eligible, 1 + np.log(1 + views), 0)
    expected = size * appeal / appeal.sum()
    np.testing.assert_allclose(chance, expected[shown])
    for position in (0, size - 1):
        found = np.bincount(shown[:, position], minlength=num_items) / num_pages
        np.testing.assert_allclose(found, expected / size, atol=0.006)
    np.testing.assert_allclose(np.bincount(shown.ravel(), minlength=num_items) / num_pages, expected, atol=0.015)


def test_logged_propensities_are_probabilities(world: Tables, name: str) -> None:
    assert world.impressions is not None
    propensities = world.impressions["propensity"]
    assert propensities.is_between(0, 1, closed="right").all()
    # One over the propensity, summed over a page, estimates how many items could be shown.
    on_offer = (1 / propensities).sum() / world.impressions["list_id"].n_unique()
    least, most = {"films": (190, 280), "courses": (85, 120)}[name]
    assert least < on_offer < most


def test_views_are_counted_up_to_the_page_and_not_after() -> None:
    counts = views_before(np.array([5, 10, 10, 20]), np.array([3, 10, 12, 30]), np.array([1, 0, 1, 0]), 2)
    assert counts.tolist() == [[0, 1], [0, 1], [0, 1], [1, 2]]


def test_clicks_fall_with_the_position(world: Tables) -> None:
    assert world.impressions is not None
    rates = world.impressions.group_by("position").agg(pl.mean("clicked")).sort("position")["clicked"]
    assert rates[0] > 3 * rates[-1] > 0
