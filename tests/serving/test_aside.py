"""A process that ranks: the same lists as here, and lists all the same where it is not there."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from genre.core.errors import ModelError
from genre.core.queries import Candidates, Queries, Recommendations
from genre.data.files import load_dataset
from genre.engine import Engine
from genre.runs import open_run
from genre.serving import aside as module
from genre.serving.app import make_app
from genre.serving.aside import Aside, Copy
from genre.serving.service import Service
from tests.serving.test_app import event, ids, user_of


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy models at once, and start what has died again at once."""
    for name in ("_QUIET", "_AGAIN"):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(module, "_LOOK", 0.02)


@pytest.fixture
def aside() -> Iterator[Aside]:
    one = Aside()
    yield one
    one.close()
    assert not one.is_up


@pytest.fixture
def engine(films: Path) -> Engine:
    return open_run(films)


def until(met: Callable[[], Any], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def asked(engine: Engine) -> tuple[Queries, Candidates]:
    _, queries = engine.asked(engine.data.users.vocabulary.ids.to_list()[:9], None)
    return queries, engine.candidates(queries)


def alike(one: Recommendations, other: Recommendations) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("item_rows", "scores", "sources"))


class Stubborn:
    """A model that cannot be taken apart, and fails at its second question."""

    def __init__(self) -> None:
        self.lock, self.asked = threading.Lock(), 0

    def recommend(self, queries: Queries, n: int, *, candidates: Candidates | None = None) -> Recommendations:
        self.asked += 1
        if self.asked > 1:
            raise ModelError("it does not know", place="stubborn", remedy="Ask another one.")
        return Recommendations.empty(len(queries), n)


def test_a_copy_ranks_as_the_model_does_and_stays_until_it_is_dropped(aside: Aside, engine: Engine) -> None:
    queries, candidates = asked(engine)
    here = engine.model.recommend(queries, 20, candidates=candidates)
    copied = Copy(aside, engine.model)
    assert alike(copied.recommend(queries, 20, candidates=candidates), here), "whether it is there or not"
    until(lambda: aside.has(copied._key))
    there = aside.recommend(copied._key, queries, 20, candidates)
    assert there is not None
    assert alike(there, here)
    assert alike(engine.answer(queries, 10, model=copied), engine.answer(queries, 10))
    copied.drop()
    assert not aside.has(copied._key)
    assert aside._said((copied._key, (queries, 20, candidates))) is None, "the process itself has it no more"
    assert alike(copied.recommend(queries, 20, candidates=candidates), here)


def test_a_copy_that_nobody_holds_any_more_goes(aside: Aside, engine: Engine) -> None:
    copied = Copy(aside, engine.model)
    key = copied._key
    until(lambda: aside.has(key))
    del copied
    gc.collect()
    until(lambda: not aside.has(key))
    assert not aside._wanted


@pytest.mark.slow
def test_a_process_that_is_killed_is_replaced_and_nobody_notices(aside: Aside, engine: Engine) -> None:
    queries, candidates = asked(engine)
    here = engine.model.recommend(queries, 20, candidates=candidates)
    copied = Copy(aside, engine.model)
    until(lambda: aside.has(copied._key))
    before = aside._process.pid
    os.kill(before or 0, signal.SIGKILL)
    for _ in range(20):
        assert alike(copied.recommend(queries, 20, candidates=candidates), here)
    until(lambda: aside.is_up and aside.has(copied._key) and aside._process.pid != before)
    there = aside.recommend(copied._key, queries, 20, candidates)
    assert there is not None
    assert alike(there, here)


@pytest.mark.slow
def test_a_process_that_does_not_answer_is_ended(aside: Aside, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, candidates = asked(engine)
    copied = Copy(aside, engine.model)
    until(lambda: aside.has(copied._key))
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    os.kill(aside._process.pid or 0, signal.SIGSTOP)
    begun = time.monotonic()
    assert copied.recommend(queries, 20, candidates=candidates).filled.any()
    assert time.monotonic() - begun < 5
    monkeypatch.setattr(module, "_PATIENCE", 20.0)
    until(lambda: aside.has(copied._key))


def test_a_model_that_cannot_be_copied_ranks_here_and_says_itself_what_is_wrong(
    aside: Aside, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    queries, _ = asked(engine)
    stubborn: Any = Stubborn()
    copied = Copy(aside, stubborn)
    until(lambda: not aside._wanted)
    assert "cannot be copied" in caplog.text
    assert not copied.recommend(queries, 5).filled.any()
    with pytest.raises(ModelError, match="it does not know"):
        copied.recommend(queries, 5)


@pytest.mark.slow
def test_a_service_that_ranks_aside_answers_like_any_other(
    serving: Callable[..., Service], own_films: Path
) -> None:
    service = serving(own_films, rank_aside=True)
    assert service.aside is not None
    with TestClient(make_app(service), base_url="http://localhost") as client:
        user = user_of(service)

        def listed(**asking: Any) -> list[str]:
            answer = client.post("/v1/recommend", json={"user_id": user, "n": 5, **asking})
            assert answer.json()["answered_by"] == "model"
            return ids(answer)

        def has_copy() -> bool:
            copied = service.scenario(None).live._copy
            return (
                copied is not None
                and copied.model is service.scenario(None).live.engine.model
                and (service.aside is not None and service.aside.has(copied._key))
            )

        here = listed()
        until(has_copy)
        assert listed() == here
        assert client.post("/v1/events", json={"events": [event(1, user, here[0])]}).status_code == 200
        assert here[0] not in listed(), "an event changes the next answer"
        title = load_dataset(own_films / "data" / "all").items.title.to_list()[0]
        new = {"item_id": "new", "title": f"{title} again"}
        assert client.put("/v1/items", json={"items": [new]}).status_code == 200
        assert "new" in listed(n=280, history=[here[1]]), "before the longer model is there"
        until(has_copy)
        assert "new" in listed(n=280, history=[here[1]])
        assert client.delete(f"/v1/users/{user}").status_code == 200
        assert client.post("/v1/recommend", json={"user_id": user}).status_code == 200
        assert "genre_rank_aside_up 1.0" in client.get("/metrics").text
        assert client.post("/v1/recommend", json={"history": ["no such item"]}).status_code == 422
