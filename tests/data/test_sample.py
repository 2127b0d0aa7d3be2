"""The sample world: true facts, simulated behaviour that follows its formula, and nothing out of its time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from importlib import resources

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from genre.core.queries import NO_ITEM
from genre.data.sample import NOTICE, SampleConfig, sample_tables
from genre.data.sample.behaviour import DAY, Weights, choose
from genre.data.sample.films import film_table, follow_strength, word_similarity
from genre.data.sample.pages import PAGE_SIZE, show, views_before
from genre.data.sample.world import END, NEW_FILM_DAYS, START
from genre.data.tables import Tables


@pytest.fixture(scope="module")
def world() -> Tables:
    """Return the default world; nobody changes it."""
    return sample_tables()


@pytest.fixture(scope="module")
def films() -> pl.DataFrame:
    """Return the catalogue."""
    return film_table()


def histories(tables: Tables) -> pl.DataFrame:
    """Return viewings with the columns of their films (suffix-free) and viewers (suffix `_user`)."""
    assert tables.items is not None
    assert tables.users is not None
    log = tables.interactions.sort("user_id", "timestamp", maintain_order=True)
    return log.join(tables.items, on="item_id", how="left", maintain_order="left").join(
        tables.users, on="user_id", how="left", suffix="_user", maintain_order="left"
    )


# The films


def test_there_are_at_least_240_films_with_unique_readable_ids(films: pl.DataFrame) -> None:
    assert len(films) >= 240
    assert films["item_id"].n_unique() == len(films)
    assert films["title"].n_unique() == films["title_zh"].n_unique() == len(films)
    for name, year in films.select("item_id", "year").iter_rows():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert name.endswith(f"-{year}")
    assert "spirited-away-2001" in films["item_id"]


def test_the_facts_of_every_film_are_complete(films: pl.DataFrame) -> None:
    assert films.null_count().sum_horizontal().item() == 0
    assert films["year"].is_sorted()
    assert films["year"].is_between(1900, 2025).all()
    for column in ("director", "genres"):
        assert (films[column].list.len() > 0).all()
        assert (films[column].explode().str.strip_chars().str.len_chars() > 1).all()
    assert films["description"].str.split(" ").list.len().is_between(35, 60).all()
    assert films["description_zh"].str.len_chars().is_between(40, 70).all()
    assert films["description"].n_unique() == films["description_zh"].n_unique() == len(films)


def test_chinese_titles_and_descriptions_are_chinese(films: pl.DataFrame) -> None:
    han = r"\p{Han}"
    assert films["title_zh"].str.contains(han).all()
    assert not films["title"].str.contains(han).any()
    assert (films["description_zh"].str.count_matches(han) / films["description_zh"].str.len_chars()).min() > 0.75
    assert not films["description_zh"].str.contains(r"[\p{Hiragana}\p{Katakana}]").any()


@pytest.mark.parametrize(
    ("item_id", "title_zh", "director"),
    [
        ("the-matrix-1999", "黑客帝国", ["Lana Wachowski", "Lilly Wachowski"]),
        ("in-the-mood-for-love-2000", "花样年华", ["Wong Kar-wai"]),
        ("8-and-a-half-1963", "八部半", ["Federico Fellini"]),
    ],
)
def test_a_known_film_has_its_facts(films: pl.DataFrame, item_id: str, title_zh: str, director: list[str]) -> None:
    row = films.row(by_predicate=pl.col("item_id") == item_id, named=True)
    assert row["title_zh"] == title_zh
    assert row["director"] == director


def test_the_package_data_is_under_one_megabyte() -> None:
    files = [file for file in resources.files("genre.data.sample").iterdir() if file.is_file()]
    assert 100_000 < sum(len(file.read_bytes()) for file in files) < 1_000_000


def test_word_similarity_agrees_with_scikit_learn(films: pl.DataFrame) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = films["description"].head(60)
    vectorizer = TfidfVectorizer(token_pattern=r"\w+", smooth_idf=False, sublinear_tf=True)
    counts = vectorizer.fit_transform(texts.to_list())
    # Scikit-learn adds 1 to every inverse document frequency; we do not.
    plain = counts.multiply((vectorizer.idf_ - 1) / vectorizer.idf_).toarray()
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    others = ~np.eye(60, dtype=bool)
    expected = (plain @ plain.T)[others]
    np.testing.assert_allclose(word_similarity(texts)[others], (expected - expected.mean()) / expected.std(), atol=1e-9)


def test_what_follows_is_the_same_director_or_the_next_years(films: pl.DataFrame) -> None:
    row = {name: place for place, name in enumerate(films["item_id"])}
    strength = follow_strength(films)
    assert strength[row["spirited-away-2001"], row["my-neighbor-totoro-1988"]] == 2
    assert strength[row["fargo-1996"], row["no-country-for-old-men-2007"]] == 2
    assert strength[row["the-matrix-1999"], row["shaolin-soccer-2001"]] == 1
    assert strength[row["shaolin-soccer-2001"], row["the-matrix-1999"]] == 0
    assert (strength.diagonal() == 0).all()


# The tables


def test_same_settings_same_world_and_another_seed_another_world(world: Tables) -> None:
    again, other = sample_tables(), sample_tables(SampleConfig(seed=8))
    for name in ("interactions", "items", "users", "impressions"):
        assert_frame_equal(getattr(world, name), getattr(again, name))
    assert not world.interactions.equals(other.interactions)


def test_the_world_is_made_in_under_a_second() -> None:
    def seconds() -> float:
        start = time.process_time()
        sample_tables()
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 1


def test_the_notice_says_what_is_real_and_what_is_not() -> None:
    assert "films are real" in NOTICE
    assert "viewers are simulated" in NOTICE


def test_ids_point_at_items_and_users_and_nobody_watches_a_film_twice(world: Tables) -> None:
    assert world.users is not None
    assert world.items is not None
    assert world.impressions is not None
    assert world.users["user_id"].n_unique() == len(world.users) == 600
    for table in (world.interactions, world.impressions):
        assert table["item_id"].is_in(world.items["item_id"].to_list()).all()
        assert table["user_id"].is_in(world.users["user_id"].to_list()).all()
        assert table.null_count().sum_horizontal().item() == 0
    assert not world.interactions.select("user_id", "item_id").is_duplicated().any()


def test_no_event_lies_outside_the_eighteen_months(world: Tables) -> None:
    assert world.impressions is not None
    assert END - START == 549 * DAY
    for table in (world.interactions, world.impressions):
        assert table["timestamp"].is_between(START, END).all()
        assert table["timestamp"].is_sorted()
    months = world.interactions["timestamp"].cast(pl.Int64) // (30 * DAY)
    assert months.n_unique() >= 18
    gaps = world.interactions.sort("timestamp").select(pl.col("timestamp").diff().over("user_id")).drop_nulls()
    assert gaps.to_series().min() >= 7199, "a film takes two hours"


def test_values_say_how_much_a_film_was_liked(world: Tables) -> None:
    log = world.interactions
    assert set(log["event"]) == {"watch", "like", "rating"}
    assert (log.filter(event="watch")["value"] == 3).all()
    assert (log.filter(event="like")["value"] >= 4).all()
    ratings = log.filter(event="rating")["value"]
    assert set(ratings) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert 0.05 < (ratings <= 2).mean() < 0.25


def test_there_are_new_films_and_new_viewers(world: Tables) -> None:
    assert world.items is not None
    assert world.users is not None
    log = world.interactions
    before = log.filter(pl.col("timestamp") < END - NEW_FILM_DAYS * DAY)
    new_films = world.items.join(before, on="item_id", how="anti")
    views = new_films.join(log, on="item_id", how="left")["timestamp"].is_not_null()
    assert 15 <= len(new_films) <= 30
    assert 0 < views.sum() < 10 * len(new_films)
    lengths = world.users.join(log, on="user_id", how="left").group_by("user_id").agg(pl.count("item_id"))["item_id"]
    assert {0, 1, 2, 3} <= set(lengths)
    assert 0.05 < (lengths <= 3).mean() < 0.1
    assert 15 < lengths.mean() < 30


def test_viewers_columns_tell_something_of_their_taste(world: Tables) -> None:
    log = histories(world)
    assert world.items is not None
    for country in ("China", "Japan", "France"):
        from_there = log.filter(country=country)
        at_home = (from_there["country_user"] == country).mean()
        assert at_home > 1.5 * (log["country_user"] == country).mean()
    years = log.group_by("age_group").agg(pl.mean("year"))
    by_age = dict(years.iter_rows())
    assert by_age["under 25"] > by_age["25 to 34"] > by_age["35 to 49"] > by_age["50 and over"]


# The behaviour


def country_match(tables: Tables) -> float:
    """Return the share of viewings of films from the viewer's own country."""
    return histories(tables).select((pl.col("country") == pl.col("country_user")).mean()).item()


