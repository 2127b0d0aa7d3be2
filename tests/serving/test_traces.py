"""Somebody who asks for everything and is erased leaves no trace: in the log, in the database's files, in the runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.serving.conftest import files_with
from tests.serving.running import Running, running
from tests.serving.test_app import event

ANN = "ann-4711-who-leaves"
SAID = "a-word-that-ann-4711-has-typed"
FILM = "the-kid-1921"
LINES = {"content-type": "application/x-ndjson"}


def everything(client: httpx2.Client) -> dict[str, int]:
    """Ask all routes about Ann, rightly and wrongly, and return what they said."""
    seen: dict[str, int] = {}

    def ask(method: str, path: str, **more: Any) -> None:
        seen[f"{len(seen)} {method} {path}"] = client.request(method, path, **more).status_code

    somebody = {"user_id": ANN, "deadline_ms": 100_000}
    told = event(1, ANN, FILM, context={"page": SAID})
    ask("POST", "/v1/events", json={"events": [told, event(2, ANN, "safety-last-1923")]})
    ask("POST", "/v1/events", content=json.dumps(event(3, ANN, "m-1931")).encode(), headers=LINES)
    ask("POST", "/v1/events", json={"events": [event(4, ANN, FILM, list_id=ANN, event="impression")]})
    ask("POST", "/v1/recommend", json={**somebody, "n": 5, "reasons": "en"})
    ask("POST", "/v1/similar", json={"text": SAID})
    ask("POST", "/v1/write", json={**somebody, "n": 2, "kinds": ["synopsis", "profile"], "begin": SAID})
    ask("POST", "/v1/write", json={**somebody, "n": 1, "kinds": ["reason"], "stream": True})
    ask("POST", "/v1/write", json={**somebody, "n": 1, "kinds": ["answer"], "question": SAID})
    ask("POST", "/v1/why", json={**somebody, "item_id": FILM})
    ask("POST", "/v1/chat", json={**somebody, "message": SAID})
    ask("GET", f"/v1/users/{ANN}")
    ask("GET", "/v1/models")
    ask("GET", "/metrics")
    right = len(seen)
    assert set(seen.values()) == {200}, seen
    # What is wrong is told of in the answer, and to nobody else.
    ask("POST", "/v1/events", json={"events": [{**told, "value": 1}, {"event_id": SAID, "user_id": ANN}]})
    ask("POST", "/v1/events", content=f'{{"user_id": "{ANN}"'.encode(), headers=LINES)
    ask("POST", "/v1/recommend", json={"user_id": ANN, "n": 0})
    ask("POST", "/v1/recommend", json={"user_id": ANN, "history": [SAID]})
    ask("POST", "/v1/recommend", json={"user_id": ANN, SAID: 1})
    ask("POST", "/v1/recommend", json={"user_id": ANN, "scenario": SAID})
    ask("POST", "/v1/similar", json={"item_id": ANN})
    ask("POST", "/v1/write", json={"user_id": ANN, "item_ids": [SAID]})
    ask("POST", "/v1/write", json={"user_id": ANN, "kinds": [SAID]})
    ask("POST", "/v1/why", json={"user_id": ANN, "item_id": SAID})
    ask("POST", "/v1/chat", json={"user_id": ANN, "message": "more", "state": f'{{"{SAID}": 1}}'})
    ask("GET", f"/v1/items/{ANN}")
    ask("DELETE", f"/v1/items/{ANN}")
    ask("POST", f"/v1/models/{ANN}", json={"state": "live"})
    ask("POST", f"/v1/experiments/{ANN}/stop")
    ask("GET", f"/v1/users/{ANN}?scenario={SAID}")
    ask("GET", f"/v1/{ANN}")
    ask("PUT", f"/v1/users/{ANN}")
    wrong = list(seen.values())[right:]
    assert all(400 <= status < 500 for status in wrong), seen
    return seen


def logged(service: Running) -> int:
    return sum(json.loads(line)["logger"] == "genre.access" for line in service.said()[1].splitlines())


@pytest.mark.slow
def test_of_somebody_who_is_erased_no_trace_is_left_that_a_process_has_made(own_films: Path, tmp_path: Path) -> None:
    data, said = tmp_path / "data", tmp_path / "said"
    data.mkdir()
    arguments = [f"films={own_films}", "--no-studio", "--database", f"sqlite:///{data / 'genre.db'}"]
    with running(said, *arguments) as service, httpx2.Client(base_url=service.url, timeout=100) as client:
        asked = everything(client)
        kept = [Path(path).name for path in files_with(ANN, data, own_films)]
        assert kept, "the search finds what there is"
        assert set(kept) <= {"genre.db", "genre.db-wal"}
        # The log knows of all that was asked, and names nobody while they are still there.
        until = time.monotonic() + 10
        while logged(service) < len(asked) - 1 and time.monotonic() < until:
            time.sleep(0.05)
        assert logged(service) == len(asked) - 1, "/metrics is asked every few seconds, and not logged"
        assert [word for word in (ANN, SAID) if word in "".join(service.said())] == []
        erased = client.delete(f"/v1/users/{ANN}")
        assert (erased.status_code, erased.json()["rows"]["events"]) == (200, 4)
        for word in (ANN, SAID):
            assert files_with(word, data, own_films, said) == []
        assert client.get(f"/v1/users/{ANN}").json()["events"] == []
        assert service.end() == 0
    for word in (ANN, SAID):
        assert files_with(word, data, own_films, said) == []
