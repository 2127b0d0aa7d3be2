"""Somebody is erased while something is made of what is kept of them: nothing of it brings them back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from genre.core.errors import ResourceError
from genre.data.files import load_dataset
from genre.erasing import erase_from_run, erasing_lock, versions_beside
from genre.evaluation.gate import GateConfig
from genre.pipeline import REPORT
from genre.serving import learning, opening
from genre.serving.app import make_app
from genre.serving.learning import LearnConfig, learn, learn_from_store
from genre.serving.live import LiveVersion
from genre.serving.service import Service
from genre.serving.stores.models import Models
from genre.serving.versions import Versions
from tests.serving.conftest import files_with, on_both
from tests.serving.test_app import event
from tests.serving.test_changing import Files, move, wait_until

LENIENT = LearnConfig(
    gate=GateConfig(least_questions=1, tolerance=0.99, drift=1, origin=1, variety=0, latency=100),
)
ANN = "ann-who-is-new"


def clients_of(service: Service) -> TestClient:
    return TestClient(make_app(service), base_url="http://localhost")


def tell(client: TestClient, service: Service) -> str:
    """Tell of many events, some of them Ann's, and return a user of the run who has some too."""
    data = service.scenario(None).live.engine.data
    users, items = data.users.vocabulary.ids, data.items.vocabulary.ids
    rng = np.random.default_rng(0)
    told = [event(number, str(users[number % len(users)]), str(items[int(rng.integers(60))])) for number in range(300)]
    told += [event(1000 + number, ANN, str(item)) for number, item in enumerate(items[:30])]
    assert client.post("/v1/events", json={"events": told}).json()["new"] == 330
    return str(users[5])


def knows(version: LiveVersion, user: str) -> bool:
    engine = version.engine
    return engine.data.users.vocabulary.rows([user])[0] >= 0 or bool(engine.recent.of(user))


TRAINED, WRITTEN, NOTED = "while it is trained", "when it is written", "just before it is noted"


@pytest.mark.parametrize(
    ("moment", "who"),
    [
        (TRAINED, "known"),
        (NOTED, "new"),
        pytest.param(TRAINED, "new", marks=pytest.mark.slow),
        pytest.param(WRITTEN, "known", marks=pytest.mark.slow),
        pytest.param(WRITTEN, "new", marks=pytest.mark.slow),
        pytest.param(NOTED, "known", marks=pytest.mark.slow),
    ],
)
def test_a_candidate_that_has_learned_from_somebody_is_thrown_away(
    serving: Callable[..., Service],
    own_films: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    who: str,
) -> None:
    service = serving(own_films)
    name = {TRAINED: "candidate_of", WRITTEN: "finish", NOTED: "erasing_lock"}[moment]
    plain = getattr(learning, name)
    with clients_of(service) as client:
        known = tell(client, service)
        user = known if who == "known" else ANN

        def erasing(*given: Any, **more: Any) -> Any:
            monkeypatch.setattr(learning, name, plain)
            found = plain(*given, **more)
            assert own_films.with_name("films.v2").exists() == (moment == NOTED)
            assert client.delete(f"/v1/users/{user}").status_code == 200
            return found

        monkeypatch.setattr(learning, name, erasing)
        with pytest.raises(ResourceError, match="a user was erased while this was learned from"):
            learn_from_store(own_films, service.database, "films", config=LENIENT)
        assert [one.version for one in Models(service.database).all("films")] == ["v1"]
        assert files_with(user, tmp_path) == []
        assert not own_films.with_name("films.v2").exists()
        again = learn_from_store(own_films, service.database, "films", config=LENIENT).version
        assert again is not None
        assert (again.version, again.state) == ("v2", "live")
        wait_until(lambda: service.scenario(None).live.name == "v2")
        assert files_with(user, tmp_path) == []
        assert not any(knows(version, user) for version in service.scenario(None)._loaded.values())


def test_without_a_database_the_version_that_was_learned_on_tells(
    own_films: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_dataset(films / "data" / "all")
    user = str(data.users.vocabulary.ids[5])
    items = data.items.vocabulary.ids
    rows = [(str(name), str(items[at % 50]), 2_000_000_000, 5.0) for at, name in enumerate(data.users.vocabulary.ids)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "value"], orient="row")
    plain = learning.candidate_of

    def erasing(*given: Any) -> Any:
        found = plain(*given)
        with erasing_lock(own_films):
            assert erase_from_run(own_films, {user})
        return found

    monkeypatch.setattr(learning, "candidate_of", erasing)
    with pytest.raises(ResourceError, match="a user was erased"):
        learn(own_films, events, config=LENIENT)
    assert [one.version for one in Versions(own_films).all()] == ["v1"]
    assert files_with(user, tmp_path) == []