def text_match(tables: Tables) -> float:
    """Return the mean word similarity of films that follow one another in a history."""
    assert tables.items is not None
    rows = histories(tables).join(tables.items.with_row_index("row").select("item_id", "row"), on="item_id", how="left")
    pairs = rows.select("row", last=pl.col("row").shift().over("user_id")).drop_nulls().to_numpy()
    return float(word_similarity(tables.items["description"])[pairs[:, 0], pairs[:, 1]].mean())


def head_share(tables: Tables) -> float:
    """Return the share of viewings that go to the 28 most watched films."""
    counts = tables.interactions.group_by("item_id").len()["len"].sort(descending=True)
    return counts.head(28).sum() / counts.sum()


def director_jumps(tables: Tables) -> float:
    """Return the share of viewings right after a film of the same director."""
    log = histories(tables).with_columns(last=pl.col("director").shift().over("user_id")).drop_nulls("last")
    return log.select((pl.col("director").list.set_intersection("last").list.len() > 0).mean()).item()


def views_of_new_films(tables: Tables) -> float:
    """Return the share of the last days' viewings that go to films not watched before."""
    border = END - NEW_FILM_DAYS * DAY
    late = tables.interactions.filter(pl.col("timestamp") >= border)
    known = tables.interactions.filter(pl.col("timestamp") < border)["item_id"].unique()
    return 1 - late["item_id"].is_in(known.to_list()).mean()


