"""Reading whole data sets: columns, cells, and everything that can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genre.core.errors import DataError
from genre.data.readers import FilesConfig, read_tables
from genre.data.tables import Tables

ID = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8).filter(
    lambda name: name.lower() not in ("nan", "nat", "null", "none", "<na>", "\\n")
)


def write(directory: Path, *lines: str, name: str = "log.csv") -> Path:
    path = directory / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read(**settings: Any) -> Tables:
    return read_tables(FilesConfig(**settings))


def failure_of(**settings: Any) -> str:
    with pytest.raises(DataError) as error:
        read(**settings)
    return str(error.value)


@settings(max_examples=50)
@given(
    rows=st.lists(
        st.tuples(ID, ID, st.integers(10**8, 4 * 10**9), st.none() | st.floats(-1e6, 1e6)), min_size=1, max_size=9
    ),
    form=st.sampled_from(["csv", "tsv", "jsonl", "parquet"]),
)
def test_logs_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], form: str
) -> None:
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "value": pl.Float64}
    log = pl.DataFrame(rows, schema=schema, orient="row")
    path = tmp_path_factory.mktemp("log") / f"log.{form}"
    if form == "parquet":
        log.write_parquet(path)
    elif form == "jsonl":
        log.write_ndjson(path)
    else:
        log.write_csv(path, separator="," if form == "csv" else "\t")
    found = read(interactions=path).interactions
    assert found.schema == log.schema
    assert found.equals(log)


def test_other_columns_are_kept_behind_the_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "device,user,price,item,code,pos,action", "web,u,1.5,i,007,3,view")
    log = read(interactions=path).interactions
    assert log.to_dicts() == [
        {"user_id": "u", "item_id": "i", "position": 3, "event": "view", "device": "web", "price": 1.5, "code": "007"}
    ]


def test_columns_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path, "viewer,item_id,timestamp,seen_at", "u,i,text,2020-05-05")
    mapping = {"interactions": {"user_id": "viewer", "timestamp": "seen_at"}}
    log = read(interactions=path, columns=mapping).interactions
    assert log.to_dicts() == [{"user_id": "u", "item_id": "i", "timestamp": 1588636800, "timestamp_in_file": "text"}]


def test_several_files_are_read_one_after_the_other(tmp_path: Path) -> None:
    first = write(tmp_path, "user_id,item_id,value", "b,1,5", name="1.csv")
    second = tmp_path / "2.parquet"
    pl.DataFrame({"uid": ["a"], "item_id": [2], "timestamp": [10**12]}).write_parquet(second)
    log = read(interactions=(first, second)).interactions
    assert log.rows() == [("b", "1", 5.0, None), ("a", "2", None, 10**9)]


def test_items_and_users_keep_their_columns(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id", "u,7")
    items = write(tmp_path, "title,rating,id,timestamp", "影评,4.5,7,morning", name="items.csv")
    users = write(tmp_path, "id,age", "u,33", name="users.csv")
    tables = read(interactions=log, items=items, users=users)
    assert tables.items is not None
    assert tables.items.to_dicts() == [{"item_id": "7", "title": "影评", "rating": 4.5, "timestamp": "morning"}]
    assert tables.users is not None
    assert tables.users.to_dicts() == [{"user_id": "u", "age": 33}]
    assert tables.impressions is None


def test_impressions_get_the_columns_that_are_missing(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id", "u,7")
    shown = write(tmp_path, "slate_id,item,click", "a,7,0", "b,8,1", "a,9,true", name="shown.csv")
    found = read(interactions=log, impressions=shown).impressions
    assert found is not None
    assert found.rows() == [
        ("a", None, "7", None, 0, False, None),
        ("b", None, "8", None, 0, True, None),
        ("a", None, "9", None, 1, True, None),
    ]
    full = write(
        tmp_path,
        "list_id,user_id,item_id,timestamp,position,clicked,propensity",
        "a,u,7,2020-05-05,4,0,0.25",
        "a,,8,,5,1,",
        name="full.csv",
    )
    found = read(interactions=log, impressions=full).impressions
    assert found is not None
    assert found.rows() == [("a", "u", "7", 1588636800, 4, False, 0.25), ("a", None, "8", None, 5, True, None)]


REMEDY = "Or set `data.bad_rows: drop` to do without such rows."
WRONG = {
    "a blank id": (
        ["user_id,item_id", "u,1", "u,", " ,2", "u,nan"],
        [
            ":4, column 'user_id': ' ' is not an id. Fill it in, or take the row out.",
            ":3, column 'item_id': an empty cell is not an id (2 such lines: 3 and 5). "
            "Fill it in, or take the row out.",
        ],
        1,
    ),
    "a text for a value": (
        ["user_id,item_id,stars", "u,1,5", "u,2,five", "u,3,4", "u,4,six"],
        [
            ":3, column 'stars': 'five' is not a number (2 such lines: 3 and 5). "
            "Correct it, or leave the cell empty where nothing is known."
        ],
        2,
    ),
    "a text for a time": (
        ["user_id,item_id,ts", "u,1,100000000", "u,2,soon", "u,3,"],
        [":3, column 'ts': 'soon' is not a time. Write seconds since 1970 or ISO 8601, as in 2024-05-31T18:30:00."],
        2,
    ),
    "a broken position": (
        ["user_id,item_id,position", "u,1,0", "u,2,1.5"],
        [
            ":3, column 'position': '1.5' is not a whole number. "
            "Correct it, or leave the cell empty where nothing is known."
        ],
        1,
    ),
    "too few fields": (
        ["user_id,item_id,value", "u,1,5", "u,2"],
        [
            ":3: 'u,2' has 2 fields, not 3. "
            "Give every line as many fields as the header, with quotation marks around one that holds a separator."
        ],
        1,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rows_stop_the_reading_or_are_left_out(tmp_path: Path, name: str) -> None:
    lines, messages, num_right = WRONG[name]
    path = write(tmp_path, *lines)
    assert failure_of(interactions=path) in [f"{path}{message} {REMEDY}" for message in messages]
    tables = read(interactions=path, bad_rows="drop")
    assert len(tables.interactions) == num_right
    without_remedies = [message[: message.index(". ")] for message in messages]
    assert sorted(tables.notices) == sorted(
        f"{path}{message}. Left out, as `data.bad_rows` says." for message in without_remedies
    )


def test_wrong_rows_of_impressions_and_parquet(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id", "u,7")
    shown = tmp_path / "shown.parquet"
    pl.DataFrame({"list_id": ["a", "b"], "item_id": ["7", "8"], "clicked": [1, None]}).write_parquet(shown)
    assert failure_of(interactions=log, impressions=shown) == (
        f"{shown}, row 2, column 'clicked': an empty cell is not 0 or 1. "
        f"Correct it, or leave the cell empty where nothing is known. {REMEDY}"
    )


def test_blank_lines_are_no_wrong_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,value", "u,1,5", "", "u,x,five", "")
    assert failure_of(interactions=path).startswith(f"{path}:4, column 'value': 'five' is not a number. ")
    assert len(read(interactions=write(tmp_path, "user_id,item_id", "", "u,1", "")).interactions) == 1


def test_lines_are_counted_after_quoted_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,note", 'u,1,"two', 'lines"', "u,2,", ",3,x")
    assert failure_of(interactions=path).startswith(f"{path}:5, column 'user_id': an empty cell is not an id. ")


def test_a_file_without_a_header_is_recognised(tmp_path: Path) -> None:
    path = write(tmp_path, "A1,B2,5.0,1400000000", "A2,B2,3.0,1400000001")
    assert failure_of(interactions=path) == (
        f"{path}:1: the first line holds 'A1', 'B2', '5.0', '1400000000', which look like data, not like column names. "
        "Put a first line with names: user_id, item_id, timestamp, ..."
    )


@pytest.mark.parametrize("lines", [["user_id,item_id"], ["user_id,item_id", "", ""]])
def test_a_log_without_rows_is_an_error(tmp_path: Path, lines: list[str]) -> None:
    path = write(tmp_path, *lines)
    assert failure_of(interactions=path) == f"{path}: the file holds no rows. Export it again."


def test_nothing_but_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "", "", "")
    assert failure_of(interactions=path) == f"{path}: the file holds nothing but blank lines. Export it again."


def test_nothing_but_broken_json(tmp_path: Path) -> None:
    path = write(tmp_path, "{", "}", name="a.json")
    assert failure_of(interactions=path) == (
        f"{path}:1: '{{' is not a JSON object (2 such lines: 1 and 2). Write one whole JSON object on each line."
    )


def test_a_cut_off_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}).write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert failure_of(interactions=path) == (
        f"{path}: the Parquet file ends too early, at {len(whole) - 9:,} bytes. Copy or export it again."
    )
    path.write_bytes(whole[:10] + b"\xff" * (len(whole) - 14) + whole[-4:])
    assert failure_of(interactions=path).startswith(f"{path}: the Parquet file is damaged (")


def test_missing_files_are_found_before_anything_is_read(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id", "u,")
    assert failure_of(interactions=log, items=tmp_path / "none.csv").startswith(f"{tmp_path / 'none.csv'}: there is no")


def test_an_ambiguous_column_shows_the_mapping(tmp_path: Path) -> None:
    path = write(tmp_path, "user,uid,item_id", "u,1,2")
    assert failure_of(interactions=path) == (
        f"{path}, column 'user': columns 'user' and 'uid' could each be the user_id. "
        "Choose one in the config: `data: {columns: {interactions: {user_id: user}}}`."
    )


def test_a_separator_can_be_set(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id#item_id,a,b", "u#7")
    assert read(
        interactions=path, separator="#", columns={"interactions": {"item_id": "item_id,a,b"}}
    ).interactions.rows() == [("u", "7")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoding": "utf-9"}, "'utf-9' is no encoding that Python knows; try utf-8, gb18030 or latin-1"),
        ({"separator": ";", "format": "parquet"}, "`separator` has no meaning in files of format 'parquet'"),
        ({"columns": {"items": {"item_id": "x"}}}, "`columns.items` is set, and `items` is not"),
        ({"columns": {"item": {"item_id": "x"}}}, "Input should be 'interactions', 'items', 'users' or 'impressions'"),
        ({"colums": {}}, "Extra inputs are not permitted"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        FilesConfig(interactions=Path("log.csv"), **settings)
    assert message in str(error.value)


def test_all_paths_are_listed() -> None:
    config = FilesConfig(interactions=(Path("a"), Path("b")), users=Path("c"))
    assert config.paths() == (Path("a"), Path("b"), Path("c"))
    assert config.paths("interactions") == (Path("a"), Path("b"))
    assert config.paths("items") == ()
    assert FilesConfig.model_validate({"interactions": ["a", "b"]}).paths() == (Path("a"), Path("b"))
