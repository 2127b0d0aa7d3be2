"""While one version takes the place of another, everybody is answered, and nobody waits for what they do not need."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from genre.engine import Engine
from genre.serving import opening
from genre.serving.app import make_app
from genre.serving.service import Service
from genre.serving.stores.database import Database
from genre.serving.stores.models import Models
from tests.serving.conftest import on_both, served
from tests.serving.test_app import NEW, event, ids, user_of

AT_ONCE = 1.0
"""Seconds that a version which is in memory may take to answer in the place of another."""


class Files:
    """Runs whose files are read only when they may be."""

    def __init__(self, slow: str = "") -> None:
        self.read: list[str] = []
        self.may, self.reading = threading.Event(), threading.Event()
        self.slow = slow
        self._open = opening.open_run

    def __call__(self, path: Path) -> Engine:
        self.read.append(path.name)
        engine = self._open(path)
        if path.name == self.slow:
            self.reading.set()
            assert self.may.wait(30)
        return engine


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Return what reads runs in the place of the service."""
    files = Files()
    monkeypatch.setattr(opening, "open_run", files)
    return files


@pytest.fixture
def three(serving: Callable[..., Service], films: Path, own_films: Path) -> Iterator[tuple[TestClient, Service]]:
    """Return a service whose version `second` is live, `v1` the one before, and `third` not in memory."""
    service = serving()
    models = Models(service.database)
    models.add("films", "second", str(films))
    models.add("films", "third", str(own_films))
    with TestClient(make_app(service), base_url="http://localhost") as client:
        assert move(client, "second", "live") < 20
        yield client, service


def move(client: Any, version: str, state: str, **more: Any) -> float:
    """Bring a version to a state, and return the seconds until it was acknowledged."""
    begun = time.monotonic()
    answer = client.post(f"/v1/models/{version}", json={"state": state, **more})
    assert answer.status_code == 200, answer.text
    return time.monotonic() - begun


def version_for(client: Any, user: str) -> str:
    answer = client.post("/v1/recommend", json={"user_id": user, "n": 3})
    assert (answer.status_code, answer.json()["answered_by"]) == (200, "model")
    return str(answer.json()["version"])