@pytest.mark.parametrize(
    ("part", "statistic", "factor"),
    [
        ("taste", country_match, 1.3),
        ("text", text_match, 2.0),
        ("popularity", head_share, 1.3),
        ("recency", director_jumps, 3.0),
        ("recency", views_of_new_films, 1.5),
    ],
)
def test_each_part_of_the_utility_matters(
    world: Tables, part: str, statistic: Callable[[Tables], float], factor: float
) -> None:
    without = sample_tables(SampleConfig(weights=Weights(**{part: 0})))
    assert statistic(world) > factor * statistic(without)


def test_choices_follow_the_softmax_of_the_utility(films: pl.DataFrame) -> None:
    five, num_viewers = films.head(5), 40_000
    taste = np.tile([0.0, 1.0, -1.0, 0.5, 2.0], (num_viewers, 1))
    once = np.ones(num_viewers, np.int64)
    only_taste = Weights(taste=2, text=0, popularity=0, recency=0)
    there = np.array([0, 0, 0, 0, 11])  # The last film comes a second too late.
    watched = choose(taste, five, once[:, None] * 10, once, there, only_taste, np.random.default_rng(0))
    expected = np.exp([0.0, 2.0, -2.0, 1.0])
    found = np.bincount(watched[:, 0], minlength=5) / num_viewers
    np.testing.assert_allclose(found, [*(expected / expected.sum()), 0], atol=0.01)


def test_histories_end_where_they_should_and_never_repeat(films: pl.DataFrame) -> None:
    four, lengths = films.head(4), np.array([0, 2, 4])
    times = np.arange(4) + np.zeros((3, 1), np.int64)
    watched = choose(np.zeros((3, 4)), four, times, lengths, np.zeros(4, int), Weights(), np.random.default_rng(0))
    assert [(row != NO_ITEM).sum() for row in watched] == [0, 2, 4]
    assert set(watched[2]) == {0, 1, 2, 3}
    assert len(set(watched[1][:2])) == 2


