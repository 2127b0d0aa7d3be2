"""Versions of a model: what may become of one, and that only one answers."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from genre.core.errors import ConfigError, DataError
from genre.serving.stores.audit import Audit
from genre.serving.stores.database import Database
from genre.serving.stores.models import Models, State, Version
from tests.serving.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(10.0)


@pytest.fixture
def models(database: Database, clock: Clock) -> Models:
    return Models(database, now=clock)


def test_a_version_is_tried_goes_live_and_comes_back(models: Models, clock: Clock, database: Database) -> None:
    for name in ("1", "2"):
        models.add("films", name, f"runs/{name}", reason="nightly", actor="key-1")
    models.add("books", "1", "elsewhere")
    models.move("films", "1", "live")
    clock.now = 20.0
    models.move("films", "2", "canary", share=0.05)
    assert models.move("films", "2", "canary", share=0.25).share == 0.25
    live, canary = models.on_duty("films")
    assert live == Version("films", "1", "runs/1", "live", None, "", 10.0, 10.0)
    assert canary == Version("films", "2", "runs/2", "canary", 0.25, "", 10.0, 20.0)
    clock.now = 30.0
    models.move("films", "2", "live", reason="NDCG@10 rose by 3 %")
    assert models.all("films") == [
        Version("films", "1", "runs/1", "retired", None, "2 went live", 10.0, 30.0),
        Version("films", "2", "runs/2", "live", None, "NDCG@10 rose by 3 %", 10.0, 30.0),
    ]
    models.move("films", "1", "live", reason="complaints", actor="key-2")
    assert [one.state for one in models.all("films")] == ["live", "retired"]
    assert models.on_duty("books") == (None, None)
    newest, *_, oldest = Audit(database).newest(scenario="films")
    assert (newest.actor, newest.action, newest.detail["version"]) == ("key-2", "model live", "1")
    assert (oldest.actor, oldest.action) == ("key-1", "model added")


@pytest.mark.parametrize(
    ("path", "state", "ways"),
    [
        ([], "retired", "canary or live or rejected"),
        (["live"], "rejected", "retired"),
        (["rejected"], "live", "nothing else"),
        (["live", "retired"], "canary", "live"),
    ],
)
def test_what_may_not_become_of_one_is_told(models: Models, path: list[State], state: State, ways: str) -> None:
    models.add("films", "1", "p")
    for step in path:
        models.move("films", "1", step)
    was = path[-1] if path else "candidate"
    with pytest.raises(DataError, match=rf"'1' is {was} and cannot become {state}\. It can become {ways}\."):
        models.move("films", "1", state, share=0.5 if state == "canary" else None)


def test_mistakes_are_named(models: Models) -> None:
    for name in ("1", "2"):
        models.add("films", name, "p")
    models.move("films", "1", "canary", share=0.5)
    with pytest.raises(DataError, match="'1' is the canary"):
        models.move("films", "2", "canary", share=0.5)
    with pytest.raises(DataError, match=r"no version '3'\. Choose from \['1', '2'\]"):
        models.move("films", "3", "live")
    with pytest.raises(DataError, match="there is a version '1' already"):
        models.add("films", "1", "p")
    for state, share in (("canary", None), ("canary", 1.0), ("canary", 0.0), ("live", 0.5)):
        with pytest.raises(ConfigError, match=r"the share .* does not fit the state"):
            models.move("films", "1", state, share=share)  # type: ignore[arg-type]


def test_two_that_go_live_at_once_do_so_one_after_the_other(
    url: str, opened: Callable[..., Database], models: Models
) -> None:
    for name in ("1", "2"):
        models.add("films", name, "p")
    threads = [threading.Thread(target=Models(opened(url)).move, args=("films", name, "live")) for name in ("1", "2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.state for one in models.all("films")) == ["live", "retired"]