def wait_until(true: Callable[[], object], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@on_both
def test_nobody_waits_for_a_version_that_is_being_loaded(
    three: tuple[TestClient, Service], files: Files, own_films: Path
) -> None:
    client, service = three
    files.slow = own_films.name
    promoted: list[float] = []
    thread = threading.Thread(target=lambda: promoted.append(move(client, "third", "canary", share=0.5)))
    thread.start()
    assert files.reading.wait(20)
    begun = time.monotonic()
    user = user_of(service)
    assert version_for(client, user) == "second"
    first = ids(client.post("/v1/recommend", json={"user_id": user, "n": 1}))[0]
    assert client.post("/v1/events", json={"events": [event(1, user, first)]}).json()["new"] == 1
    assert client.put("/v1/items", json={"items": [NEW]}).status_code == 200
    assert client.get("/v1/items/brand-new").status_code == 200
    assert move(client, "v1", "live") < AT_ONCE
    assert version_for(client, user) == "v1"
    assert move(client, "second", "live") < AT_ONCE
    assert version_for(client, user) == "second"
    assert time.monotonic() - begun < 5
    assert not promoted
    files.may.set()
    thread.join(20)
    assert {version_for(client, str(number)) for number in range(20)} == {"second", "third"}
    canary = service.scenario(None).canary
    assert canary is not None
    engine = canary[0].engine
    assert [one.item_id for one in engine.recent.of(user)] == [first], "what came meanwhile is known"
    assert engine.data.items.vocabulary.rows(["brand-new"])[0] >= 0


@on_both
def test_a_version_that_another_process_promotes_is_loaded_beside(
    three: tuple[TestClient, Service], files: Files, own_films: Path
) -> None:
    client, service = three
    files.slow = own_films.name
    scenario, models = service.scenario(None), Models(service.database)
    models.move("films", "third", "live")
    assert files.reading.wait(20)
    assert version_for(client, "u") == "second", "the one before goes on"
    other = Database.open(service.config.database)
    service.items.put("films", {"brand-new": {"title": "A lighthouse"}})
    wait_until(lambda: scenario.live.engine.data.items.vocabulary.rows(["brand-new"])[0] >= 0, 5)
    Models(other).move("films", "v1", "live", reason="the new one was a mistake")
    other.close()
    wait_until(lambda: version_for(client, "u") == "v1", 2)
    files.may.set()
    assert scenario._loader is not None
    scenario._loader.join(20)
    assert version_for(client, "u") == "v1", "what has been loaded for nothing answers nobody"


def test_what_happens_while_a_version_gets_ready_is_in_its_first_answer(
    three: tuple[TestClient, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, service = three
    monkeypatch.setattr(service.scenario(None), "follow", lambda **_: None)  # Nothing is read later on.
    time.sleep(0.2)
    first = ids(client.post("/v1/recommend", json={"user_id": "u", "n": 1}))[0]
    warm = opening.LiveVersion.warm

    def tell(version: opening.LiveVersion) -> None:
        client.post("/v1/events", json={"events": [event(1, "u", first)]})
        warm(version)

    monkeypatch.setattr(opening.LiveVersion, "warm", tell)
    move(client, "third", "live")
    answer = client.post("/v1/recommend", json={"user_id": "u", "n": 10})
    assert answer.json()["version"] == "third"
    assert first not in ids(answer)


def test_a_damaged_arm_is_refused_once(three: tuple[TestClient, Service], files: Files, own_films: Path) -> None:
    client, service = three
    (own_films / "models" / "item_knn" / "state.safetensors").write_bytes(b"")
    arms = {"second": 0.5, "third": 0.5}
    assert client.post("/v1/experiments", json={"name": "spring", "arms": arms}).status_code == 200
    scenario = service.scenario(None)
    assert "not what the run wrote" in scenario.problems["third"]
    ticks = [0]
    follow = scenario.follow
    scenario.follow = lambda **given: (follow(**given), ticks.append(1))[0]  # type: ignore[method-assign, func-returns-value]
    wait_until(lambda: len(ticks) > 10)
    assert files.read.count(own_films.name) == 1
    assert {version_for(client, str(number)) for number in range(20)} == {"second"}, "the live one stands in"
    assert client.get("/health/ready").json()["problems"] == ["third"]
    scenario._noticed["third"] -= 60
    wait_until(lambda: files.read.count(own_films.name) == 2)
    assert client.post("/v1/experiments/spring/stop").status_code == 200
    wait_until(lambda: not scenario.problems)


def test_a_version_counts_as_promoted_when_it_answers_all(three: tuple[TestClient, Service]) -> None:
    client, _ = three

    def counted() -> dict[str, float]:
        lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith("genre_gate_total{")]
        return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}

    assert counted() == {"promoted": 1.0}, "the second has gone live"
    move(client, "third", "canary", share=0.1)
    move(client, "third", "canary", share=0.3)
    assert counted() == {"promoted": 1.0}, "a canary is on trial"
    move(client, "third", "rejected")
    assert counted() == {"promoted": 1.0, "rejected": 1.0}
    move(client, "v1", "live")
    assert counted() == {"promoted": 1.0, "rejected": 1.0}, "going back decides nothing"


@pytest.mark.slow
@pytest.mark.alone
def test_versions_change_under_load_and_no_request_fails(films: Path, own_films: Path, sqlite_url: str) -> None:
    seen: list[tuple[float, float, int, str]] = []
    stop = threading.Event()

    def ask(url: str, number: int) -> None:
        with httpx2.Client(base_url=url, timeout=20) as client:
            while not stop.is_set():
                sent = time.monotonic()
                answer = client.post("/v1/recommend", json={"user_id": f"user-{number}-{len(seen) % 50}"})
                version = answer.json().get("version", "") if answer.status_code == 200 else ""
                seen.append((sent, time.monotonic(), answer.status_code, version))

    with served(films, sqlite_url) as (url, _), httpx2.Client(base_url=url, timeout=60) as client:
        with Database.open(sqlite_url) as database:
            Models(database).add("films", "second", str(own_films))
        threads = [threading.Thread(target=ask, args=(url, number)) for number in range(6)]
        for thread in threads:
            thread.start()
        changes: list[tuple[float, float, str]] = []
        try:
            move(client, "second", "canary", share=0.1)
            assert [move(client, "second", "canary", share=share) < AT_ONCE for share in (0.3, 0.6, 0.9)] == [True] * 3
            for number in range(21):
                version, begun = ("second", "v1")[number % 2], time.monotonic()
                assert move(client, version, "live", reason=f"round {number}") < AT_ONCE
                changes.append((begun, time.monotonic(), version))
                time.sleep(0.3)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert {status for _, _, status, _ in seen} == {200}
    # Who asks after the change is acknowledged, and is answered before the next one, is answered by the new version.
    for (_, done, version), (begun, _, _) in zip(changes, [*changes[1:], (float("inf"), 0.0, "")], strict=True):
        named = [by for sent, answered, _, by in seen if sent > done and answered < begun]
        assert set(named) == {version}
