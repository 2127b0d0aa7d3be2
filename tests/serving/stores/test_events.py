"""The log of events: every event counts once, in its order, and is read again exactly as it was told."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy.event import listens_for

from genre.core.errors import DataError
from genre.serving.stores.database import Database
from genre.serving.stores.events import SCHEMA, Batch, Event, Events, Outcome, StoredEvent, read_events

NOW = 1_700_000_000.0


def event(event_id: str, user_id: str = "u", item_id: str = "i", **said: Any) -> Event:
    return Event(event_id=event_id, user_id=user_id, item_id=item_id, **said)


def append(events: Events, *told: Event, scenario: str = "films", at: float = NOW) -> list[Outcome]:
    (outcomes,) = events.append([Batch(scenario, told, at)])
    return outcomes


@pytest.fixture
def events(database: Database) -> Events:
    return Events(database)


def test_an_event_is_read_as_it_was_told(events: Events) -> None:
    full = event(
        "电影-1", "用户", "i'\"\\", timestamp=NOW - 0.25, event="watch", value=-1.5e-300, list_id="l", position=3,
        propensity=0.1, context={"arm": "b", "nested": [1, None, {"é": "\u0001"}]},
    )  # fmt: skip
    assert append(events, full, event("2"), at=NOW + 0.125) == [
        Outcome("电影-1", "new", 1, NOW - 0.25),
        Outcome("2", "new", 2, NOW + 0.125),
    ]
    stored = StoredEvent(
        1, "电影-1", "用户", "i'\"\\", NOW - 0.25, NOW + 0.125, "watch", -1.5e-300, "l", 3, 0.1,
        {"arm": "b", "nested": [1, None, {"é": "\u0001"}]},
    )  # fmt: skip
    assert events.of_user("films", "用户") == [stored]
    bare = StoredEvent(2, "2", "u", "i", NOW + 0.125, NOW + 0.125, None, None, None, None, None, None)
    assert events.of_user("films", "u") == [bare]
    (frame,) = events.since("films")
    assert frame.schema == SCHEMA
    assert json.loads(frame["context"][0]) == stored.context
    assert frame.row(1) == (2, "2", "u", "i", NOW + 0.125, NOW + 0.125, *[None] * 6)


def test_few_events_are_found_among_many_without_reading_all(sqlite_url: str, opened: Callable[..., Database]) -> None:
    database = opened(sqlite_url)
    asked: list[tuple[str, Any]] = []

    @listens_for(database._engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    append(Events(database), event("a"), event("b"))
    ((statement, parameters),) = [one for one in asked if "event_id IN" in one[0]]
    with database.reading() as connection:
        (plan,) = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    assert plan.detail == "SEARCH events USING INDEX events_by_id (scenario=? AND event_id=?)"


def test_an_event_counts_once_and_another_with_its_id_is_told(events: Events) -> None:
    first = event("1", value=5, context={"a": 1, "b": 2})
    assert [outcome.status for outcome in append(events, first, first)] == ["new", "known"]
    again = event("1", value=5.0, context={"b": 2, "a": 1})
    assert append(events, again, at=NOW + 50) == [Outcome("1", "known", 1, NOW)]
    assert append(events, event("1", value=4)) == [Outcome("1", "conflict", 1, NOW)]
    assert [outcome.status for outcome in append(events, event("2"), event("2", "v"))] == ["new", "conflict"]
    assert [(one.seq, one.user_id, one.value) for one in events.of_user("films", "u")] == [
        (1, "u", 5.0),
        (2, "u", None),
    ]
    assert events.of_user("films", "v") == []


def test_scenarios_have_their_own_ids_numbers_and_users(events: Events) -> None:
    append(events, event("1"), event("2"))
    assert append(events, event("1"), scenario="books")[0].seq == 1
    assert (events.last("films"), events.last("books"), events.last("music")) == (2, 1, 0)
    assert len(events.of_user("books", "u")) == 1
    assert list(events.since("music")) == []
    outcomes = events.append(
        [Batch("b", [event("1")], NOW), Batch("a", [event("1")], NOW), Batch("b", [event("1")], NOW)]
    )
    assert [(one.status, one.seq) for (one,) in outcomes] == [("new", 1), ("new", 1), ("known", 1)]


def test_late_events_take_their_place_and_equal_times_the_order_of_arrival(events: Events) -> None:
    for name, time in (("c", 30.0), ("a", 10.0), ("b", 20.0), ("b2", 20.0)):
        append(events, event(name, timestamp=time))
    assert [one.event_id for one in events.of_user("films", "u")] == ["a", "b", "b2", "c"]
    assert [one.event_id for one in events.of_user("films", "u", newest=2)] == ["b2", "c"]
    (frame,) = events.since("films")
    assert frame["event_id"].to_list() == ["c", "a", "b", "b2"]


def test_a_clock_that_is_ahead_is_bounded_and_told(events: Events) -> None:
    told = append(events, event("ahead", timestamp=NOW + 3600), event("now", timestamp=NOW), event("bare"))
    assert [(one.timestamp, one.bounded) for one in told] == [(NOW, True), (NOW, False), (NOW, False)]
    # The same event an hour later is still the same.
    again = append(events, event("ahead", timestamp=NOW + 3600), at=NOW + 7200)
    assert again == [Outcome("ahead", "known", 1, NOW)]
    assert [one.event_id for one in events.of_user("films", "u")] == ["ahead", "now", "bare"]


def test_impressions_are_kept_apart_from_what_was_done(events: Events) -> None:
    shown = {"event": "impression", "list_id": "l", "propensity": 0.5}
    append(events, event("1", item_id="a", position=0, **shown), event("2", item_id="b", position=1, **shown))
    append(events, event("3", item_id="b", event="click", list_id="l"), event("4", item_id="c"))
    assert [one.item_id for one in events.of_user("films", "u")] == ["b", "c"]
    assert [one.position for one in events.of_user("films", "u", impressions=True)] == [0, 1, None, None]
    assert pl.concat(events.since("films", impressions=False))["seq"].to_list() == [3, 4]
    with pytest.raises(ValidationError, match="an impression needs `list_id`"):
        event("5", event="impression")


def test_a_reader_goes_on_where_it_was_frame_by_frame(events: Events) -> None:
    append(events, *[event(f"{n}") for n in range(25)])
    assert [len(frame) for frame in events.since("films", size=10)] == [10, 10, 5]
    assert [len(frame) for frame in events.since("films", 5, size=10)] == [10, 10]
    assert pl.concat(events.since("films", 20, size=2))["seq"].to_list() == [21, 22, 23, 24, 25]
    assert list(events.since("films", 25)) == []


def test_numbers_become_visible_in_their_order_whoever_writes(
    url: str, opened: Callable[..., Database], events: Events
) -> None:
    """Two processes, as two engines: who reads as they write sees every number once, and none appears below."""
    writers = [Events(opened(url)) for _ in range(2)]
    done = threading.Event()

    def write(number: int) -> None:
        # Half of the events are told by both.
        for n in range(40):
            told = [event(f"{'both' if n % 2 else number}-{n}-{m}") for m in range(3)]
            append(writers[number], *told)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            for frame in events.since("films", seen[-1] if seen else 0):
                seen.extend(frame["seq"])
            done.wait(0.005)

    reader = threading.Thread(target=read)
    for thread in (*threads, reader):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    seen += [seq for frame in events.since("films", seen[-1]) for seq in frame["seq"]]
    assert seen == list(range(1, 181))
    assert events.last("films") == 180


def test_whatever_arrives_in_whatever_order_and_however_often_the_log_is_the_same(events: Events) -> None:
    """Against a log in a dictionary."""
    chance = random.Random(0)
    kept: dict[str, tuple[float | None, int]] = {}
    for _ in range(30):
        told = [event(f"{chance.randrange(60)}", value=chance.randrange(2)) for _ in range(chance.randrange(1, 8))]
        for one, outcome in zip(told, append(events, *told), strict=True):
            if one.event_id not in kept:
                kept[one.event_id] = one.value, len(kept) + 1
                assert outcome.status == "new"
            else:
                assert outcome.status == ("known" if kept[one.event_id][0] == one.value else "conflict")
            assert outcome.seq == kept[one.event_id][1]
    frame = pl.concat(events.since("films"))
    assert dict(zip(frame["event_id"], frame.select("value", "seq").rows(), strict=True)) == kept


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"user_id": ""}, "user_id: String should have at least 1 character"),
        ({"item_id": "i" * 257}, "item_id: String should have at most 256 characters"),
        ({"event_id": "a\0"}, "event_id: Value error, holds a NUL character"),
        ({"event_id": "\ud800"}, "event_id: "),
        ({"timestamp": 1_700_000_000_000}, "timestamp: Input should be less than"),
        ({"timestamp": -1}, "timestamp: Input should be greater than or equal to 0"),
        ({"timestamp": float("nan")}, "timestamp: Input should be"),
        ({"value": float("inf")}, "value: Input should be a finite number"),
        ({"propensity": 0}, "propensity: Input should be greater than 0"),
        ({"position": 2**31}, "position: Input should be less than or equal"),
        ({"context": {"a": "x" * 70_000}}, "context: Value error, is 70,009 bytes of JSON, at most 65,536 are kept"),
        ({"context": {"a": float("nan")}}, "context: "),
        ({"rating": 5}, "rating: Extra inputs are not permitted"),
        ({"event": "impression"}, "the event: Value error, an impression needs `list_id`"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_row(wrong: dict[str, Any], message: str) -> None:
    good = {"event_id": "1", "user_id": "u", "item_id": "i"}
    rows = read_events([good, {**good, **wrong}], "events.jsonl")
    next(rows)
    with pytest.raises(DataError) as caught:
        next(rows)
    assert str(caught.value).startswith(f"events.jsonl, row 2: {message}")
    assert "do not count twice" in str(caught.value)


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=4), st.randoms())
def test_the_digest_is_of_what_was_said_not_of_how(context: dict[str, Any], chance: random.Random) -> None:
    keys = list(context)
    chance.shuffle(keys)
    try:
        one = event("1", context=context)
    except ValidationError:
        return
    assert one.digest == event("1", context={key: context[key] for key in keys}).digest
    assert one.digest != event("1", context={**context, "more": 1}).digest


def test_a_scenario_has_a_name(events: Events) -> None:
    with pytest.raises(DataError, match="scenario: '' has 0 characters"):
        append(events, event("1"), scenario="")
