"""The layouts of well-known data sets, each with a few made-up lines."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genre.core.errors import DataError
from genre.data.readers import FilesConfig, read_tables
from genre.data.readers.layouts import format_of
from genre.data.readers.sources import open_source
from genre.data.tables import Tables


def write(directory: Path, name: str, *lines: str, encoding: str = "utf-8") -> Path:
    path = directory / name
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def read(**settings: Any) -> Tables:
    return read_tables(FilesConfig(**settings))


def columns(frame: pl.DataFrame | None) -> dict[str, list[Any]]:
    assert frame is not None
    return frame.to_dict(as_series=False)


EVENTS = {"user_id": ["u1", "u2"], "item_id": ["7", "9"], "timestamp": [881250949, 978300760], "value": [3.0, 4.5]}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("log.csv", ["userId,movieId,rating,timestamp", "u1,7,3,881250949", "u2,9,4.5,978300760"]),
        ("log.tsv", ["user\titem\tscore\ttime", "u1\t7\t3\t881250949", "u2\t9\t4.5\t978300760"]),
        ("log.txt", ["user_id;item_id;rating;ts", "u1;7;3;881250949", "u2;9;4.5;978300760"]),
        ("log", ["user_id::item_id::rating::ts", "u1::7::3::881250949", "u2::9::4.5::978300760"]),
        (
            "log.jsonl",
            [
                '{"user_id": "u1", "item_id": 7, "value": 3, "timestamp": 881250949}',
                '{"user_id": "u2", "item_id": 9, "value": 4.5, "timestamp": 978300760}',
            ],
        ),
        (
            "set.inter",
            [
                "user_id:token\titem_id:token\trating:float\ttimestamp:float",
                "u1\t7\t3\t8.81250949e8",
                "u2\t9\t4.5\t978300760",
            ],
        ),
    ],
)
def test_one_log_in_every_plain_layout(tmp_path: Path, name: str, lines: list[str]) -> None:
    assert columns(read(interactions=write(tmp_path, name, *lines)).interactions) == EVENTS


def test_one_log_in_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame(EVENTS).with_columns(
        pl.col("item_id").cast(pl.Int32), pl.from_epoch("timestamp"), pl.col("user_id").cast(pl.Categorical)
    )
    frame.write_parquet(tmp_path / "log.bin")
    assert columns(read(interactions=tmp_path / "log.bin").interactions) == EVENTS


def test_movielens_100k(tmp_path: Path) -> None:
    marks = {"Comedy": 5, "Drama": 8}
    flags = "|".join("1" if place in marks.values() else "0" for place in range(19))
    log = write(tmp_path, "u.data", "u1\t7\t3\t881250949", "u2\t9\t4.5\t978300760")
    items = write(tmp_path, "u.item", f"7|Café Noir (1996)|01-Jan-1996||http://x.test|{flags}", encoding="latin-1")
    users = write(tmp_path, "u.user", "u1|24|M|technician|08544")
    tables = read(interactions=log, items=items, users=users)
    assert columns(tables.interactions) == EVENTS
    assert columns(tables.items) == {
        "item_id": ["7"],
        "title": ["Café Noir (1996)"],
        "release_date": ["01-Jan-1996"],
        "genres": [["Comedy", "Drama"]],
    }
    assert columns(tables.users) == {
        "user_id": ["u1"],
        "age": [24],
        "gender": ["M"],
        "occupation": ["technician"],
        "zip_code": ["08544"],
    }


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_movielens_1m(tmp_path: Path, encoding: str) -> None:
    log = write(tmp_path, "ratings.dat", "u1::7::3::881250949", "u2::9::4.5::978300760")
    items = write(tmp_path, "movies.dat", "7::Émile (1995)::Animation|Children's", encoding=encoding)
    users = write(tmp_path, "users.dat", "u1::F::1::10::48067")
    tables = read(interactions=log, items=items, users=users)
    assert columns(tables.interactions) == EVENTS
    assert columns(tables.items) == {"item_id": ["7"], "title": ["Émile (1995)"], "genres": ["Animation|Children's"]}
    assert columns(tables.users)["age"] == [1]


def test_movielens_csv(tmp_path: Path) -> None:
    log = write(tmp_path, "ratings.csv", "userId,movieId,rating,timestamp", "u1,7,3,881250949", "u2,9,4.5,978300760")
    items = write(tmp_path, "movies.csv", "movieId,title,genres", '7,"Kid, The",Drama|War', "9,Fog,(no genres listed)")
    for form in ("auto", "movielens"):
        tables = read(interactions=log, items=items, format=form)
        assert columns(tables.interactions) == EVENTS
        assert columns(tables.items) == {
            "item_id": ["7", "9"],
            "title": ["Kid, The", "Fog"],
            "genres": ["Drama|War", None],
        }


@pytest.mark.parametrize(("line", "name"), [("1\t2\t3\t881250949", "ua.base"), ("1::2::3.5::978300760", "r1.train")])
def test_parts_of_movielens_are_known_by_their_content(tmp_path: Path, line: str, name: str) -> None:
    assert format_of(open_source(write(tmp_path, name, line))) == "movielens"


def test_recbole_sequences_are_lists_and_titles_are_text(tmp_path: Path) -> None:
    log = write(tmp_path, "x.inter", "user_id:token\titem_id:token", "u1\t7", "u2\t9")
    items = write(
        tmp_path,
        "x.item",
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\tprice:float\tvector:float_seq",
        'seven\t"Toys" Again\tAnimation Comedy\t1.5\t0.5 1',
    )
    assert columns(read(interactions=log, items=items).items) == {
        "item_id": ["seven"],
        "movie_title": ['"Toys" Again'],
        "class": [["Animation", "Comedy"]],
        "price": [1.5],
        "vector": [[0.5, 1.0]],
    }


def test_amazon_2014(tmp_path: Path) -> None:
    reviews = write(
        tmp_path,
        "reviews.json",
        '{"reviewerID": "u1", "asin": "7", "overall": 3.0, "unixReviewTime": 881250949, "reviewText": "long"}',
        '{"reviewerID": "u2", "asin": "9", "overall": 4.5, "unixReviewTime": 978300760, "helpful": [0, 1]}',
    )
    products = write(
        tmp_path,
        "meta.json",
        "{'asin': '7', 'title': \"Nail's\", 'categories': [['Beauty', 'Nails'], ['Beauty', 'Gifts']], 'price': 5.99, "
        "'brand': 'OPI', 'description': 'Red.', 'salesRank': {'Beauty': 3}}",
        "{'asin': '9', 'imUrl': 'http://x.test/1.jpg'}",
    )
    tables = read(interactions=reviews, items=products)
    assert columns(tables.interactions) == EVENTS
    assert columns(tables.items) == {
        "item_id": ["7", "9"],
        "title": ["Nail's", None],
        "brand": ["OPI", None],
        "categories": [["Beauty", "Nails", "Gifts"], None],
        "price": [5.99, None],
        "description": ["Red.", None],
    }


def test_amazon_2023(tmp_path: Path) -> None:
    lines = [
        '{"user_id": "u1", "parent_asin": "7", "asin": "7b", "rating": 3, "timestamp": 881250949123, "title": "ok"}',
        '{"user_id": "u2", "parent_asin": "9", "asin": "9b", "rating": 4.5, "timestamp": 978300760999}',
    ]
    reviews = tmp_path / "reviews.jsonl.gz"
    reviews.write_bytes(gzip.compress("\n".join(lines).encode()))
    products = write(
        tmp_path,
        "meta.jsonl",
        '{"parent_asin": "7", "title": "Brush", "store": "Acme", "main_category": "Beauty", "categories": ["Hair"], '
        '"price": "$1,005.99", "description": ["One.", "Two."], "features": [], "average_rating": 4.2, "details": {}}',
        '{"parent_asin": "9", "title": "Comb", "categories": [], "price": "from 3", "description": "[sic"}',
    )
    tables = read(interactions=reviews, items=products)
    assert columns(tables.interactions) == EVENTS
    assert columns(tables.items) == {
        "item_id": ["7", "9"],
        "title": ["Brush", "Comb"],
        "brand": ["Acme", None],
        "categories": [["Hair"], None],
        "main_category": ["Beauty", None],
        "price": [1005.99, None],
        "description": ["One.\nTwo.", "[sic"],
        "features": [None, None],
    }
    assert tables.notices == (
        f"{reviews}:1, column 'timestamp': '881250949123' and the column's other times are in milliseconds; "
        "they were turned into seconds. Nothing needs to be done.",
    )


PAGES = (
    "1\tu1\t11/15/2019 8:55:22 AM\tN1 N2\tN3-1 N4-0",
    "2\tu2\t11/15/2019 10:00:00 PM\t\tN4-0 N1-1",
    "3\tu1\t11/14/2019 12:00:00 AM\tN1 N2\tN5-0 N4-1",
)
NEWS = 'N1\tsports\tgolf\tThe "Tiger\tA summary.\thttps://x.test\t[]\t[]'
DAY = 1_573_689_600
"""2019-11-14"""


def test_mind(tmp_path: Path) -> None:
    log, news = write(tmp_path, "behaviors.tsv", *PAGES), write(tmp_path, "news.tsv", NEWS)
    tables = read(interactions=log, items=news)
    assert tables.interactions.rows() == [
        ("u1", "N1", None),
        ("u1", "N2", None),
        ("u1", "N4", DAY),
        ("u1", "N3", DAY + 86400 + 8 * 3600 + 55 * 60 + 22),
        ("u2", "N1", DAY + 86400 + 22 * 3600),
    ]
    assert columns(tables.items) == {
        "item_id": ["N1"],
        "category": ["sports"],
        "subcategory": ["golf"],
        "title": ['The "Tiger'],
        "abstract": ["A summary."],
    }
    assert tables.impressions is not None
    assert tables.impressions.rows()[:2] == [
        ("3", "u1", "N5", DAY, 0, False, None),
        ("3", "u1", "N4", DAY, 1, True, None),
    ]
    assert len(tables.impressions) == 6


def test_lists_of_two_mind_files_stay_apart_and_a_history_counts_once(tmp_path: Path) -> None:
    first, second = (write(tmp_path, name, *PAGES) for name in ("train.tsv", "dev.tsv"))
    tables = read(interactions=(first, second))
    assert tables.impressions is not None
    assert tables.impressions["list_id"].n_unique() == 6
    assert tables.interactions["timestamp"].null_count() == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4\tu1\tyesterday\tN1\tN3-1", "column 'time': 'yesterday' is not a time like 11/15/2019 8:55:22 AM"),
        ("4\t\t11/15/2019 8:55:22 AM\tN1\tN3-1", "column 'user_id': an empty cell is not an id"),
        ("4\tu1\t11/15/2019 8:55:22 AM\tN1\tN3 N4", "column 'impressions': 'N3 N4' has items without -0 or -1"),
    ],
)
def test_wrong_pages_of_mind_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, "behaviors.tsv", *PAGES, "", line)
    with pytest.raises(DataError) as error:
        read(interactions=path)
    assert str(error.value).startswith(f"{path}:5, {message}. ")
    dropped = read(interactions=path, bad_rows="drop")
    assert len(dropped.interactions) == 5
    assert len(dropped.notices) == 1


def test_columns_of_mind_cannot_be_renamed(tmp_path: Path) -> None:
    path = write(tmp_path, "behaviors.tsv", *PAGES)
    with pytest.raises(DataError, match=r"`columns\.interactions` is \{'user_id': 'x'\}, and MIND's columns are fixed"):
        read(interactions=path, columns={"interactions": {"user_id": "x"}})


@pytest.mark.parametrize(
    ("name", "line", "form"),
    [
        ("reviews.json", '{"asin": "x"}', "amazon"),
        ("meta.json", "{'related': 1, 'asin': 'x'}", "amazon"),
        ("log.json", '{"user_id": "x"}', "jsonl"),
        ("news.tsv", NEWS, "mind"),
        ("pages.txt", PAGES[0], "mind"),
        ("u.item", "1|http://x.test", "movielens"),
        ("set.item", "item_id:token\ttitle:token_seq", "recbole"),
        ("ratings.csv", "userId,movieId,rating", "movielens"),
        ("ratings.csv", "user,item,rating", "csv"),
        ("log.tsv.gz", "user\titem", "tsv"),
    ],
)
def test_formats_are_recognised(tmp_path: Path, name: str, line: str, form: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(line.encode()) if name.endswith(".gz") else line.encode())
    assert format_of(open_source(path)) == form


def test_a_file_that_is_not_in_the_layout_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.csv", "user_id,item_id", "1,2")
    with pytest.raises(DataError) as error:
        read(interactions=path, format="movielens")
    assert str(error.value) == (
        f"{path}: 'mine.csv' is no file of MovieLens. Its files are u.data, u.item, u.user, ratings.dat, movies.dat, "
        "users.dat, ratings.csv, movies.csv; or set `data.format: auto`."
    )
    with pytest.raises(
        DataError, match=r"the file is no Parquet file, and the format is 'parquet'\. Set `data\.format: auto`"
    ):
        read(interactions=path, format="parquet")
