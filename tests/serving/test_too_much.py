"""Whoever sends too much is told so at once, and nobody else waits for it."""

from __future__ import annotations

import json
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from starlette.testclient import TestClient

from genre.serving.app import make_app
from genre.serving.service import Service
from genre.serving.stores.database import Database
from genre.serving.stores.events import Events
from genre.serving.stores.models import Models
from tests.serving.conftest import served
from tests.serving.test_app import event

MANY = 1_000_000
MIB = 1 << 20
JSON, LINES = {"content-type": "application/json"}, {"content-type": "application/x-ndjson"}
PEOPLE = 50


def written(numbers: Sequence[int]) -> list[bytes]:
    return [
        b'{"event_id":"e%d","user_id":"user-%d","item_id":"spirited-away-2001","value":5}' % (number, number % PEOPLE)
        for number in numbers
    ]


def as_lines(count: int) -> Iterator[bytes]:
    for first in range(0, count, 500):
        yield b"\n".join(written(range(first, min(count, first + 500)))) + b"\n"


def as_list(count: int) -> Iterator[bytes]:
    yield b'{"events":['
    for first in range(0, count, 500):
        yield (b"," if first else b"") + b",".join(written(range(first, min(count, first + 500))))
    yield b"]}"


class Watched:
    """What others see of a process while it is busy, and how much memory it takes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.answers: set[tuple[int, str]] = set()
        self.before = self.peak = 0


@contextmanager
def watching(url: str, process: psutil.Process) -> Iterator[Watched]:
    """Ask for somebody all the time, and look at the memory."""
    seen, stop = Watched(), threading.Event()

    def ask() -> None:
        with httpx2.Client(base_url=url, timeout=30) as client:
            while not stop.wait(0.05):
                begun = time.monotonic()
                answer = client.post("/v1/recommend", json={"user_id": "somebody", "deadline_ms": 5_000})
                seen.seconds.append(time.monotonic() - begun)
                seen.answers.add((answer.status_code, answer.json()["answered_by"]))
                seen.peak = max(seen.peak, process.memory_info().rss)

    seen.before = seen.peak = process.memory_info().rss
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
        time.sleep(0.3)  # Whatever it leads to is seen too.
    finally:
        stop.set()
        thread.join()
    assert seen.answers == {(200, "model")}


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_a_million_events_in_one_request_are_refused_as_a_list_and_taken_as_lines(films: Path, sqlite_url: str) -> None:
    whole = b"".join(as_list(MANY))
    with served(films, sqlite_url) as (url, process), httpx2.Client(base_url=url, timeout=900) as client:
        client.post("/v1/recommend", json={"user_id": "somebody"})
        with watching(url, process) as seen:
            for content in (whole, as_list(200_000)):  # With its length ahead, and without.
                begun = time.monotonic()
                refused = client.post("/v1/events", content=content, headers=JSON)
                assert time.monotonic() - begun < 5
                error = refused.json()["error"]
                assert (refused.status_code, error["code"]) == (413, "too_long")
                assert "4,194,304 bytes" in error["problem"]
                assert "application/x-ndjson" in error["remedy"]
        assert seen.peak - seen.before < 32 * MIB, "what is refused is not read"
        assert max(seen.seconds) < 2
        del whole
        with watching(url, process) as seen:
            taken = client.post("/v1/events", content=as_lines(MANY), headers=LINES)
            assert taken.status_code == 200, taken.text
            assert taken.json()["new"] == MANY
        assert seen.peak - seen.before < 96 * MIB
        assert statistics.median(seen.seconds) < 0.25
        listed = client.post("/v1/recommend", json={"user_id": "user-7", "n": 5})
        assert "spirited-away-2001" not in {item["item_id"] for item in listed.json()["items"]}
    with Database.open(sqlite_url) as database:
        assert Events(database).last("films") == MANY


def test_the_limits_of_a_list_of_events_are_named(client: TestClient, service: Service) -> None:
    many = b"".join(as_list(20_001))
    assert len(many) < service.config.longest_body
    refused = client.post("/v1/events", content=many, headers=JSON)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["place"]) == (413, "too_long", "events")
    assert error["problem"] == "the request has more than 20,000 events"
    assert "application/x-ndjson" in error["remedy"]
    assert service.events.last("films") == 0
    one = client.post("/v1/events", content=b"x" * ((1 << 18) + 1), headers=LINES)
    assert (one.status_code, one.json()["error"]["problem"]) == (413, "a line has more than 262,144 bytes")


def test_a_part_of_many_is_written_beside_the_loop(client: TestClient, service: Service) -> None:
    taken = client.post("/v1/events", content=b"".join(as_list(1_000)), headers=JSON)
    assert taken.json()["new"] == 1_000
    wrong = client.post("/v1/events", json={"events": [*map(told, range(2_000)), {"event_id": "x"}]})
    assert (wrong.status_code, wrong.json()["error"]["place"]) == (422, "events.2000.user_id")
    assert service.events.last("films") == 1_000


def test_while_the_database_is_locked_changes_wait_bounded_and_all_else_goes_on(
    serving: Callable[..., Service], tmp_path: Path
) -> None:
    service = serving(store_threads=1, most_storing=2)
    change = {"items": [{"item_id": "new", "title": "A new one"}]}
    answers: list[Any] = []
    with (
        TestClient(make_app(service), base_url="http://localhost") as client,
        closing(sqlite3.connect(tmp_path / "service.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        threads = [
            threading.Thread(target=lambda: answers.append(client.put("/v1/items", json=change))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 10
        while service.lanes.changes.waiting < 2 and time.monotonic() < until:
            time.sleep(0.01)
        begun = time.monotonic()
        for full in (client.put("/v1/items", json=change), client.post("/v1/experiments/none/stop")):
            assert (full.status_code, full.json()["error"]["code"], full.headers["retry-after"]) == (429, "busy", "1")
        assert client.get("/v1/models").json()["versions"][0]["state"] == "live"
        assert client.get("/v1/experiments").json() == []
        assert client.post("/v1/recommend", json={"user_id": "u"}).json()["answered_by"] == "model"
        wrong = client.post("/v1/events", content=b"".join(as_list(1_000))[:-9], headers=JSON)
        assert wrong.status_code == 400, "a long body is read all the same"
        assert time.monotonic() - begun < 5
        assert 'genre_waiting{what="changes"} 2.0' in client.get("/metrics").text
        other.execute("ROLLBACK")
        for thread in threads:
            thread.join()
    assert sorted(answer.json()["changes"]["new"] for answer in answers) == ["added", "same"]


def test_nobody_waits_for_the_stores_for_ever(serving: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> None:
    service, go = serving(store_deadline=0.2), threading.Event()
    monkeypatch.setattr(Models, "all", lambda *_: go.wait(10))
    with TestClient(make_app(service), base_url="http://localhost") as client:
        begun = time.monotonic()
        late = client.get("/v1/models")
        assert (late.status_code, late.json()["error"]["code"]) == (503, "late")
        assert late.headers["retry-after"]
        assert time.monotonic() - begun < 5
        go.set()


@pytest.mark.parametrize(
    ("lane", "method", "path", "content"),
    [
        ("plain", "POST", "/v1/events", b"".join(as_list(1_000))),
        ("plain", "POST", "/v1/events", b"".join(as_list(300))),
        ("erasures", "DELETE", "/v1/users/u", b""),
        ("reads", "GET", "/v1/models", b""),
        ("changes", "POST", "/v1/models/v1", b'{"state": "live"}'),
        ("changes", "POST", "/v1/experiments", b'{"name": "x", "arms": {"a": 0.5, "b": 0.5}}'),
        ("changes", "DELETE", "/v1/items/spirited-away-2001", b""),
    ],
)
def test_every_kind_of_work_has_its_bound(
    client: TestClient, service: Service, lane: str, method: str, path: str, content: bytes
) -> None:
    vars(getattr(service.lanes, lane))["_most"] = 0
    full = client.request(method, path, content=content, headers=JSON)
    assert (full.status_code, full.json()["error"]["code"]) == (429, "busy")
    assert full.headers["retry-after"] == "1"


def told(number: int) -> dict[str, Any]:
    return event(number, "u", "spirited-away-2001")


ITEMS = b",".join([b"{}"] * 300_000)
FIELDS = b",".join(b'"field-%d":1' % number for number in range(100_000))


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("/v1/events", b'{"events":[' + ITEMS + b"]}", "Field required"),
        ("/v1/events", b'{"events":[{"event_id":"e",' + FIELDS + b"}]}", " things are wrong"),
        ("/v1/recommend", b'{"history":[' + ITEMS + b"]}", "Input should be a valid string"),
        ("/v1/recommend", b'{"user_id":"u",' + FIELDS + b"}", "there are 100,001 fields"),
        ("/v1/write", b'{"user_id":"u","history":[' + ITEMS + b"]}", "Input should be a valid string"),
        ("/v1/similar", b'{"item_id":"i",' + FIELDS + b"}", "there are 100,001 fields"),
        ("/v1/items", b'{"items":[' + b",".join([b"1"] * 300_000) + b"]}", "valid dictionary"),
    ],
)
def test_a_list_of_mistakes_is_not_made(client: TestClient, path: str, content: bytes, words: str) -> None:
    """Each mistake costs a kilobyte and some microseconds to tell of: a body of a few megabytes held all up."""
    begun = time.monotonic()
    ask: Callable[..., Any] = client.put if path == "/v1/items" else client.post
    answer = ask(path, content=content, headers=JSON)
    assert answer.status_code == 422
    assert words in answer.json()["error"]["problem"]
    assert len(json.dumps(answer.json())) < 1_000
    assert time.monotonic() - begun < 2
