"""What columns are good for."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from genre.core.errors import ConfigError
from genre.data.dataset import Roles
from genre.data.roles import ColumnRoles, deduce_role, deduce_roles, find_separator, shape_columns

MANY = 60
PLACE = "data.item_columns"


def column(name: str, *values: Any, times: int = 1) -> pl.Series:
    return pl.Series(name, list(values) * times, strict=False)


@pytest.mark.parametrize(
    ("cells", "role"),
    [
        (column("title", "Heat", "Fog"), "text"),
        (column("movie_title", "Heat", "Fog"), "text"),
        (column("商品名称", "口红"), "text"),
        (column("blurb", *(f"a story of {n} people" for n in range(MANY))), "text"),
        (column("blurb", *(f"第{n}部影片讲述家人重逢的故事" for n in range(MANY))), "text"),
        (column("genres", "Drama"), "category"),
        (column("Genres", ["Drama", "War"], ["War"]), "category"),
        (column("occupation", 3, 4), "category"),
        (column("shelf", "a", "b", times=MANY), "category"),
        (
            column("mood", *(f"{a},{b}" for a in ("sad", "gay", "wry", "mad") for b in ("slow", "fast", "odd"))),
            "category",
        ),
        (column("in_print", True, False), "category"),
        (column("price", 1.5, None), "number"),
        (column("year", 1999, 2001), "number"),
        (column("weight", "1.5", "2"), "number"),
        (column("poster", "a/1.jpg", "b/2.PNG", None), "image"),
        (column("poster", "https://x.test/1.jpg"), None),
        (column("imdb_id", "tt001", "tt002"), None),
        (column("tmdbId", 12, 13), None),
        (column("zip_code", "08544", "10001"), None),
        (column("number", "007", "012"), None),
        (column("released", "1995-01-01", "1996-01-01"), None),
        (column("released", date(1995, 1, 1)), None),
        (column("code", *(f"x{n}" for n in range(MANY))), None),
        (column("nothing", None, None), None),
        (column("categories", [["Beauty", "Nails"], ["Gifts"]]), "category"),
        (column("share", "0.5", "0.25"), "number"),
        (column("vector", [1.0, 2.0]), None),
        (column("details", {"a": 1}), None),
    ],
)
def test_roles_are_deduced(cells: pl.Series, role: str | None) -> None:
    assert deduce_role(cells) == role


def test_the_title_comes_first_and_the_id_has_no_role() -> None:
    table = pl.DataFrame(
        {"item_id": ["a b c"], "description": ["some words"], "year": [1], "name": ["Heat"], "tags": ["x"]}
    )
    found = deduce_roles(table, "item_id")
    assert found.as_roles() == Roles(text=("name", "description"), category=("tags",), number=("year",))


@pytest.mark.parametrize("separator", ["|", " > ", ",", ", ", ";", "、", "，", "；", " / "])
def test_separators_of_labels_are_found(separator: str) -> None:
    labels = ["Drama", "War", "Comedy", "Noir"]
    cells = pl.Series([separator.join({a: 0, b: 0}) for a in labels for b in labels])
    found = find_separator(cells, are_labels=False)
    assert found is not None
    assert found.strip() == separator.strip()


@pytest.mark.parametrize(
    "cells",
    [
        ["Mills Co., Inc.", "Bolt and Sons, Ltd.", "Acme", "Nut Works"] * 9,
        [f"Nail polish {n}, shade {n * 7}" for n in range(MANY)],
        ["Drama", "War"],
    ],
)
def test_commas_inside_a_label_part_nothing(cells: list[str]) -> None:
    assert find_separator(pl.Series(cells), are_labels=True) is None


def test_one_row_is_enough_for_bars_between_labels() -> None:
    assert find_separator(pl.Series(["Drama|War"]), are_labels=True) == "|"
    assert find_separator(pl.Series(["Drama|War"]), are_labels=False) is None


def test_columns_are_shaped_for_the_models() -> None:
    table = pl.DataFrame(
        {
            "item_id": ["a", "b", "c"],
            "title": [" Heat ", "", None],
            "notes": [["One.", "Two."], [], None],
            "genres": ["Drama| War|Drama", "War", ""],
            "tags": [["x", None, " ", "x"], [], None],
            "kind": [3.0, None, 4.0],
            "paths": [[["a", "b"], ["a", "c"]], None, [[]]],
            "price": ["1.5", "NaN", None],
            "left": [1, 2, 3],
        }
    )
    roles = ColumnRoles(text=("title", "notes"), category=("genres", "tags", "kind", "paths"), number=("price",))
    shaped = shape_columns(table, roles, PLACE)
    assert shaped.to_dict(as_series=False) == {
        "item_id": ["a", "b", "c"],
        "title": ["Heat", None, None],
        "notes": ["One. Two.", None, None],
        "genres": [["Drama", "War"], ["War"], None],
        "tags": [["x"], None, None],
        "kind": [["3"], None, ["4"]],
        "paths": [["a", "b", "c"], None, None],
        "price": [1.5, None, None],
        "left": [1, 2, 3],
    }
    assert shaped.schema["genres"] == shaped.schema["tags"] == shaped.schema["kind"] == pl.List(pl.String)
    assert shaped.schema["price"] == pl.Float64


def test_the_separator_can_be_set_for_all_or_for_one_or_for_none() -> None:
    table = pl.DataFrame({"item_id": ["a"], "tags": ["x+y"], "path": ["p|q"]})
    both = ("tags", "path")
    found = shape_columns(table, ColumnRoles(category=both, separator={"tags": "+"}), PLACE)
    assert (found["tags"].to_list(), found["path"].to_list()) == ([["x", "y"]], [["p", "q"]])
    found = shape_columns(table, ColumnRoles(category=both, separator=""), PLACE)
    assert (found["tags"].to_list(), found["path"].to_list()) == ([["x+y"]], [["p|q"]])


def test_a_column_that_is_not_there_is_guessed() -> None:
    with pytest.raises(ConfigError) as error:
        shape_columns(pl.DataFrame({"item_id": ["a"], "genres": ["x"]}), ColumnRoles(category=("genre",)), PLACE)
    assert str(error.value) == (
        "data.item_columns.category: there is no column 'genre'; the columns are item_id, genres. "
        "Did you mean 'genres'?"
    )


def test_words_among_numbers_are_an_error() -> None:
    table = pl.DataFrame({"item_id": ["a", "b"], "price": ["1", "cheap"]})
    with pytest.raises(ConfigError) as error:
        shape_columns(table, ColumnRoles(number=("price",)), PLACE)
    assert str(error.value) == (
        "data.item_columns.number: column 'price' holds 'cheap', which is not a number. "
        "Correct the cells, or name the column under `category` or `text`."
    )


def test_records_are_no_labels() -> None:
    table = pl.DataFrame({"item_id": ["a"], "details": [[{"a": 1}]]})
    with pytest.raises(
        ConfigError, match=r"data\.item_columns\.category: column 'details' holds records \(List\(Struct"
    ):
        shape_columns(table, ColumnRoles(category=("details",)), PLACE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text": ["a"], "category": ["a"]}, "column 'a' has two roles; leave it in one"),
        ({"category": ["a"], "separator": {"b": "|"}}, "`separator` names 'b', which is no `category` column"),
    ],
)
def test_roles_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        ColumnRoles(**settings)
    assert message in str(error.value)
