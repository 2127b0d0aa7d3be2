"""The client of a service, asking a real one over a real connection."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pytest

from genre import client as client_module
from genre.client import Client
from genre.client_answers import Item, Recommendations, Sent, made
from genre.core.errors import ConfigError, DataError, DependencyError, ModelError, ResourceError
from genre.serving.app import make_app
from genre.serving.keys import create_key
from genre.serving.service import Service
from genre.serving.stores.keys import StoredKeys
from tests.serving.conftest import listening, on_both

NEW = {"item_id": "brand/new?", "title": "A lighthouse keeper", "description": "A lighthouse, alone."}


@pytest.fixture
def asking(service: Service) -> Iterator[Client]:
    """Return a client of a service that needs no key."""
    with listening(make_app(service)) as url, Client(url) as client:
        yield client


def user_of(service: Service, row: int = 3) -> str:
    return str(service.scenario(None).live.engine.data.users.vocabulary.ids[row])


def events(count: int, first: int = 0) -> list[dict[str, Any]]:
    ids = ["alien-1979", "spirited-away-2001"]
    return [
        {"event_id": f"e{number}", "user_id": f"u{number % 9}", "item_id": ids[number % 2], "value": 5}
        for number in range(first, first + count)
    ]


def test_lists_are_those_of_the_engine(asking: Client, service: Service) -> None:
    user = user_of(service)
    answer = asking.recommend(user, n=5, reasons="en")
    engine = service.scenario(None).live.engine
    assert [item.item_id for item in answer.items] == engine.recommend(user, n=5)["item_id"].to_list()
    assert (answer.scenario, answer.version, answer.answered_by, answer.user_id) == ("films", "v1", "model", user)
    assert all(item.reason for item in answer.items)
    told = asking.recommend(history=["spirited-away-2001"], n=3, exclude=[answer.items[0].item_id], deadline_ms=20_000)
    assert len(told.items) == 3
    assert told.user_id is None
    near = asking.similar("spirited-away-2001", n=2, deadline_ms=20_000)
    assert [item.item_id for item in near.items] == engine.similar("spirited-away-2001", 2)["item_id"].to_list()
    assert asking.similar(text="a lighthouse", n=1).items[0].rank == 1


def test_texts_come_whole_and_as_they_are_written(asking: Client, service: Service) -> None:
    user = user_of(service)
    texts = asking.write(user, kinds=["synopsis", "reason"], n=2, place="video")
    assert [text.kind for text in texts.texts] == ["synopsis", "reason"] * 2
    assert texts.written_by == "service"
    assert " ".join(asking.stream(user, kind="synopsis", place="video")) == texts.texts[0].text
    with pytest.raises(DataError, match="kinds: there is no kind 'song'"):
        list(asking.stream(user, kind="song"))
    why = asking.why(user, str(texts.texts[0].item_id))
    assert why["rank"] == 1
    first = asking.chat("films from Japan", user_id=user, place="video")
    more = asking.chat("more", user_id=user, state=first.state, place="video")
    assert first.items
    assert not {item["item_id"] for item in more.items} & {item["item_id"] for item in first.items}
    assert asking.chat("films from Japan", place="video").text


def test_events_of_several_parts_are_taken_once(asking: Client) -> None:
    sent = asking.send(iter(events(2_100)))
    assert sent == Sent(new=2_100)
    assert asking.send(events(10)) == Sent(known=10)
    assert asking.send([{**events(1)[0], "value": 4}]) == Sent(conflicts=1, first_conflicts=("e0",))
    with pytest.raises(DataError, match="event 2: there is no `event_id`"):
        asking.send([*events(1, 9_000), {"user_id": "u", "item_id": "i"}])
    assert asking.send(events(1, 9_000)) == Sent(new=1), "a part with a mistake in it is not begun"
    with pytest.raises(DataError, match="event 1: this cannot be sent"):
        asking.send([{**events(1)[0], "value": float("nan")}])
    with pytest.raises(DataError, match="line 1"):
        asking.send([{"event_id": "x", "user_id": "u"}])


@on_both
def test_items_users_and_versions(asking: Client, service: Service) -> None:
    with pytest.raises(DataError, match="/v1/items: this cannot be sent: Out of range float"):
        asking.put_items([{**NEW, "year": float("nan")}])
    assert asking.put_items([NEW]) == {"brand/new?": "added"}
    assert asking.change_items([{"item_id": "brand/new?", "description": None}]) == {"brand/new?": "changed"}
    known = asking.item("brand/new?")
    assert (known.columns["title"], known.columns.get("description"), known.withdrawn) == (NEW["title"], None, False)
    asking.withdraw("brand/new?")
    assert asking.item("brand/new?").withdrawn
    with pytest.raises(DataError, match=r"there is no item '\.\.'\. Use an id of the catalogue\."):
        asking.item("..")
    asking.send(events(9))
    assert len(asking.export("u1")["events"]) == 1
    assert asking.erase("u1").rows["events"] == 1
    assert asking.export("u1")["events"] == []
    assert [(one.version, one.state) for one in asking.models()] == [("v1", "live")]
    with pytest.raises(DataError, match="'v1' is live and cannot become rejected"):
        asking.move("v1", "rejected")
    begun = asking.begin("spring", {"v1": 0.5, "other": 0.5})
    with pytest.raises(DataError, match=r"the experiment 'spring' runs.*Stop 'spring' first"):
        asking.begin("summer", {"v1": 0.5, "other": 0.5})
    assert (begun.state, begun.arms) == ("running", {"v1": 0.5, "other": 0.5})
    answer = asking.recommend(user_of(service))
    assert (answer.experiment, answer.arm in {"v1", "other"}) == ("spring", True)
    assert asking.stop("spring").state == "stopped"
    assert [one.state for one in asking.experiments()] == ["stopped"]
    health = asking.health()
    assert (health.status, health.scenarios) == ("ok", {"films": "v1"})
    service.draining = True
    assert asking.health().status == "draining"


def test_a_client_of_one_scenario_says_so(serving: Callable[..., Service]) -> None:
    with (
        listening(make_app(serving())) as url,
        Client(url, scenario="films") as films,
        Client(url, scenario="shop") as shop,
    ):
        assert films.recommend("u").scenario == "films"
        assert films.send(events(1)).new == 1
        assert films.put_items([NEW])
        assert films.models()
        for ask in (lambda: shop.recommend("u"), lambda: shop.send(events(1)), lambda: shop.item("x"), shop.models):
            with pytest.raises(DataError, match="scenario: there is no scenario 'shop'"):
                ask()


def test_keys_and_limits(serving: Callable[..., Service]) -> None:
    service = serving()
    keys = StoredKeys(service.database)
    reader, _ = create_key(keys, "reader", ["read"])
    slow, _ = create_key(keys, "slow", ["events"], rate=1)
    little, _ = create_key(keys, "little", ["events"], quota=1)
    service.keys.refresh()
    with listening(make_app(service)) as url:
        with Client(url) as nobody, pytest.raises(ConfigError, match="there is no valid key"):
            nobody.recommend("u")
        with Client(url, reader) as client:
            assert client.recommend("u").items
            with pytest.raises(ConfigError, match="key: the key does not open `events` here"):
                client.send(events(1))
        with Client(url, slow) as client:
            begun = time.monotonic()
            assert client.send(events(1)).new == client.send(events(1, 1)).new == 1
            assert time.monotonic() - begun > 0.9, "the service says when it may be asked again"
        with Client(url, little) as client:
            assert client.send(events(1, 2)).new == 1
            begun = time.monotonic()
            with pytest.raises(ResourceError, match="the key's quota is used up"):
                client.send(events(1, 3))
            assert time.monotonic() - begun < 5, "nobody waits until tomorrow"


def test_a_service_that_is_away_for_a_moment_gets_the_events(serving: Callable[..., Service]) -> None:
    service = serving()
    app = make_app(service)
    with listening(app) as url:
        port = int(url.rpartition(":")[2])
        client = Client(url, timeout=5)
        assert client.send(events(1)).new == 1
    with pytest.raises(ResourceError, match="the service cannot be reached"):
        client.recommend("u")
    with pytest.raises(ResourceError, match="the service cannot be reached"):
        client.send(events(1, 1), patience=0.3)
    with ThreadPoolExecutor(1) as pool, client:
        sending = pool.submit(client.send, events(2_100))
        time.sleep(0.5)
        assert not sending.done()
        with listening(app, port):
            assert sending.result(30) == Sent(new=2_099, known=1)


def test_what_was_taken_before_the_connection_broke_counts_once(service: Service) -> None:
    app, asked, lock = make_app(service), 0, threading.Lock()

    async def forgetful(scope: Any, receive: Any, send: Any) -> None:
        """Answer every other request with 503 after it was done."""
        nonlocal asked
        with lock:
            asked += 1
            lost = asked % 2 == 1

        async def nothing(_: Any) -> None:
            return

        await app(scope, receive, nothing if lost else send)
        if lost:
            await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})

    with listening(forgetful) as url, Client(url) as client:
        assert client.send(events(2_100)) == Sent(known=2_100)
        assert asked == 4
        with pytest.raises(ResourceError, match="/v1/recommend: the answer was 503"):
            client.recommend("u")
    assert service.events.last("films") == 2_100


def test_a_text_that_breaks_off_is_an_error() -> None:
    told = [("sentence", {"text": "One."}), ("error", {"problem": "the rest took too long"})]

    async def breaking(_: Any, __: Any, send: Any) -> None:
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        said = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in told)
        await send({"type": "http.response.body", "body": said.encode()})

    with listening(breaking) as url, Client(url) as client:
        sentences = client.stream("u")
        assert next(sentences) == "One."
        with pytest.raises(ModelError, match="the rest took too long"):
            next(sentences)
        told.pop()
        with pytest.raises(ResourceError, match="the connection ended before the text"):
            list(client.stream("u"))


def test_what_a_later_service_adds_is_no_error() -> None:
    item = {"rank": 1, "item_id": "a", "title": "A", "score": 0.5, "source": "personal", "colour": "red"}
    told = {"list_id": "l", "scenario": "s", "user_id": None, "version": "v", "answered_by": "model", "items": [item]}
    assert made(Recommendations, {**told, "mood": 1}) == Recommendations(
        "l", "s", None, "v", "model", (Item(1, "a", "A", 0.5, "personal"),)
    )


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (200, [], "the answer is none of a service"),
        (301, [(b"location", b"https://elsewhere.example/")], "the answer is to go to 'https://elsewhere.example/'"),
    ],
)
def test_who_is_no_service_is_noticed(status: int, headers: list[Any], words: str) -> None:
    asked: list[Any] = []

    async def page(scope: Any, _: Any, send: Any) -> None:
        asked.append(scope["path"])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"<html>"})

    with listening(page) as url, Client(url, "genre_a_b\n") as client:
        for ask in (lambda: client.recommend("u"), lambda: client.send(events(1)), client.health):
            with pytest.raises(ConfigError, match=words):
                ask()
    assert asked == ["/v1/recommend", "/v1/events", "/health/ready"]


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://a:b"])
def test_wrong_addresses_are_told(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a service"):
        Client(url)


def test_what_is_no_key_is_told() -> None:
    with pytest.raises(ConfigError, match="key: this is no key"):
        Client("http://localhost", "genre_\r\nx-y: z")


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "find_spec", lambda name: None if name == "httpx2" else find_spec(name))
    with pytest.raises(DependencyError, match="needs the library 'httpx2'"):
        Client("http://localhost:8000")


def test_the_import_is_light() -> None:
    code = "import sys, genre.client; print([n for n in ('httpx2', 'pydantic', 'polars', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
