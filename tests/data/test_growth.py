from __future__ import annotations

import polars as pl
import pytest

from genre.core.errors import DataError
from genre.data.dataset import Dataset, Entities, Vocabulary
from genre.data.growth import changed, extended


def test_new_items_stand_behind_the_old_ones_in_the_catalogue_s_columns(dataset: Dataset) -> None:
    rows = [{"item_id": "x", "title": "Ny film", "genres": "horror|western", "price": 2}, {"item_id": 7}]
    longer = extended(dataset.items, rows)
    assert longer.vocabulary.ids.to_list()[-2:] == ["x", "7"]
    assert longer.frame[:-2].equals(dataset.items.frame)
    assert longer.frame.row(-2, named=True) == {
        "item_id": "x", "title": "Ny film", "genres": ["horror", "western"], "price": 2.0
    }  # fmt: skip
    assert longer.frame.row(-1, named=True) == {"item_id": "7", "title": None, "genres": None, "price": None}
    assert longer.roles == dataset.items.roles


def test_numbers_may_come_as_text_from_a_file(dataset: Dataset) -> None:
    longer = extended(dataset.items, pl.DataFrame({"item_id": ["x"], "price": ["2.5"]}))
    assert longer.frame["price"][-1] == 2.5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"title": "A"}], r"items, row 1: `item_id` is None\. Give every item an id"),
        ([{"item_id": "i3"}], r"items, row 1: 'i3' is in the catalogue already"),
        ([{"item_id": "x"}, {"item_id": "x"}], r"items, row 2: 'x' is in the catalogue already"),
        ([{"item_id": "x", "titel": "A"}], r"items, row 1: there is no column 'titel'\. Choose from \['item_id'"),
        ([{"item_id": "x", "price": "cheap"}], r"items, row 1, column 'price': 'cheap' is no Float64\. Send a num"),
        ([{"item_id": "x"}, {"item_id": "y", "price": True}], r"items, row 2, column 'price': True is no Float64"),
        ([{"item_id": "x", "price": "1e999"}], r"column 'price': '1e999' is no Float64\. Send a number, or leave"),
        ([{"item_id": "x", "price": "nan"}], r"column 'price': 'nan' is no Float64"),
        ([{"item_id": "x", "price": 10**400}], r"column 'price': 10{99}\.\.\. is no Float64"),
        ([{"item_id": "x", "price": {"a": 1}}], r"column 'price': \{'a': 1\} is no Float64"),
        ([{"item_id": "x", "genres": {"a": {}}}], r"column 'genres': \{'a': \{\}\} is no List\(String\)\. Send a list"),
        ([{"item_id": "x", "genres": True}], r"column 'genres': True is no List\(String\)"),
        ([{"item_id": "x", "genres": ["a", True]}], r"column 'genres': \['a', True\] is no List\(String\)"),
        ([{"item_id": "x", "title": {"en": "A"}}], r"column 'title': \{'en': 'A'\} is no String\. Send a text"),
        ([{"item_id": "x", "title": ["A"]}], r"column 'title': \['A'\] is no String"),
    ],
)
def test_what_is_wrong_with_a_new_item_is_said(dataset: Dataset, rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        extended(dataset.items, rows)


@pytest.mark.parametrize(
    ("dtype", "value", "kept"),
    [
        (pl.Int64, 2.0, 2), (pl.Int64, "7", 7), (pl.Int64, 2.5, None), (pl.Int64, True, None), (pl.Int64, 1e19, None),
        (pl.Float32, 1.5, 1.5), (pl.Float32, 1e300, None), (pl.Boolean, True, True), (pl.Boolean, 1, None),
        (pl.List(pl.Int64), [1], [1]), (pl.List(pl.Int64), [True], None), (pl.List(pl.Boolean), [True], [True]),
    ],
)  # fmt: skip
def test_a_value_is_kept_as_it_is_or_refused(dtype: pl.DataType, value: object, kept: object) -> None:
    frame = pl.DataFrame(schema={"item_id": pl.String, "x": dtype})
    items = Entities(Vocabulary(frame["item_id"]), frame)
    if kept is None:
        with pytest.raises(DataError, match=r"items, row 1, column 'x': .* is no"):
            extended(items, [{"item_id": "a", "x": value}])
    else:
        assert extended(items, [{"item_id": "a", "x": value}]).frame["x"].to_list() == [kept]


def test_what_a_file_has_not_is_missing(dataset: Dataset) -> None:
    longer = extended(dataset.items, pl.DataFrame({"item_id": ["x"], "price": [float("nan")]}))
    assert longer.frame["price"].is_nan()[-1]


def test_an_item_changes_in_its_place(dataset: Dataset) -> None:
    items = dataset.items
    price = next(iter(items.frame.select("price").to_series()))
    new = [{"item_id": "i3", "title": "Another title"}, {"item_id": "i0", "price": "7.5"}]
    other = changed(items, new)
    assert other.vocabulary is items.vocabulary
    assert other.title[3] == "Another title"
    assert other.frame["price"][3] is None
    assert other.frame["price"][0] == 7.5
    assert other.frame["price"][0] != price
    assert other.frame[4:].equals(items.frame[4:])
    assert other.frame[1:3].equals(items.frame[1:3])


def test_only_what_is_there_changes(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="items: 'x' is not in the catalogue"):
        changed(dataset.items, [{"item_id": "i3"}, {"item_id": "x"}])
    with pytest.raises(DataError, match="row 2: 'i3' is in the catalogue already"):
        changed(dataset.items, [{"item_id": "i3"}, {"item_id": "i3"}])
