"""A running service whose database goes away, or has no room left: reads go on, and what was acknowledged is there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from genre.serving.app import make_app
from genre.serving.service import Service
from genre.serving.stores.database import Database
from genre.serving.stores.events import Events
from tests.serving.postgres import INSTALLED, Cluster
from tests.serving.running import running
from tests.serving.test_app import event, ids

AWAY = 30.0
"""Seconds."""


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """Return a PostgreSQL server for one test alone, which may stop it."""
    if not INSTALLED:
        pytest.skip("PostgreSQL is not installed: no /usr/lib/postgresql/*/bin/initdb")
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


class Load:
    """People who ask, and a program that tells of events, each some times a second, until they are told to stop."""

    def __init__(self, url: str) -> None:
        self.phase = "before"
        self.reads: dict[str, Counter[tuple[int, str]]] = {}
        self.events: dict[str, Counter[int]] = {}
        self.acknowledged: dict[str, int] = {}
        self._url, self._stop = url, threading.Event()
        self._threads = [threading.Thread(target=self._read), threading.Thread(target=self._tell)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _read(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=60) as client:
            while not self._stop.wait(0.05):
                phase = self.phase
                answer = client.post("/v1/recommend", json={"user_id": "ann", "deadline_ms": 30_000})
                said = answer.json().get("answered_by", "nobody")
                self.reads.setdefault(phase, Counter())[answer.status_code, said] += 1

    def _tell(self) -> None:
        number, again = 0, list[dict[str, Any]]()
        with httpx2.Client(base_url=self._url, timeout=60) as client:
            while not self._stop.wait(0.05):
                # What was refused is told again, with what is new.
                told = [*again, event(number, f"user-{number % 7}", "the-kid-1921")]
                phase, number = self.phase, number + 1
                answer = client.post("/v1/events", json={"events": told})
                self.events.setdefault(phase, Counter())[answer.status_code] += 1
                if answer.status_code == 200:
                    assert answer.json()["conflicts"] == 0
                    self.acknowledged |= dict.fromkeys((one["event_id"] for one in told), number)
                    again = []
                else:
                    assert answer.headers["retry-after"]
                    again = told


def wait_for(done: Callable[[], bool], patience: float = 60) -> None:
    until = time.monotonic() + patience
    while not done():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_without_its_database_for_half_a_minute_it_reads_on_and_loses_nothing(
    own_cluster: Cluster, films: Path, tmp_path: Path
) -> None:
    own_cluster.execute("CREATE DATABASE service")
    url = own_cluster.url("service")
    with running(tmp_path / "own", f"films={films}", "--no-studio", "--database", url) as service:

        def database() -> str:
            return str(httpx2.get(f"{service.url}/health/ready", timeout=30).json()["database"])

        assert database() == "up"
        with Load(service.url) as load:
            wait_for(lambda: load.events.get("before", Counter())[200] >= 10)
            load.phase = "going"
            own_cluster.stop("immediate")
            begun = time.monotonic()
            try:
                time.sleep(1)
                load.phase = "away"
                time.sleep(AWAY - 3)
                assert database() == "down"
                load.phase = "coming"
                time.sleep(max(0.0, begun + AWAY - time.monotonic()))
            finally:
                own_cluster.start()
            wait_for(lambda: load.events["coming"][200] >= 1)
            load.phase = "after"
            wait_for(lambda: load.events.get("after", Counter())[200] >= 10)
        assert database() == "up"
        assert service.end() == 0
    assert {said for seen in load.reads.values() for said in seen} == {(200, "model")}
    assert sum(load.reads["away"].values()) > 20
    assert set(load.events["before"]) == set(load.events["after"]) == {200}
    assert set(load.events["away"]) == {503}
    with Database.open(url) as opened:
        rows = [row for frame in Events(opened).since("films") for row in frame.select("event_id", "seq").rows()]
    assert [seq for _, seq in rows] == list(range(1, len(rows) + 1))
    there = Counter(event_id for event_id, _ in rows)
    assert set(there.values()) == {1}
    # What was refused, whether it was written at the last moment or not, was told again until it was acknowledged.
    assert set(load.acknowledged) == set(there)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of two megabytes, where that is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or shutil.which("mount") is None, reason="mounts as Linux does")
def test_on_a_full_disk_it_takes_no_events_reads_on_and_goes_on_when_there_is_room(
    serving: Callable[..., Service], small_disk: Path
) -> None:
    service = serving(database=small_disk / "genre.db")
    acknowledged, number, refused = set[str](), 0, 0
    with TestClient(make_app(service), base_url="http://localhost") as client:

        def tell() -> Any:
            nonlocal number
            told = [event(number + at, f"user-{at % 7}", "the-kid-1921", context={"a": "x" * 500}) for at in range(100)]
            number += 100
            answer = client.post("/v1/events", json={"events": told})
            if answer.status_code == 200:
                acknowledged.update(one["event_id"] for one in told)
            return answer

        client.post("/v1/events", json={"events": [event(-1, "ann", "the-kid-1921")]})
        while refused < 5:
            answer = tell()
            assert answer.status_code in {200, 503}, answer.text
            if answer.status_code == 503:
                refused += 1
                assert answer.json()["error"]["code"] == "away"
                assert answer.headers["retry-after"]
                assert str(small_disk) not in answer.text
            listed = client.post("/v1/recommend", json={"user_id": "ann", "n": 20})
            assert (listed.status_code, listed.json()["answered_by"]) == (200, "model")
            assert "the-kid-1921" not in ids(listed)
        assert acknowledged
        assert client.get("/v1/users/ann").json()["events"][0]["event_id"] == "e-1"
        subprocess.run(["mount", "-o", "remount,size=40m", small_disk], check=True)
        assert tell().status_code == 200
        assert client.put("/v1/items", json={"items": [{"item_id": "x", "title": "X"}]}).status_code == 200
        assert client.get("/health/ready").json()["database"] == "up"
        there = [row for frame in service.events.since("films") for row in frame["event_id"].to_list()]
        assert len(there) == len(set(there))
        assert acknowledged <= set(there)
    service.close()
