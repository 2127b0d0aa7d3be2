"""The loop in whole: events come in, are learned by a process of its own, and a version goes live or not."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from genre.cli import app
from genre.serving.app import make_app
from genre.serving.learner import Learner
from genre.serving.learning import Learned
from genre.serving.service import Service
from genre.serving.stores.audit import Audit
from tests.serving.test_app import event


@pytest.mark.slow
@pytest.mark.parametrize("promoted", [True, False])
def test_what_comes_back_is_learned_and_goes_live_or_not(
    serving: Callable[..., Service], own_films: Path, promoted: bool
) -> None:
    lenient = ["least_questions=1", "tolerance=0.99", "drift=1", "origin=1", "variety=0", "latency=100"]
    service = serving(own_films, learn_gate=lenient if promoted else ["least_questions=100000"])
    scenario = service.scenario(None)
    users, items = scenario.live.engine.data.users.vocabulary.ids, scenario.live.engine.data.items.vocabulary.ids
    rng = np.random.default_rng(0)
    events = [
        event(number, str(users[int(rng.integers(len(users)))]), str(items[int(rng.integers(60))]))
        for number in range(400)
    ]
    with TestClient(make_app(service), base_url="http://localhost") as client:
        assert client.post("/v1/events", json={"events": events}).json()["new"] == 400
        learner = Learner(service.config, service.scenarios)
        ended = learner.learn("films", scenario, threading.Event())
        assert ended == int(not promoted)
        until = time.monotonic() + 10
        while len(scenario.versions()) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        new = scenario.versions()[-1]
        newest = Audit(service.database).newest(scenario="films")
        assert {one.actor for one in newest if one.detail.get("version") == "v2"} == {"background job"}
        assert (new.version, new.state) == ("v2", "live" if promoted else "rejected")
        assert new.reason
        while promoted and scenario.live.name != "v2" and time.monotonic() < until:
            time.sleep(0.05)
        assert scenario.live.name == ("v2" if promoted else "v1")
        page = client.get("/metrics").text
        decision = "promoted" if promoted else "rejected"
        assert f'genre_gate_total{{decision="{decision}",scenario="films"}} 1.0' in page
        assert client.post("/v1/recommend", json={"user_id": str(users[0])}).json()["answered_by"] == "model"


def test_a_lesson_is_noted_as_the_background_job_s(
    serving: Callable[..., Service], own_films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    told: dict[str, Any] = {}

    def start(command: list[str], **_: object) -> None:
        started.append(command)
        raise OSError("not in this test")

    service = serving(own_films)
    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(OSError, match="not in this test"):
        Learner(service.config, service.scenarios).learn("films", service.scenario(None), threading.Event())
    monkeypatch.undo()
    monkeypatch.setenv("GENRE_DATABASE", service.config.database)
    monkeypatch.setattr(
        "genre.serving.learning.learn_from_store",
        lambda *_, **given: told.update(given) or Learned(None, None, {"events": {"added": 0}}),
    )
    _, _, _, *arguments = started[0]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert told["actor"] == "background job"


def test_a_lesson_ends_with_the_service(serving: Callable[..., Service], own_films: Path) -> None:
    service = serving(own_films)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    begun = time.monotonic()
    assert Learner(service.config, service.scenarios).learn("films", service.scenario(None), stop) is None
    assert time.monotonic() - begun < 15


def test_a_service_learns_every_so_often(serving: Callable[..., Service]) -> None:
    lessons: list[str] = []
    done = threading.Event()

    class Told(Learner):
        def learn(self, name: str, *_: object) -> int:
            lessons.append(name)
            if len(lessons) == 3:
                done.set()
            return 0

    service = serving()
    told = Told(service.config.model_copy(update={"learn_every": 0.1 / 3600}), service.scenarios)
    stop = threading.Event()
    thread = threading.Thread(target=told.work, args=(stop,))
    thread.start()
    assert done.wait(10)
    stop.set()
    thread.join()
    assert set(lessons) == {"films"}
