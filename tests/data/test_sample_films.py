"""The world of films: true facts, and viewers whose choices follow from who they are."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl
import pytest

from genre.data.sample import SampleConfig, sample_tables
from genre.data.sample.films import film_table, follow_strength
from genre.data.tables import Tables
from tests.data.worlds import head_share, histories, share_of_new_items, text_match, without


@pytest.fixture(scope="module")
def world() -> Tables:
    """Return the default world; nobody changes it."""
    return sample_tables()


@pytest.fixture(scope="module")
def films() -> pl.DataFrame:
    """Return the catalogue."""
    return film_table()


# The catalogue


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


def test_what_follows_is_the_same_director_or_the_next_years(films: pl.DataFrame) -> None:
    row = {name: place for place, name in enumerate(films["item_id"])}
    strength = follow_strength(films)
    assert strength[row["spirited-away-2001"], row["my-neighbor-totoro-1988"]] == 2
    assert strength[row["fargo-1996"], row["no-country-for-old-men-2007"]] == 2
    assert strength[row["the-matrix-1999"], row["shaolin-soccer-2001"]] == 1
    assert strength[row["shaolin-soccer-2001"], row["the-matrix-1999"]] == 0
    assert (strength.diagonal() == 0).all()


# The viewers


def test_the_notice_says_what_is_real_and_what_is_not() -> None:
    assert "films are real" in SampleConfig().notice
    assert "viewers are simulated" in SampleConfig().notice


def test_viewers_columns_tell_something_of_their_taste(world: Tables) -> None:
    log = histories(world)
    for country in ("China", "Japan", "France"):
        from_there = log.filter(country=country)
        at_home = (from_there["country_user"] == country).mean()
        assert at_home > 1.5 * (log["country_user"] == country).mean()
    years = log.group_by("age_group").agg(pl.mean("year"))
    by_age = dict(years.iter_rows())
    assert by_age["under 25"] > by_age["25 to 34"] > by_age["35 to 49"] > by_age["50 and over"]


def test_viewers_click_on_films_from_home(world: Tables) -> None:
    assert world.impressions is not None
    films_and_users = world.impressions.join(world.items, on="item_id").join(world.users, on="user_id", suffix="_user")
    at_home = pl.col("country") == pl.col("country_user")
    assert films_and_users.filter(at_home)["clicked"].mean() > 1.2 * films_and_users.filter(~at_home)["clicked"].mean()


def country_match(tables: Tables) -> float:
    """Return the share of viewings of films from the viewer's own country."""
    return histories(tables).select((pl.col("country") == pl.col("country_user")).mean()).item()


def director_jumps(tables: Tables) -> float:
    """Return the share of viewings right after a film of the same director."""
    log = histories(tables).with_columns(last=pl.col("director").shift().over("user_id")).drop_nulls("last")
    return log.select((pl.col("director").list.set_intersection("last").list.len() > 0).mean()).item()


@pytest.mark.parametrize(
    ("part", "statistic", "factor"),
    [
        ("taste", country_match, 1.3),
        ("text", text_match, 2.0),
        ("popularity", head_share, 1.3),
        ("recency", director_jumps, 3.0),
        ("recency", share_of_new_items, 1.5),
    ],
)
def test_each_part_of_the_utility_matters(
    world: Tables, part: str, statistic: Callable[[Tables], float], factor: float
) -> None:
    assert statistic(world) > factor * statistic(without(part, "films"))
