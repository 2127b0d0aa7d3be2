"""The catalogue as it changes: each change has a number, and what stays the same has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from genre.core.errors import DataError
from genre.serving.stores.audit import Audit
from genre.serving.stores.database import Database
from genre.serving.stores.items import Item, Items
from tests.serving.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(10.0)


@pytest.fixture
def items(database: Database, clock: Clock) -> Items:
    return Items(database, now=clock)


def test_items_are_added_changed_withdrawn_and_back(items: Items, clock: Clock) -> None:
    dune = {"title": "Dune 沙丘", "genres": ["space"], "price": 9.5}
    assert items.put("films", {"dune": dune, "heat": {"title": "Heat"}}) == {"dune": "added", "heat": "added"}
    clock.now = 20.0
    assert items.change("films", {"dune": {"price": None, "year": 2021}}) == {"dune": "changed"}
    assert items.withdraw("films", ["heat", "heat"]) == {"heat": "changed"}
    changed = {"title": "Dune 沙丘", "genres": ["space"], "year": 2021}
    assert items.get("films", ["dune", "heat", "none"]) == {
        "dune": Item("dune", changed, False, 3, 10.0, 20.0),
        "heat": Item("heat", {"title": "Heat"}, True, 4, 10.0, 20.0),
    }
    clock.now = 30.0
    assert items.put("films", {"heat": {"title": "Heat"}, "dune": {}}) == {"heat": "changed", "dune": "changed"}
    assert items.get("films", ["heat"])["heat"] == Item("heat", {"title": "Heat"}, False, 5, 10.0, 30.0)
    assert items.get("films", ["dune"])["dune"].data == {}


def test_an_item_of_the_run_s_own_catalogue_is_changed_and_not_added(items: Items) -> None:
    known = {"dune": {"title": "Dune", "year": 2021}, "heat": {"title": "Heat"}}
    new = {"dune": {"title": "Dune 2"}, "heat": {"title": "Heat"}, "x": {}}
    assert items.put("films", new, known=known) == {"dune": "changed", "heat": "changed", "x": "added"}
    assert items.get("films", ["dune"])["dune"].data == {"title": "Dune 2"}


def test_who_changed_what_is_noted_once_for_each_request(items: Items, database: Database) -> None:
    items.put("films", {"a": {"x": 1}, "b": {}}, actor="key-1")
    items.put("films", {"a": {"x": 1}}, actor="key-2")
    items.put("films", {f"i{n}": {} for n in range(30)} | {"a": {}}, actor="key-1")
    items.change("films", {"a": {"x": 2}, "b": {}}, actor="key-3")
    items.withdraw("films", ["b"])
    with pytest.raises(DataError):
        items.withdraw("films", ["none"], actor="key-1")
    entries = [(one.time, one.actor, one.action, one.scenario, one.detail) for one in Audit(database).newest()]
    assert entries[::-1] == [
        (10.0, "key-1", "items put", "films", {"added": 2, "items": ["a", "b"]}),
        (10.0, "key-1", "items put", "films", {"added": 30, "changed": 1}),
        (10.0, "key-3", "items changed", "films", {"changed": 1, "items": ["a"]}),
        (10.0, "command line", "items withdrawn", "films", {"changed": 1, "items": ["b"]}),
    ]


def test_what_is_the_same_has_no_new_number(items: Items) -> None:
    items.put("films", {"a": {"x": 1}})
    assert items.put("films", {"a": {"x": 1}}) == {"a": "same"}
    assert items.change("films", {"a": {"x": 1}}) == {"a": "same"}
    items.withdraw("films", ["a"])
    assert items.withdraw("films", ["a"]) == {"a": "same"}
    assert (items.last("films"), items.last("books")) == (2, 0)


def test_a_reader_goes_on_where_it_was(items: Items) -> None:
    items.put("films", {f"i{n}": {} for n in range(5)})
    items.put("books", {"i0": {}})
    seen = [[item.item_id for item in page] for page in items.since("films", size=2)]
    assert seen == [["i0", "i1"], ["i2", "i3"], ["i4"]]
    items.withdraw("films", ["i1"])
    items.put("films", {"i9": {}})
    ((one, other),) = items.since("films", 5)
    assert (one.item_id, one.withdrawn, one.revision, other.item_id) == ("i1", True, 6, "i9")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"": {}}, r"item_id: '' has 0 characters"),
        ({"b": {"x": float("inf")}}, r"item 'b': the columns cannot be kept: Out of range"),
        ({"b": {"x": "y" * 70_000}}, r"item 'b': the columns cannot be kept: is 70,009 bytes"),
    ],
)
def test_one_that_cannot_be_kept_stops_all(items: Items, told: Mapping[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        items.put("films", {"a": {}, **told})
    assert items.last("films") == 0


def test_what_is_not_there_cannot_be_changed(items: Items) -> None:
    items.put("films", {"a": {}})
    with pytest.raises(DataError, match=r"scenario 'films': there is no item 'b', nor 1 others\. Add it first"):
        items.change("films", {"a": {"x": 1}, "b": {}, "c": {}})
    with pytest.raises(DataError, match=r"there is no item 'a'\. Add it first"):
        items.withdraw("books", ["a"])
    assert items.get("films", ["a"])["a"].data == {}