# The impressions


def test_pages_hold_ten_different_films_that_the_viewer_has_not_watched(world: Tables) -> None:
    assert world.impressions is not None
    pages = world.impressions
    shape = pages.group_by("list_id").agg(
        pl.len(),
        pl.n_unique("item_id"),
        pl.n_unique("user_id").alias("users"),
        pl.col("position").sort().alias("order"),
    )
    assert (shape["len"] == PAGE_SIZE).all()
    assert (shape["item_id"] == PAGE_SIZE).all()
    assert (shape["users"] == 1).all()
    assert shape["order"].to_list() == [list(range(PAGE_SIZE))] * len(shape)
    seen = pages.join(world.interactions, on=["user_id", "item_id"], suffix="_watched")
    assert (seen["timestamp_watched"] >= seen["timestamp"]).all()
    assert set(world.interactions["user_id"]) < set(pages["user_id"]), "viewers without a viewing get a page too"


def test_the_logged_propensity_is_the_probability_of_being_shown() -> None:
    num_pages, num_films = 20_000, 30
    eligible = np.arange(num_films) != 3
    views = np.arange(num_films) * 2
    shown, chance = show(np.tile(eligible, (num_pages, 1)), np.tile(views, (num_pages, 1)), np.random.default_rng(0))
    appeal = np.where(eligible, 1 + np.log(1 + views), 0)
    expected = PAGE_SIZE * appeal / appeal.sum()
    np.testing.assert_allclose(chance, expected[shown])
    for position in (0, PAGE_SIZE - 1):
        found = np.bincount(shown[:, position], minlength=num_films) / num_pages
        np.testing.assert_allclose(found, expected / PAGE_SIZE, atol=0.006)
    np.testing.assert_allclose(np.bincount(shown.ravel(), minlength=num_films) / num_pages, expected, atol=0.015)


def test_logged_propensities_are_probabilities(world: Tables) -> None:
    assert world.impressions is not None
    propensities = world.impressions["propensity"]
    assert propensities.is_between(0, 1, closed="right").all()
    # One over the propensity, summed over a page, estimates how many films could be shown.
    films_on_offer = (1 / propensities).sum() / world.impressions["list_id"].n_unique()
    assert 190 < films_on_offer < 280


def test_views_are_counted_up_to_the_page_and_not_after() -> None:
    counts = views_before(np.array([5, 10, 10, 20]), np.array([3, 10, 12, 30]), np.array([1, 0, 1, 0]), 2)
    assert counts.tolist() == [[0, 1], [0, 1], [0, 1], [1, 2]]


def test_clicks_fall_with_the_position_and_rise_with_the_taste(world: Tables) -> None:
    assert world.impressions is not None
    rates = world.impressions.group_by("position").agg(pl.mean("clicked")).sort("position")["clicked"]
    assert rates[0] > 3 * rates[9] > 0
    films_and_users = world.impressions.join(world.items, on="item_id").join(world.users, on="user_id", suffix="_user")
    at_home = pl.col("country") == pl.col("country_user")
    assert films_and_users.filter(at_home)["clicked"].mean() > 1.2 * films_and_users.filter(~at_home)["clicked"].mean()


@pytest.mark.parametrize("settings", [{"num_viewers": 20}, {"weights": Weights(popularity=8)}, {"seed": 123}])
def test_other_settings_give_sound_worlds_too(settings: dict[str, object]) -> None:
    tables = sample_tables(SampleConfig(**settings))
    assert tables.impressions is not None
    assert tables.impressions["propensity"].max() <= 1
    assert tables.interactions["timestamp"].is_between(START, END).all()


@pytest.mark.parametrize("settings", [{"num_viewers": 5}, {"seed": -1}, {"weights": {"text": -0.5}}, {"viewers": 100}])
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SampleConfig(**settings)
