"""Configs written from files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import yaml

from genre.core.errors import DataError
from genre.data.build import build_dataset
from genre.data.deduce import deduce, deduce_config
from genre.data.feedback import FeedbackConfig
from genre.data.readers import FilesConfig, read_tables


def write(directory: Path, *lines: str, name: str = "log.csv") -> Path:
    path = directory / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


RATINGS = [
    "userId,movieId,rating,timestamp",
    "a,1,1,874700000",
    "a,2,5,874800000",
    "b,2,4,893300000",
    "b,3,4,893200000",
]
MOVIES = ["movieId,title,genres,year", "1,One,Drama|War,1999", "2,二,War,2001", "3,Three,Drama,"]


def test_ratings(tmp_path: Path) -> None:
    log, items = write(tmp_path, *RATINGS), write(tmp_path, *MOVIES, name="movies.csv")
    found = deduce(log, items, directory=tmp_path / "configs")
    assert found.data == {
        "kind": "files",
        "interactions": "../log.csv",
        "items": "../movies.csv",
        "columns": {
            "interactions": {"user_id": "userId", "item_id": "movieId", "timestamp": "timestamp", "value": "rating"},
            "items": {"item_id": "movieId"},
        },
        "item_columns": {"text": ["title"], "category": ["genres"], "number": ["year"]},
    }
    assert found.feedback == {"like_at": 4.0}
    assert found.notes == [
        "4 events of 2 users with 3 items, 1997-09-19 to 1998-04-23.",
        "Values: 1 to 5, 4 in the middle. From `like_at` up they are likes (75%), below it dislikes.",
    ]


def test_event_types(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id,event", "a,1,page_view", "a,2,page_view", "b,1,Purchase", "b,2,hide")
    found = deduce(log)
    assert found.feedback == {"events": {"page_view": 0.2, "Purchase": 1.0, "hide": 0.0}}
    assert found.notes[0] == "4 events of 2 users with 2 items, without times: events count as they stand in the file."
    assert "page_view 2" in found.notes[1]
    assert found.data == {"kind": "files", "interactions": str(log)}


def test_pages_are_no_event_types(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id,event", *(f"a,{n},page {n}" for n in range(31)))
    assert deduce(log).feedback == {}


def test_days_beyond_the_calendar_are_shown_in_seconds(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id,timestamp", "a,1,1400000000", "a,2,1400000000", "b,1,999999999999999")
    assert "2014-05-13 to 999999999999999 s." in deduce(log).notes[0]


def test_a_single_type_is_a_like_whatever_it_is_called(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id,event", "a,1,click", "b,2,click")
    assert deduce(log).feedback == {"events": {"click": 1.0}}


@pytest.mark.parametrize(
    ("values", "like_at"),
    [([1, 2, 3, 4, 5], 4.0), ([0.5, 2, 3.5, 5], 3.5), (list(range(1, 11)), 7.0), ([0, 1], 1.0), ([-1, 1], 1.0)],
)
def test_likes_start_in_the_upper_third_of_a_scale(tmp_path: Path, values: list[float], like_at: float) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user_id": ["a"] * len(values), "item_id": ["x"] * len(values), "value": values}).write_parquet(path)
    assert deduce(path).feedback == {"like_at": like_at}


@pytest.mark.parametrize("values", [[3.0, 3.0], [float(second) for second in range(100)]])
def test_amounts_and_constants_are_no_ratings(tmp_path: Path, values: list[float]) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user_id": ["a"] * len(values), "item_id": ["x"] * len(values), "value": values}).write_parquet(path)
    found = deduce(path)
    assert found.feedback == {}
    assert "Set `use_value: true`" in found.comments["feedback"][0]


def test_the_text_is_a_config_that_can_be_read(tmp_path: Path) -> None:
    log, items = write(tmp_path, *RATINGS), write(tmp_path, *MOVIES, name="movies.csv")
    users = write(tmp_path, "user_id,gender", "a,F", "b,M", name="users.csv")
    text = deduce_config(log, items, users)
    assert text.startswith("# 4 events of 2 users with 3 items, 1997-09-19 to 1998-04-23.\n")
    assert "# Values: 1 to 5, 4 in the middle." in text
    sections = yaml.safe_load(text)
    assert list(sections) == ["data", "feedback"]
    config = FilesConfig(**sections["data"])
    data = build_dataset(
        read_tables(config), FeedbackConfig(**sections["feedback"]), config.item_columns, config.user_columns
    )
    assert data.items.title.to_list() == ["One", "二", "Three"]
    assert data.users.roles.category == ("gender",)
    assert data.interactions.weights.tolist() == [0.0, 1.0, 1.0, 1.0]


def test_further_sections_and_their_comments_follow(tmp_path: Path) -> None:
    found = deduce(write(tmp_path, *RATINGS))
    text = found.to_yaml({"split": {"kind": "leave_one_out"}}, {"split": ["How to judge.", "See docs."]})
    assert text.endswith("\n# How to judge.\n# See docs.\nsplit: {kind: leave_one_out}\n")


def test_wrong_rows_are_noted_and_do_not_stop_it(tmp_path: Path) -> None:
    log = write(tmp_path, *RATINGS, "c,,5,893200000")
    notes = deduce(log).notes
    assert notes[-1] == (f"{log}:6, column 'movieId': an empty cell is not an id. Left out, as `data.bad_rows` says.")


def test_unreadable_files_stop_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column is known to be the user_id"):
        deduce(write(tmp_path, "a,b", "x,y"))
