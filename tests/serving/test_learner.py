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
from genre.serving.learner import LESSON, Learner
from genre.serving.learning import Learned
from genre.serving.service import Service
from genre.serving.stores.audit import Audit
from genre.serving.stores.models import Models
from tests.serving.clock import Clock
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
        learner = Learner(service.config, service.scenarios, service.database)
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
        Learner(service.config, service.scenarios, service.database).learn(
            "films", service.scenario(None), threading.Event()
        )
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
    learner = Learner(service.config, service.scenarios, service.database)
    assert learner.learn("films", service.scenario(None), stop) is None
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
    told = Told(service.config.model_copy(update={"learn_every": 0.1 / 3600}), service.scenarios, service.database)
    stop = threading.Event()
    thread = threading.Thread(target=told.work, args=(stop,))
    thread.start()
    assert done.wait(10)
    stop.set()
    thread.join()
    assert set(lessons) == {"films"}


class Counting(Learner):
    """Gives lessons that find nothing, or break, and never waits long to look whether one is due."""

    def __init__(self, service: Service, clock: Clock, hours: float = 24) -> None:
        self.lessons, self.breaks = 0, False
        config = service.config.model_copy(update={"learn_every": hours})
        super().__init__(config, service.scenarios, service.database, now=clock)

    def learn(self, *_: object) -> int:
        self.lessons += 1
        if self.breaks:
            raise OSError("no process can be started")
        return 0

    def looked(self) -> int:
        """Look once at what is due, and return how many lessons there were by then."""

        class Once(threading.Event):
            looks = 0

            def wait(self, timeout: float | None = None) -> bool:
                assert timeout is not None
                assert timeout <= 60
                self.looks += 1
                return self.looks > 1

        self.work(Once())
        return self.lessons


def test_a_service_that_is_started_anew_goes_on_counting(serving: Callable[..., Service]) -> None:
    service = serving()
    (first,) = service.scenario(None).versions()
    clock = Clock(first.created + 23.9 * 3600)
    assert Counting(service, clock).looked() == 0
    clock.now += 0.2 * 3600
    assert Counting(service, clock).looked() == 1, "it was started a moment ago, and has not learned for a day"
    assert Counting(service, clock).looked() == 0, "a lesson that found nothing counts as well"
    clock.now += 24 * 3600
    broken = Counting(service, clock)
    broken.breaks = True
    assert broken.looked() == broken.looked() == 1
    assert Counting(service, clock).looked() == 0, "and so does one that broke"
    outcomes = [one.detail["outcome"] for one in Audit(service.database).newest() if one.action == LESSON]
    assert outcomes == ["failed", "learned"]


def test_a_version_that_was_made_by_hand_counts_and_a_wrong_clock_puts_nothing_off(
    serving: Callable[..., Service],
) -> None:
    service = serving()
    scenario, name = service.scenario(None), "films"
    clock = Clock(scenario.versions()[0].created + 30 * 3600)
    Models(service.database, now=lambda: clock.now - 3600).add(name, "v2", "somewhere")
    assert Counting(service, clock).looked() == 0
    Audit(service.database).note(LESSON, name, actor="test", detail={}, time=clock.now + 1e9)
    assert Counting(service, clock).last(name, scenario) == clock.now - 3600
    clock.now += 24 * 3600
    assert [Counting(service, clock).looked() for _ in range(2)] == [1, 0]


def test_a_lesson_that_ends_with_the_service_is_given_by_the_next_one(serving: Callable[..., Service]) -> None:
    service = serving()
    clock, stop = Clock(service.scenario(None).versions()[0].created + 25 * 3600), threading.Event()

    class Ended(Counting):
        def learn(self, *_: object) -> None:  # type: ignore[override]
            stop.set()

    Ended(service, clock, hours=1e-6).work(stop)
    assert Counting(service, clock).looked() == 1
