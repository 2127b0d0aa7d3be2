"""What is known of users: exported whole, and erased so that nothing is found, in the files either."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genre.core.errors import DataError, ResourceError
from genre.serving.stores.audit import Audit
from genre.serving.stores.database import Database
from genre.serving.stores.events import Batch, Event, Events
from genre.serving.stores.tables import EVENTS, USERS
from genre.serving.stores.users import PERSONAL, Users
from tests.serving.clock import Clock
from tests.serving.postgres import Cluster

NOW = 1_700_000_000.0
TRACE = b"whose-trace"
"""In the id of a user to erase, and in all that is kept of them."""


def tell(database: Database, *events: dict[str, Any], scenario: str = "films") -> None:
    told = [Event(**{"item_id": "i", **one}) for one in events]
    Events(database).append([Batch(scenario, told, NOW)])


def fill(database: Database) -> tuple[str, list[str]]:
    """Add many users with events in disorder, so that rows move between pages, and return whom to erase and others."""
    chance, trace = random.Random(0), TRACE.decode()
    erased, others = f"{trace}-user", [f"user-{n}" for n in range(200)]
    users = Users(database)
    for part in range(6):
        events = []
        for n in range(500):
            mine = chance.random() < 0.05
            words = "x" * chance.randrange(60)
            context = {"said": f"{trace} {words}" if mine else words}
            user_id = erased if mine else chance.choice(others)
            event_id = f"{chance.random()}-{trace if mine else ''}-{part}-{n}"
            events.append({"event_id": event_id, "user_id": user_id, "context": context})
        tell(database, *events)
        users.put("films", {user: {"age": part, "about": "y" * part} for user in others})
        users.put("films", {erased: {"about": f"{trace} {part}"}})
    return erased, others


def test_tables_of_persons_are_known_by_their_column() -> None:
    assert {EVENTS, USERS} == set(PERSONAL)


def test_what_is_known_is_kept_replaced_and_read_page_by_page(database: Database) -> None:
    users = Users(database)
    users.put("films", {f"u{n}": {"age": n, "tags": ["a", "电影"]} for n in range(5)})
    users.put("films", {"u1": {"name": None}})
    users.put("books", {"u1": {"age": 99}})
    users.put("films", {})
    assert users.get("films", "u1") == {"name": None}
    assert users.get("films", "u9") is None
    pages = list(users.all("films", size=2))
    assert [list(page) for page in pages] == [["u0", "u1"], ["u2", "u3"], ["u4"]]
    assert pages[1]["u2"] == {"age": 2, "tags": ["a", "电影"]}


@pytest.mark.parametrize(("user_id", "data"), [("", {}), ("u", {"age": float("nan")}), ("u", {"at": object()})])
def test_what_cannot_be_kept_is_refused_and_nothing_is(database: Database, user_id: str, data: dict[str, Any]) -> None:
    users = Users(database)
    with pytest.raises(DataError):
        users.put("films", {"good": {}, user_id: data})
    assert users.get("films", "good") is None


def test_the_export_has_everything(database: Database) -> None:
    users = Users(database, now=Clock(NOW))
    tell(
        database,
        {"event_id": "1", "user_id": "u", "event": "watch", "value": 0.5, "context": {"arm": "b"}},
        {"event_id": "2", "user_id": "u", "event": "impression", "list_id": "l", "position": 0},
        {"event_id": "3", "user_id": "v"},
    )
    users.put("films", {"u": {"age": 30}})
    exported = users.export("films", "u")
    assert exported == {
        "scenario": "films",
        "user_id": "u",
        "events": [
            {"seq": 1, "event_id": "1", "item_id": "i", "timestamp": NOW, "received": NOW, "event": "watch",
             "value": 0.5, "context": {"arm": "b"}},
            {"seq": 2, "event_id": "2", "item_id": "i", "timestamp": NOW, "received": NOW, "event": "impression",
             "list_id": "l", "position": 0},
        ],
        "users": [{"data": {"age": 30}, "created": NOW, "changed": NOW}],
    }  # fmt: skip
    assert json.loads(json.dumps(exported)) == exported
    assert users.export("films", "nobody", actor="key-1") == {
        "scenario": "films", "user_id": "nobody", "events": [], "users": [],
    }  # fmt: skip
    entries = [(one.actor, one.action, one.scenario, one.detail) for one in Audit(database).newest()]
    assert entries == [
        ("key-1", "user exported", "films", {"rows": {"events": 0, "users": 0}}),
        ("command line", "user exported", "films", {"rows": {"events": 2, "users": 1}}),
    ]


def test_erasing_one_leaves_the_others_and_says_only_how_many(database: Database) -> None:
    users, events = Users(database, now=Clock(NOW)), Events(database)
    for user in ("u", "v"):
        tell(database, {"event_id": f"{user}1", "user_id": user}, {"event_id": f"{user}2", "user_id": user})
        users.put("films", {user: {}})
    tell(database, {"event_id": "1", "user_id": "u"}, scenario="books")
    assert users.erase("films", ["u", "nobody"], actor="key-1") == {"events": 2, "users": 1}
    assert users.export("films", "u")["events"] == users.export("films", "u")["users"] == []
    assert [one.seq for one in events.of_user("films", "v")] == [3, 4]
    assert len(events.of_user("books", "u")) == 1
    exported, _, entry = Audit(database).newest()
    assert (exported.action, exported.detail) == ("user exported", {"rows": {"events": 0, "users": 0}})
    detail = {"users": 2, "rows": {"events": 2, "users": 1}}
    assert (entry.actor, entry.action, entry.scenario, entry.detail) == ("key-1", "users erased", "films", detail)
    # Numbers are not used again: who has read up to 4 misses nothing.
    tell(database, {"event_id": "5", "user_id": "w"})
    assert events.last("films") == 5


def test_nothing_of_an_erased_user_is_in_the_files_of_sqlite(
    sqlite_url: str, opened: Callable[..., Database], tmp_path: Path
) -> None:
    database = opened(sqlite_url)
    erased, others = fill(database)
    # Somebody has looked meanwhile, and keeps a connection.
    assert Users(opened(sqlite_url)).get("films", erased)
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert any(TRACE in path.read_bytes() for path in files)
    Users(database).erase("films", [erased])
    assert [path.name for path in tmp_path.iterdir() if TRACE in path.read_bytes()] == []
    assert sum(len(Events(database).of_user("films", user)) for user in others) == 3000 - 156


def test_nothing_of_an_erased_user_is_in_the_files_of_postgresql(
    cluster: Cluster, postgres_name: str, opened: Callable[..., Database]
) -> None:
    database = opened(cluster.url(postgres_name))
    erased, _ = fill(database)

    def found() -> set[str]:
        # Somebody else's transactions, as there are some all the time, and what the server does every few minutes.
        cluster.execute("CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT")
        paths = [path for path in cluster.data.rglob("*") if path.is_file()]
        return {path.relative_to(cluster.data).parts[0] for path in paths if TRACE in path.read_bytes()}

    cluster.execute("ANALYZE", database=postgres_name)
    assert "base" in found()
    Users(database).erase("films", [erased])
    assert found() == set()


def test_scrubbing_everything_keeps_everything(database: Database) -> None:
    tell(database, {"event_id": "1", "user_id": "u"})
    Users(database).put("films", {"u": {"age": 30}})
    before = Users(database).export("films", "u")
    database.scrub()
    assert Users(database).export("films", "u") == before


def test_a_reader_who_never_ends_is_told(sqlite_url: str, opened: Callable[..., Database]) -> None:
    database = opened(sqlite_url, wait=0.2)
    tell(database, {"event_id": "1", "user_id": "u"})
    with opened(sqlite_url).reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM events").all()
        with pytest.raises(ResourceError, match=r"still in the write-ahead log.*Scrub again"):
            Users(database).erase("films", ["u"])
    database.scrub()
    assert Events(database).of_user("films", "u") == []