@pytest.mark.slow
def test_what_a_killed_process_has_left_is_erased_too(
    serving: Callable[..., Service], own_films: Path, films: Path, tmp_path: Path
) -> None:
    service = serving(own_films)
    user = str(service.scenario(None).live.engine.data.users.vocabulary.ids[5])
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    beside = own_films.parent
    orphan = Path(shutil.copytree(films, beside / "films.v2"))
    manifest = json.loads((orphan / "manifest.json").read_text(encoding="utf-8"))
    (orphan / REPORT).unlink()
    del manifest["files"][REPORT]
    (orphan / "manifest.json").write_text(json.dumps({**manifest, "version_of": "films"}), encoding="utf-8")
    shutil.copytree(films, beside / f".films.v3.{ended.pid}.tmp")
    shutil.copytree(films, beside / ".films.old")
    shutil.copytree(films, beside / f".films.v4.{os.getpid()}.tmp")  # Somebody is at work on it.
    other = Path(shutil.copytree(films, beside / "films.vegan"))
    with clients_of(service) as client:
        erased = client.delete(f"/v1/users/{user}")
        assert (erased.status_code, erased.json().get("runs")) == (200, 2), erased.text
    left = {Path(path).relative_to(beside).parts[0] for path in files_with(user, tmp_path)}
    assert left == {f".films.v4.{os.getpid()}.tmp", other.name}
    only = beside / ".films.v9.old"
    shutil.copytree(films, only)
    assert versions_beside(orphan) == [own_films, orphan]
    assert only.exists(), "there is no other"


@pytest.mark.parametrize("who", ["known", pytest.param("new", marks=pytest.mark.slow)])
@on_both
@pytest.mark.slow
def test_a_version_that_is_loaded_meanwhile_does_not_bring_somebody_back(
    serving: Callable[..., Service],
    own_films: Path,
    films: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    who: str,
) -> None:
    service = serving(own_films)
    second = Path(shutil.copytree(films, tmp_path / "second"))
    Models(service.database).add("films", "second", str(second))
    files = Files(slow=second.name)
    monkeypatch.setattr(opening, "open_run", files)
    with clients_of(service) as client:
        known = tell(client, service)
        user = known if who == "known" else ANN
        loading = threading.Thread(target=move, args=(client, "second", "canary"), kwargs={"share": 0.5})
        loading.start()
        assert files.reading.wait(20)
        answers: list[int] = []
        erasing = threading.Thread(target=lambda: answers.append(client.delete(f"/v1/users/{user}").status_code))
        erasing.start()
        time.sleep(0.3)
        files.may.set()
        for thread in (loading, erasing):
            thread.join(30)
        assert answers == [200]
        canary = service.scenario(None).canary
        assert canary is not None
        assert not knows(canary[0], user)
        assert not knows(service.scenario(None).live, user)
        assert files_with(user, tmp_path) == []


@pytest.mark.parametrize("how", [pytest.param("a version is loaded", marks=pytest.mark.slow), "the service starts"])
@pytest.mark.slow
def test_what_another_process_erases_while_a_version_is_loaded_is_forgotten(
    serving: Callable[..., Service],
    own_films: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    here = serving(own_films)
    Models(here.database).add("films", "second", str(Path(shutil.copytree(own_films, tmp_path / "second"))))
    with clients_of(here) as client:
        known = tell(client, here)
        warm, done = LiveVersion.warm, threading.Event()

        def erased(version: LiveVersion) -> None:
            # All has been read by now, and is the first to be erased since.
            warm(version)
            if not done.is_set():
                done.set()
                for user in (known, ANN):
                    assert client.delete(f"/v1/users/{user}").status_code == 200

        if how == "the service starts":
            monkeypatch.setattr(LiveVersion, "warm", erased)
            there = serving(own_films)
        else:
            there = serving(own_films)
            monkeypatch.setattr(LiveVersion, "warm", erased)
            there.scenario(None).move("second", "live", share=None, reason="", actor="test")
        assert done.is_set()
        scenario = there.scenario(None)
        wait_until(lambda: scenario._erased == scenario._audit.last("users erased", "films"))
        for user in (known, ANN):
            assert not any(knows(version, user) for version in scenario._loaded.values())
