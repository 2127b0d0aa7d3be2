"""Names of columns."""

from __future__ import annotations

import pytest

from genre.core.errors import DataError
from genre.data.aliases import ALIASES, OPTIONAL, REQUIRED, TABLES, WEAK_ALIASES, recognise_columns
from genre.data.columns import EVENT, ITEM_ID, TIMESTAMP, USER_ID, VALUE


def names_for(table: str, role: str, column: str) -> list[str]:
    """Return a header in which `column` is the only one that can be `role`."""
    return [column if needed == role else needed for needed in REQUIRED[table]] + [column] * (
        role not in REQUIRED[table]
    )


@pytest.mark.parametrize(
    ("table", "role", "alias"),
    [
        (table, role, alias)
        for table in TABLES
        for role in (*REQUIRED[table], *OPTIONAL[table])
        for alias in (*ALIASES[role], *WEAK_ALIASES.get(role, ()))
    ],
)
def test_every_alias_is_recognised(table: str, role: str, alias: str) -> None:
    assert recognise_columns(names_for(table, role, alias), table, {}, "file")[role] == alias


@pytest.mark.parametrize(
    ("column", "role"),
    [
        ("userId", USER_ID),
        ("UserID", USER_ID),
        ("USER_ID", USER_ID),
        ("user id", USER_ID),
        ("user_id:token", USER_ID),
        ("reviewerID", USER_ID),
        ("MovieID", ITEM_ID),
        ("item-id", ITEM_ID),
        ("unixReviewTime", TIMESTAMP),
        ("timestamp:float", TIMESTAMP),
        ("Event_Time", TIMESTAMP),
        ("Rating", VALUE),
        ("event-type", EVENT),
    ],
)
def test_case_underscores_and_types_do_not_matter(column: str, role: str) -> None:
    assert recognise_columns(names_for("interactions", role, column), "interactions", {}, "file")[role] == column


@pytest.mark.parametrize(("table", "role"), [("items", ITEM_ID), ("users", USER_ID)])
def test_a_bare_id_is_that_of_the_table(table: str, role: str) -> None:
    assert recognise_columns(["id", "name"], table, {}, "file") == {role: "id"}


def test_genre_own_name_wins_over_an_alias() -> None:
    found = recognise_columns(["user_id", "item_id", "asin", "timestamp", "date"], "interactions", {}, "file")
    assert found == {USER_ID: "user_id", ITEM_ID: "item_id", TIMESTAMP: "timestamp"}


def test_a_usual_name_wins_over_one_that_often_means_something_else() -> None:
    found = recognise_columns(["user", "item", "event_type", "type", "rating", "count"], "interactions", {}, "file")
    assert (found[EVENT], found[VALUE]) == ("event_type", "rating")


def test_the_mapping_comes_first_and_may_rename_more() -> None:
    names = ["viewer", "item_id", "user_id", "seen_at", "where"]
    mapping = {"user_id": "viewer", "timestamp": "seen_at", "place": "where"}
    found = recognise_columns(names, "interactions", mapping, "file")
    assert found == {"user_id": "viewer", "item_id": "item_id", "timestamp": "seen_at", "place": "where"}


def test_two_columns_for_one_role_are_named_with_the_mapping_to_write() -> None:
    with pytest.raises(DataError) as error:
        recognise_columns(["user", "item", "rating", "score"], "interactions", {}, "log.csv")
    assert str(error.value) == (
        "log.csv, column 'rating': columns 'rating' and 'score' could each be the value. "
        "Choose one in the config: `data: {columns: {interactions: {value: rating}}}`."
    )


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(DataError) as error:
        recognise_columns(["member", "item_id"], "interactions", {}, "log.csv")
    assert str(error.value) == (
        "log.csv, column 'user_id': no column is known to be the user_id; the columns are 'member', 'item_id'. "
        "Name it in the config: `data: {columns: {interactions: {user_id: member}}}`."
    )


def test_a_single_column_points_at_the_separator() -> None:
    with pytest.raises(DataError, match=r"set `data\.separator` to what stands between them"):
        recognise_columns(["user_id#item_id"], "interactions", {}, "log.csv")


def test_a_misspelt_mapping_is_an_error_with_a_guess() -> None:
    with pytest.raises(DataError) as error:
        recognise_columns(["viewer", "item_id"], "interactions", {"user_id": "veiwer"}, "log.csv")
    assert str(error.value) == (
        "log.csv, column 'veiwer': there is no column 'veiwer', named by `columns.interactions.user_id`; "
        "the columns are 'viewer', 'item_id'. Did you mean 'viewer'?"
    )
