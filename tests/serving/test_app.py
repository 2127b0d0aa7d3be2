"""The service over HTTP: what it answers, to whom, and how it says no."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from genre.serving.app import make_app
from genre.serving.drift import DriftWatch
from genre.serving.keys import create_key
from genre.serving.service import Service
from genre.serving.stores.audit import Audit
from genre.serving.stores.keys import StoredKeys
from genre.serving.stores.models import Models
from tests.serving.conftest import on_both

NEW = {"item_id": "brand-new", "title": "A lighthouse keeper and the sea", "description": "A lighthouse, alone."}


def user_of(service: Service, row: int = 3) -> str:
    return str(service.scenario(None).live.engine.data.users.vocabulary.ids[row])


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer.json()["items"]]


def event(number: int, user: str, item: str, **more: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "user_id": user, "item_id": item, "value": 5, **more}


def test_everybody_gets_a_list_and_its_source_is_named(client: TestClient, service: Service) -> None:
    known = client.post("/v1/recommend", json={"user_id": user_of(service), "n": 5})
    assert known.status_code == 200
    assert known.headers["x-content-type-options"] == "nosniff"
    body = known.json()
    assert [item["rank"] for item in body["items"]] == [1, 2, 3, 4, 5]
    assert body["items"][0]["source"] == "personal"
    assert (body["scenario"], body["version"], body["answered_by"]) == ("films", "v1", "model")
    engine = service.scenario(None).live.engine
    assert ids(known) == engine.recommend(user_of(service), n=5)["item_id"].to_list()
    stranger = client.post("/v1/recommend", json={"user_id": "nobody", "n": 3}).json()
    assert {item["source"] for item in stranger["items"]} == {"popular"}
    told = client.post("/v1/recommend", json={"history": ["spirited-away-2001"], "n": 5, "exclude": ids(known)})
    assert not {"spirited-away-2001", *ids(known)} & set(ids(told))
    assert told.json()["user_id"] is None


@on_both
def test_an_event_changes_the_next_answer_and_counts_once(client: TestClient, service: Service) -> None:
    for number in range(20):
        before = ids(client.post("/v1/recommend", json={"user_id": "newcomer", "n": 5}))
        sent = {"events": [event(number, "newcomer", before[0])]}
        assert client.post("/v1/events", json=sent).json()["new"] == 1
        after = client.post("/v1/recommend", json={"user_id": "newcomer", "n": 5})
        assert before[0] not in ids(after)
        assert client.post("/v1/events", json=sent).json() | {"first_conflicts": []} == {
            "new": 0, "known": 1, "conflicts": 0, "bounded": 0, "first_conflicts": [],
        }  # fmt: skip
    assert service.scenario(None).live.engine.data.num_users == 80
    assert after.json()["items"][0]["source"] != "popular"


@on_both
def test_json_lines_come_in_any_number(client: TestClient, service: Service) -> None:
    items = service.scenario(None).live.engine.data.items.vocabulary.ids
    lines = [json.dumps(event(number, f"u{number % 7}", str(items[number % 50]))) for number in range(5_000)]
    answer = client.post(
        "/v1/events", content="\n".join(lines), headers={"content-type": "application/x-ndjson; charset=utf-8"}
    )
    assert answer.json()["new"] == 5_000
    wrong = client.post(
        "/v1/events", content=lines[0] + '\n{"event_id": 1}\n', headers={"content-type": "application/x-ndjson"}
    )
    assert wrong.status_code == 422
    assert wrong.json()["error"]["place"] == "line 2"


@on_both
def test_items_come_change_and_go_at_once(client: TestClient) -> None:
    assert client.put("/v1/items", json={"items": [NEW]}).json() == {"changes": {"brand-new": "added"}}
    found = client.post("/v1/similar", json={"text": "the lighthouse keeper, alone by the sea", "n": 3})
    assert ids(found)[0] == "brand-new"
    assert client.patch("/v1/items", json={"items": [{"item_id": "brand-new", "title": "Storm"}]}).status_code == 200
    item = client.get("/v1/items/brand-new").json()
    assert (item["columns"]["title"], item["columns"]["description"]) == ("Storm", NEW["description"])
    assert client.delete("/v1/items/brand-new").status_code == 200
    assert client.get("/v1/items/brand-new").json()["withdrawn"]
    assert "brand-new" not in ids(client.post("/v1/similar", json={"text": "the lighthouse keeper", "n": 50}))
    assert client.put("/v1/items", json={"items": [NEW]}).json()["changes"] == {"brand-new": "changed"}
    again = client.post("/v1/similar", json={"text": "the lighthouse keeper, alone by the sea", "n": 3})
    assert ids(again)[0] == "brand-new"


@on_both
def test_an_item_that_the_run_began_with_is_changed_and_withdrawn(client: TestClient, service: Service) -> None:
    user = user_of(service)
    first = ids(client.post("/v1/recommend", json={"user_id": user, "n": 1}))[0]
    assert client.delete(f"/v1/items/{first}").json()["changes"] == {first: "changed"}
    assert first not in ids(client.post("/v1/recommend", json={"user_id": user, "n": 50}))
    other = ids(client.post("/v1/recommend", json={"user_id": user, "n": 1}))[0]
    put = client.put("/v1/items", json={"items": [{"item_id": other, "title": "Another title"}, NEW]})
    assert put.json()["changes"] == {other: "changed", NEW["item_id"]: "added"}
    gone = client.delete("/v1/items/there-is-none")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "no_item")


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([{"title": "no id"}], "`item_id` is None"),
        ([{"item_id": "x"}, {"item_id": "x"}], "'x' stands twice"),
        ([{"item_id": "x", "titel": "A"}], "there is no column 'titel'"),
        ([{"item_id": "x", "year": "soon"}], "'soon' is no"),
        ([{"item_id": "x", "year": True}], "True is no Float64"),
        ([{"item_id": "x", "year": "1e999"}], "'1e999' is no Float64"),
        ([{"item_id": "x", "genres": {"a": {"b": 1}}}], "{'a': {'b': 1}} is no List(String)"),
    ],
)
@on_both
def test_wrong_items_change_nothing(client: TestClient, items: list[Any], words: str) -> None:
    answer = client.put("/v1/items", json={"items": [NEW, *items]})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert words in error["problem"]
    assert error["place"].startswith("items, row ")
    assert error["remedy"]
    assert client.get("/v1/items/brand-new").status_code == 404


def test_texts_are_written_and_streamed(client: TestClient, service: Service) -> None:
    asked = {"user_id": user_of(service), "n": 2, "kinds": ["synopsis", "reason"], "place": "video"}
    body = client.post("/v1/write", json=asked).json()
    assert body["written_by"] == "service"
    assert [text["kind"] for text in body["texts"]] == ["synopsis", "reason"] * 2
    assert all(text["text"] for text in body["texts"])
    streamed = client.post("/v1/write", json={**asked, "kinds": ["synopsis"], "stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    told = [json.loads(line[6:])["text"] for line in streamed.text.splitlines() if line.startswith('data: {"text')]
    assert " ".join(told) == body["texts"][0]["text"]
    assert streamed.text.endswith("event: end\ndata: {}\n\n")
    wrong = client.post("/v1/write", json={**asked, "kinds": ["/etc/passwd.j2"]})
    assert (wrong.status_code, wrong.json()["error"]["place"]) == (422, "kinds")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "status", "code", "words"),
    [
        ({"item_ids": ["no such item"]}, 404, "no_item", "there is no item 'no such item'"),
        ({"item_ids": ["spirited-away-2001", "none"], "kinds": ["path"]}, 404, "no_item", "there is no item 'none'"),
        ({"history": ["no such item"]}, 422, "wrong", "'no such item'"),
        ({"kinds": ["answer"]}, 422, "wrong", "question"),
        ({"scenario": "shop"}, 404, "no_scenario", "there is no scenario 'shop'"),
    ],
)
def test_what_is_wrong_with_a_text_is_said_before_it_begins(
    client: TestClient, stream: bool, asked: dict[str, Any], status: int, code: str, words: str
) -> None:
    answer = client.post("/v1/write", json={"user_id": "u", "place": "video", "stream": stream, **asked})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert words in error["problem"]
    assert error["remedy"]


def test_a_stranger_is_written_for(client: TestClient) -> None:
    asked = {"user_id": "nobody", "kinds": ["synopsis"], "place": "video", "stream": True}
    streamed = client.post("/v1/write", json=asked)
    assert streamed.status_code == 200
    assert streamed.text.endswith("event: end\ndata: {}\n\n")
    assert "event: sentence" in streamed.text


def test_reasons_and_chat(client: TestClient, service: Service) -> None:
    user = user_of(service)
    listed = client.post("/v1/recommend", json={"user_id": user, "n": 2, "reasons": "zh"}).json()["items"]
    assert all(item["reason"] for item in listed)
    why = client.post("/v1/why", json={"user_id": user, "item_id": listed[0]["item_id"]}).json()
    assert (why["rank"], why["user_id"]) == (1, user)
    first = client.post("/v1/chat", json={"user_id": user, "message": "films from Japan", "place": "video"}).json()
    assert first["items"]
    more = client.post("/v1/chat", json={"user_id": user, "message": "more", "state": first["state"], "place": "video"})
    assert not {item["item_id"] for item in more.json()["items"]} & {item["item_id"] for item in first["items"]}
    bad = client.post("/v1/chat", json={"user_id": user, "message": "more", "state": '{"n": -1}'})
    assert bad.status_code == 422


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/v1/recommend", b"{", 400),
        ("/v1/recommend", b"[" * 100_000, 400),
        ("/v1/recommend", b'{"n": 3}', 422),
        ("/v1/recommend", b'{"user_id": "u", "n": 0}', 422),
        ("/v1/recommend", b'{"user_id": "u", "n": 2.5}', 422),
        ("/v1/recommend", b'{"user_id": "u", "n": true}', 422),
        ("/v1/recommend", b'{"user_id": "u", "n": "2"}', 422),
        ("/v1/recommend", b'{"user_id": "u", "n": 501.0}', 422),
        ("/v1/recommend", b'{"user_id": "u", "m": 1}', 422),
        ("/v1/recommend", b'{"user_id": "u\\u0000"}', 422),
        ("/v1/recommend", b'{"user_id": "u", "history": ["no such item"]}', 422),
        ("/v1/recommend", b'{"user_id": "u", "scenario": "shop"}', 404),
        ("/v1/events", b'{"events": []}', 422),
        ("/v1/events", b'{"events": [{"event_id": "e", "user_id": "u", "item_id": "i", "value": NaN}]}', 422),
        ("/v1/events", b"\xff\xfe", 400),
        ("/v1/models/v1", b'{"state": "rejected", "reason": "a\\u0000b"}', 422),
        ("/v1/recommend", b'{"user_id": "' + b"u" * (5 << 20) + b'"}', 413),
    ],
)
def test_what_cannot_be_understood_is_refused_with_words(
    client: TestClient, path: str, content: bytes, status: int
) -> None:
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["problem"]
    assert error["code"]
    assert "Traceback" not in answer.text
    assert len(answer.text) < 1_000


def test_a_whole_number_may_be_written_as_json_writes_it(client: TestClient) -> None:
    answer = client.post("/v1/recommend", content=b'{"user_id": "u", "n": 2.0, "deadline_ms": 2e4}')
    assert (answer.status_code, len(ids(answer))) == (200, 2)


@on_both
def test_keys_open_what_they_open(serving: Callable[..., Service]) -> None:
    service = serving()
    keys = StoredKeys(service.database)
    assert service.is_open
    secret, _ = create_key(keys, "reader", ["read"])
    elsewhere, _ = create_key(keys, "shop", ["admin"], scenario="shop")
    slow, _ = create_key(keys, "slow", ["read"], rate=1)
    service.keys.refresh()
    assert not service.is_open
    with TestClient(make_app(service), base_url="http://localhost") as client:

        def ask(key: str | None, path: str = "/v1/recommend", **more: Any) -> Any:
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            return client.post(path, json={"user_id": "u", **more}, headers=headers)

        assert client.get("/health/live").status_code == 200
        assert ask(None).status_code == ask("genre_000_x").status_code == 401
        assert ask(secret).status_code == 200
        refused = client.post(
            "/v1/events", json={"events": [event(1, "u", "i")]}, headers={"authorization": f"Bearer {secret}"}
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")
        assert ask(elsewhere, scenario="films").status_code == 403
        assert ask(elsewhere).json()["error"]["code"] == "no_scenario"
        assert ask(slow).status_code == 200
        late = ask(slow)
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) >= 1


def test_what_an_administrator_does_over_http_is_noted(service: Service) -> None:
    secret, key = create_key(StoredKeys(service.database), "office", ["admin"])
    service.keys.refresh()
    headers = {"authorization": f"Bearer {secret}"}
    with TestClient(make_app(service), base_url="http://localhost", headers=headers) as client:
        client.put("/v1/items", json={"items": [NEW]})
        client.patch("/v1/items", json={"items": [{"item_id": "brand-new", "title": "Storm"}]})
        client.delete("/v1/items/brand-new")
        client.get("/v1/users/somebody")
        client.get("/v1/items/brand-new")
    entries = [(one.actor, one.action, one.scenario) for one in Audit(service.database).newest(4)]
    actions = ("user exported", "items withdrawn", "items changed", "items put")
    assert entries == [(key.key_id, action, "films") for action in actions]
    assert "somebody" not in str(Audit(service.database).newest())


@on_both
def test_the_first_key_closes_the_service_to_those_without_one(client: TestClient, service: Service) -> None:
    assert client.get("/v1/models").status_code == 200
    create_key(StoredKeys(service.database), "first", ["read"])
    until = time.monotonic() + 10
    while client.get("/v1/models").status_code == 200 and time.monotonic() < until:
        time.sleep(0.1)
    assert client.get("/v1/models").status_code == 401


def test_without_keys_only_this_machine_is_answered(service: Service) -> None:
    with TestClient(make_app(service), base_url="http://somebody.example") as client:
        assert client.post("/v1/recommend", json={"user_id": "u"}).status_code == 401


@on_both
def test_what_watches_finds_what_it_looks_for(client: TestClient) -> None:
    client.post("/v1/recommend", json={"user_id": "u"})
    client.post("/v1/recommend", json={"user_id": 3})
    page = client.get("/metrics").text
    assert 'genre_requests_total{route="/v1/recommend",status="200"} 1.0' in page
    assert 'genre_requests_total{route="/v1/recommend",status="422"} 1.0' in page
    assert 'genre_answers_total{answered_by="model",scenario="films"} 1.0' in page
    assert 'genre_version{scenario="films",state="live",version="v1"} 1.0' in page
    ready = client.get("/health/ready").json()
    assert (ready["status"], ready["scenarios"]) == ("ok", {"films": "v1"})
    schema = client.get("/openapi.json").json()
    assert {"/v1/recommend", "/v1/events", "/v1/users/{user_id}"} <= set(schema["paths"])
    assert schema["components"]["schemas"]["RecommendRequest"]["examples"]


def test_another_version_begins_without_the_drift_of_the_one_before(
    client: TestClient, service: Service, films: Path
) -> None:
    live = service.scenario(None).live
    live.watch = DriftWatch(live.engine.data, size=2, least=1)
    live.watch.answered(np.array([[0.9], [0.9], [0.1], [0.1]]), np.array([3, 3, 9, 9]))
    live.watch.happened(["x"] * 4, ["impression"] * 4, [0] * 4)
    told = client.get("/metrics").text
    for what in ("drift_psi_score", "drift_psi_history_length", "click_rate_reference", "click_rate_position_0"):
        assert f'genre_drift{{scenario="films",what="{what}"}}' in told
    Models(service.database).add("films", "second", str(films))
    assert client.post("/v1/models/second", json={"state": "live"}).status_code == 200
    assert "genre_drift{" not in client.get("/metrics").text
    assert client.post("/v1/models/v1", json={"state": "live"}).status_code == 200
    assert client.get("/metrics").text.count("genre_drift{") == told.count("genre_drift{")


@on_both
def test_in_memory_and_after_a_start_anew_the_answers_are_the_same(serving: Callable[..., Service]) -> None:
    first = serving()
    with TestClient(make_app(first), base_url="http://localhost") as client:
        client.put("/v1/items", json={"items": [NEW]})
        client.post("/v1/events", json={"events": [event(1, "u", "spirited-away-2001"), event(2, "v", "brand-new")]})
        client.delete("/v1/items/spirited-away-2001")
        answers = [ids(client.post("/v1/recommend", json={"user_id": user})) for user in ("u", "v")]
    first.close()
    second = serving()
    with TestClient(make_app(second), base_url="http://localhost") as client:
        assert [ids(client.post("/v1/recommend", json={"user_id": user})) for user in ("u", "v")] == answers


@on_both
def test_two_processes_on_one_database_know_the_same(serving: Callable[..., Service]) -> None:
    here, there = serving(), serving()
    with TestClient(make_app(here), base_url="http://localhost") as client:
        client.post("/v1/events", json={"events": [event(1, "u", "spirited-away-2001")]})
        client.put("/v1/items", json={"items": [NEW]})
    other = there.scenario(None).live
    until = time.monotonic() + 5
    while time.monotonic() < until and (other.applied < 1 or other.revision < 1):
        time.sleep(0.02)
    assert [one.item_id for one in other.engine.recent.of("u")] == ["spirited-away-2001"]
    assert other.engine.data.items.vocabulary.rows(["brand-new"])[0] >= 0
