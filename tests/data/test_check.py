"""Everything wrong with files, in one list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genre.data.check import Finding, check_files
from genre.data.readers import FilesConfig
from genre.data.roles import ColumnRoles

GOOD = ["user_id,item_id,timestamp", "a,1,1400000000", "b,2,1400000001"]


def write(directory: Path, *lines: str, name: str = "log.csv") -> Path:
    path = directory / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def check(**settings: Any) -> list[tuple[str, str]]:
    """Return severities and messages, without the directory."""
    directory = Path(str(settings["interactions"])).parent
    return [
        (finding.severity, str(finding).replace(f"{directory}/", ""))
        for finding in check_files(FilesConfig(**settings))
    ]


def test_good_files_have_no_findings(tmp_path: Path) -> None:
    items = write(tmp_path, "item_id,title", "1,One", "2,Two", name="items.csv")
    users = write(tmp_path, "user_id,age", "a,1", "b,2", name="users.csv")
    assert check(interactions=write(tmp_path, *GOOD), items=items, users=users) == []


def test_a_finding_says_everything_in_fields(tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD, "c,3,soon")
    assert check_files(FilesConfig(interactions=path)) == [
        Finding(
            severity="error",
            file=str(path),
            line=4,
            column="timestamp",
            value="soon",
            problem="'soon' is not a time",
            remedy="Write seconds since 1970 or ISO 8601, as in 2024-05-31T18:30:00. "
            "Or set `data.bad_rows: drop` to do without such rows.",
        )
    ]


def test_what_stops_the_reading_is_listed_with_the_rest(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id,timestamp,value", "a,,1400000000,5", "b,2,-5,x", "b,2,1400000000,5", "c,1")
    items = write(tmp_path, "name", "One", name="items.csv")
    problems = [message.split(". ")[0] for severity, message in check(interactions=log, items=items)]
    assert problems == [
        "log.csv:5: 'c,1' has 2 fields, not 4",
        "log.csv:2, column 'item_id': an empty cell is not an id",
        "log.csv:3, column 'value': 'x' is not a number",
        "items.csv, column 'item_id': no column is known to be the item_id; the columns are 'name'",
        "log.csv: the log has 1 event",
        "log.csv: the log has 1 user",
        "log.csv: the log has 1 item",
    ]


def test_files_that_cannot_be_opened_are_all_listed(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    items = write(tmp_path, name="items.csv")
    assert check(interactions=log, items=items) == [
        (
            "error",
            "log.csv: there is no such file. Check the path; in a config, it is relative to the config's directory.",
        ),
        ("error", "items.csv: the file is empty. Export it again."),
    ]


def test_impossible_times_are_errors(tmp_path: Path) -> None:
    times = ["-5", "0", "1400000003000", "9999999999", "1400000004", "1400000005", "1400000006"]
    path = write(tmp_path, *GOOD, *(f"c,{row},{time}" for row, time in enumerate(times)))
    dropped = "Cleaning drops such events (`clean.times`)."
    assert check(interactions=path) == [
        ("error", f"log.csv:4, column 'timestamp': '-5' is before 1971 (2 such lines: 4 and 5). {dropped}"),
        (
            "error",
            "log.csv:6, column 'timestamp': '1400000003000' is in milliseconds, and most of the column's times are in "
            f"seconds. Divide it by 1000. {dropped}",
        ),
        ("error", f"log.csv:7, column 'timestamp': '9999999999' is after 2100. {dropped}"),
    ]


def test_a_running_number_for_a_time_points_at_position(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,time", "a,1,0", "a,2,1", "b,1,2")
    assert check(interactions=path) == [
        (
            "error",
            "log.csv:2, column 'time': '0' is before 1971 (3 such lines: 2, 3 and 4). "
            "If they are a running number, set `columns: {interactions: {position: time}}`.",
        )
    ]


def test_converted_milliseconds_are_a_notice(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,ts", "a,1,1400000000000", "b,2,1400000001000")
    assert check(interactions=path) == [
        (
            "notice",
            "log.csv:2, column 'ts': '1400000000000' and the column's other times are in milliseconds; "
            "they were turned into seconds. Nothing needs to be done.",
        )
    ]


def test_repeated_events_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD, "a,1,1400000000", "a,1,1400000009", "b,2,1400000001")
    remedy = "Set `clean.duplicates` to what such events mean."
    assert check(interactions=path) == [
        (
            "warning",
            "log.csv:4, column 'item_id': '1' is there before with the same user_id and timestamp "
            f"(2 such lines: 4 and 6). {remedy}",
        )
    ]
    ordered = write(tmp_path, "user_id,item_id,position,event", "a,1,0,view", "a,1,1,view", "b,2,0,view", "b,2,0,buy")
    assert check(interactions=ordered) == []


def test_repeated_ids_are_counted(tmp_path: Path) -> None:
    items = write(tmp_path, "item_id,title", "1,One", "2,Two", "1,Uno", name="items.csv")
    assert check(interactions=write(tmp_path, *GOOD), items=items) == [
        ("warning", "items.csv:4, column 'item_id': '1' is there before; the first row counts. Take the others out.")
    ]


def test_items_that_only_the_log_knows_are_counted(tmp_path: Path) -> None:
    items = write(tmp_path, "item_id,title", "1,One", name="items.csv")
    assert check(interactions=write(tmp_path, *GOOD), items=items) == [
        (
            "warning",
            "log.csv:3, column 'item_id': '2' is not in the items file; 1 of 2 ids in the log are not. "
            "They are used without what the file says of others.",
        )
    ]


def test_a_catalogue_of_other_ids_is_an_error(tmp_path: Path) -> None:
    users = tmp_path / "users.parquet"
    pl.DataFrame({"user_id": ["A", "B"], "age": [1, 2]}).write_parquet(users)
    assert check(interactions=write(tmp_path, *GOOD), users=users) == [
        (
            "error",
            "log.csv:2, column 'user_id': 'a' is not in the users file; 2 of 2 ids in the log are not. "
            "The files name users differently: see `columns.users.user_id`.",
        )
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["user_id,item_id"], ["the file holds no rows. Export it again."]),
        (
            ["user_id,item_id", "a,1"],
            [f"the log has 1 {name}. No model can learn from so little." for name in ("event", "user", "item")],
        ),
        (["user_id,item_id", "a,1", "a,2"], ["the log has 1 user. No model can learn from so little."]),
        (["user_id,item_id", "a,1", "b,1"], ["the log has 1 item. No model can learn from so little."]),
    ],
)
def test_too_little_is_said(tmp_path: Path, lines: list[str], expected: list[str]) -> None:
    found = check(interactions=write(tmp_path, *lines))
    assert [message for _, message in found] == [f"log.csv: {message}" for message in expected]


def test_an_empty_catalogue_is_a_warning(tmp_path: Path) -> None:
    items = write(tmp_path, "item_id,title", name="items.csv")
    severities = [severity for severity, message in check(interactions=write(tmp_path, *GOOD), items=items)]
    assert severities == ["warning", "error"]


def test_roles_that_do_not_fit_are_found(tmp_path: Path) -> None:
    items = write(tmp_path, "item_id,title", "1,One", "2,Two", name="items.csv")
    roles = ColumnRoles(number=("title",))
    assert check(interactions=write(tmp_path, *GOOD), items=items, item_columns=roles) == [
        (
            "error",
            "items.csv: column 'title' holds 'One', which is not a number (`data.item_columns.number`). "
            "Correct the cells, or name the column under `category` or `text`.",
        )
    ]


def test_times_of_impressions_are_looked_at_too(tmp_path: Path) -> None:
    shown = write(tmp_path, "list_id,item_id,clicked,ts", "p,1,1,5", "p,2,0,1400000000", name="shown.csv")
    assert check(interactions=write(tmp_path, *GOOD), impressions=shown) == [
        ("error", "shown.csv:2, column 'ts': '5' is before 1971. Cleaning drops such events (`clean.times`).")
    ]
