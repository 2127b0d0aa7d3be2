"""When something breaks: somebody who waits for a list gets one, and nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from genre import pipeline
from genre.config import Experiment
from genre.core.errors import ArtifactError, ConfigError
from genre.core.files import sha256
from genre.core.queries import Recommendations
from genre.data.files import load_dataset
from genre.engine import Engine
from genre.language.base import Completion, Prompt
from genre.serving.app import make_app
from genre.serving.counting import CountedGenerator
from genre.serving.experiments import arm_of, context_of, outcomes
from genre.serving.learner import Learner
from genre.serving.service import Service
from genre.serving.settings import ServeConfig
from genre.serving.stores.experiments import Experiments
from genre.serving.stores.models import Models
from genre.workspace import MANIFEST
from tests.serving.conftest import SETTINGS, files_with, on_both
from tests.serving.test_app import event, ids, user_of


@pytest.fixture
def asking(serving: Callable[..., Service]) -> Iterator[Callable[..., tuple[TestClient, Service]]]:
    """Return what starts a service with settings, and a client."""
    clients: list[TestClient] = []

    def start(*given: Any, **settings: Any) -> tuple[TestClient, Service]:
        service = serving(*given, **settings)
        clients.append(TestClient(make_app(service), base_url="http://localhost"))
        clients[-1].__enter__()
        return clients[-1], service

    yield start
    for client in clients:
        client.__exit__(None, None, None)


def only_writer(service: Service) -> Any:
    return service.writer(service.scenario(None))


def recommend(client: TestClient, **asked: Any) -> Any:
    return client.post("/v1/recommend", json={"n": 5, **asked})


def test_a_model_that_is_too_slow_is_not_waited_for(
    asking: Callable[..., tuple[TestClient, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, service = asking(deadline=0.3)
    user = user_of(service)
    usual = ids(recommend(client, user_id=user, n=8, deadline_ms=20_000))
    answer = Engine.answer

    def slow(*given: Any, **more: Any) -> Recommendations:
        time.sleep(1)
        return answer(*given, **more)

    monkeypatch.setattr(Engine, "answer", slow)
    begun = time.monotonic()
    last = recommend(client, user_id=user)
    stranger = recommend(client, user_id="nobody")
    assert time.monotonic() - begun < 1.5
    assert (last.json()["answered_by"], ids(last)) == ("memory", usual[:5])
    assert stranger.json()["answered_by"] == "popular"
    client.post("/v1/events", json={"events": [event(1, user, usual[0])]})
    assert ids(recommend(client, user_id=user)) == usual[1:6]
    top = ids(stranger)[0]
    client.post("/v1/events", json={"events": [event(2, "nobody", top)]})
    client.delete(f"/v1/items/{ids(stranger)[1]}")
    again = ids(recommend(client, user_id="nobody", exclude=[ids(stranger)[2]]))
    assert not set(again) & set(ids(stranger)[:3])
    assert len(again) == 5
    page = client.get("/metrics").text
    assert 'genre_cache_total{cache="lists",result="hit"} 2.0' in page
    assert 'genre_cache_total{cache="lists",result="miss"} 2.0' in page


def test_a_model_that_fails_is_stood_in_for_and_counted(
    asking: Callable[..., tuple[TestClient, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = asking()

    def broken(*_: Any, **__: Any) -> Recommendations:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Engine, "answer", broken)
    answer = recommend(client, user_id="nobody")
    assert answer.json()["answered_by"] == "popular"
    assert len(ids(answer)) == 5
    assert 'genre_model_errors_total{scenario="films"} 1.0' in client.get("/metrics").text


def test_a_list_does_not_wait_longer_for_its_reasons_than_for_itself(
    asking: Callable[..., tuple[TestClient, Service]],
) -> None:
    client, service = asking(deadline=0.5, writers=1, writing_deadline=8)
    asked = {"user_id": user_of(service), "reasons": "en"}
    assert all(item["reason"] for item in recommend(client, **asked, deadline_ms=20_000).json()["items"])
    go = threading.Event()
    service.slow.begin(lambda: go.wait(20))
    for more in ({}, {"deadline_ms": 300}):
        begun = time.monotonic()
        listed = recommend(client, **asked, **more).json()
        assert time.monotonic() - begun < 3
        assert (listed["answered_by"], len(listed["items"])) == ("model", 5)
        assert {item["reason"] for item in listed["items"]} == {None}
    begun = time.monotonic()
    late = client.post("/v1/similar", json={"item_id": "the-kid-1921", "deadline_ms": 50})
    assert time.monotonic() - begun < 3
    error = late.json()["error"]
    assert (late.status_code, error["code"], error["place"]) == (408, "late", "deadline_ms")
    go.set()
    near = client.post("/v1/similar", json={"item_id": "the-kid-1921", "deadline_ms": 20_000})
    assert near.status_code == 200


def test_one_bad_question_spoils_no_other(asking: Callable[..., tuple[TestClient, Service]]) -> None:
    client, service = asking()
    held = threading.Lock()
    answered = service.batcher._answer
    sizes: list[int] = []

    def together(asked: Any) -> Any:
        with held:
            sizes.append(len(asked))
        return answered(asked)

    service.batcher._answer = together
    results: dict[int, Any] = {}

    def ask(number: int) -> None:
        history = ["no such item"] if number == 3 else ["spirited-away-2001"]
        results[number] = recommend(client, history=history)

    with held:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert max(sizes) > 1
    assert [results[number].status_code for number in range(8)] == [200, 200, 200, 422, 200, 200, 200, 200]
    assert len({tuple(ids(results[number])) for number in range(8) if number != 3}) == 1


def test_too_many_are_told_to_come_again(
    asking: Callable[..., tuple[TestClient, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, service = asking(most_waiting=2, batch=1)
    go = threading.Event()
    answer = Engine.answer
    monkeypatch.setattr(Engine, "answer", lambda *given, **more: (go.wait(10), answer(*given, **more))[1])
    statuses: list[Any] = []
    threads = [threading.Thread(target=lambda: statuses.append(recommend(client, user_id="u"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert service.batcher.waiting <= 2
    go.set()
    for thread in threads:
        thread.join()
    refused = [answer for answer in statuses if answer.status_code == 429]
    assert refused
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert recommend(client, user_id="u").status_code == 200


def test_more_events_than_may_wait_are_told_to_come_again(
    asking: Callable[..., tuple[TestClient, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, service = asking()
    began, go, append = threading.Event(), threading.Event(), service.events.append

    def held(batches: Any) -> Any:
        began.set()
        go.wait(10)
        return append(batches)

    monkeypatch.setattr(service.intake, "_most", 1)
    monkeypatch.setattr(service.events, "append", held)
    answers: dict[int, Any] = {}

    def send(number: int) -> None:
        answers[number] = client.post("/v1/events", json={"events": [event(number, "u", "the-kid-1921")]})

    threads = [threading.Thread(target=send, args=(number,)) for number in range(2)]
    threads[0].start()
    assert began.wait(10)
    threads[1].start()
    until = time.monotonic() + 10
    while not service.intake.waiting and time.monotonic() < until:
        time.sleep(0.01)
    send(2)
    go.set()
    for thread in threads:
        thread.join()
    assert [answers[number].status_code for number in range(3)] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "1"
    assert "wait to be written, at most 1 may" in answers[2].json()["error"]["problem"]


class Hangs:
    """A language model that does not answer until it may."""

    key = "hangs"

    def __init__(self) -> None:
        self.go = threading.Event()

    def generate(self, prompts: Sequence[Prompt], **_: Any) -> list[Completion]:
        self.go.wait(30)
        return [Completion("", 0, 0) for _ in prompts]

    def stream(self, prompt: Prompt, **_: Any) -> Iterator[str]:
        self.go.wait(30)
        yield ""


def test_a_generator_that_hangs_leaves_texts_made_of_facts(
    asking: Callable[..., tuple[TestClient, Service]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.language.models import write_tiny

    write_tiny(tmp_path / "base", context=2048)
    generator = {"kind": "local", "model": str(tmp_path / "base"), "precision": "fp32"}
    write = {"generator": generator, "candidates": 1, "draws": 1}
    client, service = asking(write=write, writers=1, writing_deadline=0.3)
    hangs = Hangs()
    only_writer(service).generator = hangs
    asked = {"user_id": user_of(service), "n": 1, "kinds": ["synopsis"], "place": "video", "deadline_ms": 300}
    for _ in range(3):
        body = client.post("/v1/write", json=asked).json()
        assert (body["written_by"], body["texts"][0]["writer"]) == ("facts", "template")
        assert body["texts"][0]["text"]
    assert service.slow.stuck
    for more in ({"n": 3}, {"item_ids": [body["texts"][0]["item_id"], "the-kid-1921"]}):
        streamed = client.post("/v1/write", json={**asked, **more, "stream": True}).text
        assert streamed.count("event: sentence") == 1, "a stream is one text"
        assert json.loads(streamed.splitlines()[1][6:])["text"] == body["texts"][0]["text"]
    with monkeypatch.context() as patched:
        patched.setattr(Engine, "write", lambda *_, **__: [{"text": None}])
        silent = client.post("/v1/write", json={**asked, "stream": True}).text
        assert silent == "event: end\ndata: {}\n\n", "nothing could be said that is in the facts"
    # Texts from the facts have their bound too.
    vars(service.lanes.plain)["_most"] = 0
    for path, more in (("write", {}), ("write", {"stream": True}), ("chat", {"message": "hello"})):
        sent = {**asked, **more} if path == "write" else {"user_id": "u", **more}
        full = client.post(f"/v1/{path}", json=sent)
        assert (full.status_code, full.headers["retry-after"]) == (429, "1")
    hangs.go.set()
    until = time.monotonic() + 5
    while service.slow.stuck and time.monotonic() < until:
        time.sleep(0.02)
    assert not service.slow.stuck


def test_a_language_model_is_loaded_before_anybody_asks(
    asking: Callable[..., tuple[TestClient, Service]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.language.models import write_tiny

    write_tiny(tmp_path / "base", context=2048)
    generator = {"kind": "local", "model": str(tmp_path / "base"), "precision": "fp32"}
    client, service = asking(write={"generator": generator, "candidates": 1, "draws": 1, "sampling": {"max_tokens": 4}})
    writer = only_writer(service)
    assert isinstance(writer.generator, CountedGenerator)
    assert writer.generator._base is None
    service.warm()
    assert writer.generator._base is not None

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it is made again")

    monkeypatch.setattr("genre.language.local.load", never)
    monkeypatch.setattr("genre.serving.writers.Conversation", never)
    monkeypatch.setattr("genre.conversation.likeness.TextVectors.fit", never)
    user = user_of(service)
    written = client.post("/v1/write", json={"user_id": user, "n": 1, "kinds": ["synopsis"], "place": "video"})
    assert written.json()["written_by"] == "service"
    assert client.post("/v1/chat", json={"user_id": user, "message": "a quiet film"}).json()["text"]
    assert writer.conversation(service.scenario(None).live, "shop")._generator is writer.generator


def test_a_language_model_that_cannot_be_loaded_keeps_no_service_from_starting(
    asking: Callable[..., tuple[TestClient, Service]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generator = {"kind": "local", "model": str(tmp_path / "nothing"), "precision": "fp32"}
    client, service = asking(write={"generator": generator})
    service.warm()
    assert "there is no model at" in caplog.text
    asked = {"user_id": user_of(service), "n": 1, "kinds": ["synopsis"]}
    told = client.post("/v1/write", json=asked)
    assert (told.status_code, "there is no model at" in told.json()["error"]["problem"]) == (422, True)
    assert client.get("/health/ready").json()["status"] == "ok"


def test_a_language_model_that_takes_long_is_waited_for_only_so_long(
    serving: Callable[..., Service], caplog: pytest.LogCaptureFixture
) -> None:
    service = serving(write={"generator": {"kind": "fake"}})
    hangs = Hangs()
    only_writer(service).generator = hangs
    begun = time.monotonic()
    service.warm(0.2)
    assert 0.2 <= time.monotonic() - begun < 5
    assert "still being loaded" in caplog.text
    hangs.go.set()


def test_a_service_listens_when_its_language_model_is_there(
    films: Path, service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genre.serving import running

    class WarmError(Exception):
        """Ends it there."""

    def warm(_: Service) -> None:
        raise WarmError

    monkeypatch.setattr(running, "write_json_lines", lambda: None)
    monkeypatch.setattr(running, "make_app", lambda _: pytest.fail("it is open before"))
    monkeypatch.setattr(Service, "warm", warm)
    begun: list[Service] = []
    made = Service.__init__
    monkeypatch.setattr(Service, "__init__", lambda own, *given: (begun.append(own), made(own, *given))[1])
    with pytest.raises(WarmError):
        running.serve(ServeConfig.model_validate({"database": service_url}), {"films": films})
    begun[0].close()


def test_what_writes_elsewhere_is_asked_nothing_at_the_start(serving: Callable[..., Service]) -> None:
    endpoint = {"kind": "endpoint", "model": "any", "base_url": "http://127.0.0.1:9/v1"}
    service = serving(write={"generator": endpoint})
    hangs = Hangs()
    only_writer(service).generator = hangs
    before = set(threading.enumerate())
    service.warm(10)
    assert not hangs.go.is_set()
    assert not any(thread.name == "genre-warms" for thread in set(threading.enumerate()) - before)


def test_a_text_that_does_not_begin_in_time_is_an_error_and_one_that_breaks_off_says_so(
    asking: Callable[..., tuple[TestClient, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, service = asking(most_writing=1, writing_deadline=0.3)
    go = threading.Event()

    def hangs(*_: Any, **__: Any) -> Iterator[str]:
        go.wait(20)
        yield "Too late."

    def breaks(*_: Any, **__: Any) -> Iterator[str]:
        yield "One."
        raise ArtifactError("the rest is damaged", place="somewhere", remedy="Repair it.")

    asked = {"user_id": user_of(service), "place": "video", "stream": True}
    monkeypatch.setattr(Engine, "stream", hangs)
    late = client.post("/v1/write", json={**asked, "deadline_ms": 50})
    assert (late.status_code, late.json()["error"]["code"], late.json()["error"]["place"]) == (
        408,
        "late",
        "deadline_ms",
    )
    full = client.post("/v1/write", json=asked)
    assert (full.status_code, full.json()["error"]["code"]) == (429, "busy")
    assert int(full.headers["retry-after"]) >= 1
    go.set()
    until = time.monotonic() + 5
    while service.slow.waiting and time.monotonic() < until:
        time.sleep(0.02)
    monkeypatch.setattr(Engine, "stream", breaks)
    broken = client.post("/v1/write", json=asked)
    assert broken.status_code == 200
    assert [line for line in broken.text.splitlines() if line.startswith("event")] == [
        "event: sentence",
        "event: error",
    ]
    assert "the rest is damaged" in broken.text


@on_both
def test_a_version_goes_live_is_tried_and_taken_back(
    asking: Callable[..., tuple[TestClient, Service]], films: Path, own_films: Path
) -> None:
    client, service = asking()
    scenario, models = service.scenario(None), Models(service.database)
    models.add("films", "second", str(own_films))
    damaged = Path(shutil.copytree(films, own_films.with_name("damaged")))
    state = damaged / "models" / "item_knn" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    models.add("films", "damaged", str(damaged))

    refused = client.post("/v1/models/damaged", json={"state": "live"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "damaged")
    assert scenario.live.name == "v1"
    assert client.post("/v1/models/second", json={"state": "canary", "share": 0.3}).status_code == 200
    client.post("/v1/events", json={"events": [event(1, "somebody", "spirited-away-2001")]})
    by = {user: recommend(client, user_id=user).json()["version"] for user in map(str, range(100))}
    assert 12 < sum(version == "second" for version in by.values()) < 48
    assert by == {user: recommend(client, user_id=user).json()["version"] for user in map(str, range(100))}
    assert client.post("/v1/models/second", json={"state": "live", "reason": "better"}).status_code == 200
    assert recommend(client, user_id="somebody").json()["version"] == "second"
    assert [one.item_id for one in scenario.live.engine.recent.of("somebody")] == ["spirited-away-2001"]
    begun = time.monotonic()
    client.post("/v1/models/v1", json={"state": "live", "reason": "back"})
    assert recommend(client, user_id="somebody").json()["version"] == "v1"
    assert time.monotonic() - begun < 1
    states = {one["version"]: one["state"] for one in client.get("/v1/models").json()["versions"]}
    assert states == {"v1": "live", "second": "retired", "damaged": "candidate"}


@on_both
def test_a_version_that_another_process_lets_go_live_takes_over_unless_it_is_damaged(
    asking: Callable[..., tuple[TestClient, Service]], own_films: Path
) -> None:
    client, service = asking()
    scenario, models = service.scenario(None), Models(service.database)
    (own_films / "models" / "item_knn" / "state.safetensors").write_bytes(b"")
    models.add("films", "damaged", str(own_films))
    models.move("films", "damaged", "live")
    until = time.monotonic() + 5
    while not scenario.problems and time.monotonic() < until:
        time.sleep(0.02)
    assert "not what the run wrote" in scenario.problems["damaged"]
    assert recommend(client, user_id="u").json()["version"] == "v1"
    assert client.get("/health/ready").json()["problems"] == ["damaged"]
    assert 'genre_broken_versions{scenario="films"} 1.0' in client.get("/metrics").text
    models.move("films", "v1", "live")
    while scenario.problems and time.monotonic() < until:
        time.sleep(0.02)
    assert not scenario.problems


@on_both
def test_arms_of_an_experiment_are_fixed_and_of_their_sizes(asking: Callable[..., tuple[TestClient, Service]]) -> None:
    client, _ = asking()
    client.post("/v1/experiments", json={"name": "spring", "arms": {"live": 0.75, "other": 0.25}})
    arms = {}
    for user in map(str, range(150)):
        body = recommend(client, user_id=user, n=1).json()
        assert (body["experiment"], body["version"]) == ("spring", "v1")
        arms[user] = body["arm"]
    share = float(np.mean([arm == "other" for arm in arms.values()]))
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / 150) ** 0.5
    assert arms == {user: arm_of("spring", "films", {"live": 0.75, "other": 0.25}, user) for user in arms}
    assert client.post("/v1/experiments/spring/stop").json()["state"] == "stopped"
    assert recommend(client, user_id="7").json()["experiment"] is None


def test_where_ids_are_hidden_arms_are_those_that_the_context_names(
    asking: Callable[..., tuple[TestClient, Service]], own_films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENRE_PRIVACY_KEY", "a key that nobody knows, of thirty-two bytes")
    config = (own_films / "config.yaml").read_text(encoding="utf-8")
    manifest = json.loads((own_films / MANIFEST).read_text(encoding="utf-8"))
    (own_films / "config.yaml").write_text(f"{config}\nprivacy: {{hash_users: true}}\n", encoding="utf-8")
    manifest["files"]["config.yaml"] = sha256(own_films / "config.yaml")
    (own_films / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    client, service = asking(own_films)
    client.post("/v1/experiments", json={"name": "spring", "arms": {"live": 0.5, "other": 0.5}})
    (running,) = Experiments(service.database).all("films")
    users = [f"user {number}" for number in range(40)]
    answers = {user: recommend(client, user_id=user, n=1).json() for user in users}
    given = {user: {name: answers[user][name] for name in ("experiment", "arm")} for user in users}
    pseudonym = service.scenario(None).live.engine.pseudonym
    assert given == {user: context_of(running, user, pseudonym=pseudonym) for user in users}
    assert given != {user: context_of(running, user) for user in users}
    shown = [
        event(number, user, one["items"][0]["item_id"], event="impression", list_id=one["list_id"], context=given[user])
        for number, (user, one) in enumerate(answers.items())
    ]
    assert client.post("/v1/events", json={"events": shown}).json()["new"] == 40
    found = outcomes(running, service.events.since("films", 0))
    assert (sum(arm.users for arm in found.arms), found.moved) == (40, 0)


@on_both
def test_a_canary_has_its_share_while_an_experiment_runs(
    asking: Callable[..., tuple[TestClient, Service]], films: Path
) -> None:
    client, service = asking()
    models, users = Models(service.database), [str(number) for number in range(60)]
    for name in ("second", "third"):
        models.add("films", name, str(films))

    def seen() -> dict[str, tuple[Any, ...]]:
        answers = {user: recommend(client, user_id=user, n=1).json() for user in users}
        return {user: (one["version"], one["experiment"], one["arm"]) for user, one in answers.items()}

    def begin(name: str, arms: dict[str, float]) -> dict[str, str]:
        assert client.post("/v1/experiments", json={"name": name, "arms": arms}).status_code == 200
        return {user: arm_of(name, "films", arms, user) for user in users}

    client.post("/v1/models/third", json={"state": "canary", "share": 0.3})
    tried = {user for user, (version, *_) in seen().items() if version == "third"}
    assert abs(len(tried) - 18) < 4 * (60 * 0.3 * 0.7) ** 0.5

    arms = begin("look", {"wide": 0.5, "narrow": 0.5})
    assert seen() == {user: ("third" if user in tried else "v1", "look", arms[user]) for user in users}
    assert {arms[user] for user in tried} == {"wide", "narrow"}
    client.post("/v1/experiments/look/stop")

    arms = begin("models", {"v1": 0.5, "second": 0.5})
    compared = {user: (arms[user], "models", arms[user]) for user in users}
    assert seen() == compared | dict.fromkeys(tried, ("third", None, None))
    client.post("/v1/models/third", json={"state": "rejected"})
    assert seen() == compared


@on_both
def test_a_second_experiment_is_refused_while_one_runs(asking: Callable[..., tuple[TestClient, Service]]) -> None:
    client, _ = asking()
    arms = {"live": 0.5, "other": 0.5}
    assert client.post("/v1/experiments", json={"name": "spring", "arms": arms}).status_code == 200
    refused = client.post("/v1/experiments", json={"name": "summer", "arms": arms})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "occupied")
    assert "Stop 'spring' first" in refused.json()["error"]["remedy"]
    assert [one["name"] for one in client.get("/v1/experiments").json()] == ["spring"]
    assert recommend(client, user_id="7").json()["experiment"] == "spring"
    client.post("/v1/experiments/spring/stop")
    assert client.post("/v1/experiments", json={"name": "summer", "arms": arms}).status_code == 200
    assert recommend(client, user_id="7").json()["experiment"] == "summer"


def test_chance_is_told_with_its_odds(asking: Callable[..., tuple[TestClient, Service]]) -> None:
    client, service = asking()
    user = user_of(service)
    plain = recommend(client, user_id=user).json()["items"]
    assert all(item["propensity"] is None for item in plain)
    lists = [recommend(client, user_id=user, explore=0.5, diversity=0.3).json()["items"] for _ in range(40)]
    assert len({tuple(item["item_id"] for item in items) for items in lists}) > 20
    firsts = [items[0] for items in lists]
    assert all(0 < item["propensity"] < 1 for item in firsts)
    usual = max(firsts, key=lambda item: item["propensity"])
    share = float(np.mean([item["item_id"] == usual["item_id"] for item in firsts]))
    assert abs(share - usual["propensity"]) < 4 * (share * (1 - share) / 40) ** 0.5 + 0.01


def test_without_its_database_a_service_reads_on_and_takes_no_events(
    asking: Callable[..., tuple[TestClient, Service]], tmp_path: Path
) -> None:
    client, service = asking()
    assert client.post("/v1/events", json={"events": [event(1, "u", "spirited-away-2001")]}).json()["new"] == 1
    path = tmp_path / "service.db"
    aside = path.with_name("aside.db")
    path.rename(aside)
    refused = client.post("/v1/events", json={"events": [event(2, "u", "princess-mononoke-1997")]})
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert str(tmp_path) not in refused.text
    listed = recommend(client, user_id="u")
    assert listed.json()["answered_by"] == "model"
    assert "spirited-away-2001" not in ids(listed)
    until = time.monotonic() + 5
    while service.database_up and time.monotonic() < until:
        time.sleep(0.02)
    assert client.get("/health/ready").json()["database"] == "down"
    aside.rename(path)
    assert client.post("/v1/events", json={"events": [event(2, "u", "princess-mononoke-1997")]}).json()["new"] == 1
    assert client.get("/v1/users/u").json()["events"][0]["event_id"] == "e1"


@on_both
def test_nothing_is_left_of_somebody_who_is_erased(
    asking: Callable[..., tuple[TestClient, Service]], own_films: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="genre")
    client, service = asking(own_films)
    engine = service.scenario(None).live.engine
    lines = [json.loads(line) for line in (own_films / "content.jsonl").read_text(encoding="utf-8").splitlines()]
    user = max((line["user_id"] for line in lines), key=lambda name: len(engine.log_of(name)))
    for number, item in enumerate(engine.data.items.vocabulary.ids[:20]):
        client.post("/v1/events", json={"events": [event(number, user, item)]})
    recommend(client, user_id=user)
    assert files_with(user, own_films, tmp_path)
    exported = client.get(f"/v1/users/{user}").json()
    assert len(exported["events"]) == 20
    assert len(exported["log"]) > 20

    erased = client.delete(f"/v1/users/{user}").json()
    assert (erased["rows"]["events"], erased["runs"]) == (20, 1)
    assert files_with(user, own_films, tmp_path) == []
    told = [str(vars(record)) for record in caplog.records if record.name.startswith("genre")]
    assert any("/v1/users/{user_id:path}" in one for one in told), "what is asked is logged"
    assert not any(user in one for one in told)
    engine = service.scenario(None).live.engine
    assert engine.data.users.vocabulary.rows([user])[0] == -1
    assert not engine.recent.of(user)
    assert not any(user in who for who in service._remembered)
    gone = client.get(f"/v1/users/{user}").json()
    assert (gone["events"], gone["log"]) == ([], [])
    assert recommend(client, user_id=user).json()["items"][0]["source"] == "popular"
    service.close()
    later, _ = asking(own_films)
    assert later.get(f"/v1/users/{user}").json()["log"] == []
    assert recommend(later, user_id=user).json()["items"][0]["source"] == "popular"


def test_who_has_asked_is_answered_before_the_end(
    asking: Callable[..., tuple[TestClient, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, service = asking()
    answer = Engine.answer
    monkeypatch.setattr(Engine, "answer", lambda *given, **more: (time.sleep(0.5), answer(*given, **more))[1])
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(recommend(client, user_id="u")))
    thread.start()
    time.sleep(0.2)
    service.close()
    thread.join()
    assert results[0].json()["answered_by"] == "model"
    late = recommend(client, user_id="u")
    assert (late.status_code, late.json()["error"]["code"]) == (503, "draining")
    assert client.get("/health/ready").status_code == 503


@on_both
@pytest.mark.slow
def test_what_one_process_erases_the_others_forget(
    asking: Callable[..., tuple[TestClient, Service]], own_films: Path
) -> None:
    here, there = asking(own_films)[0], asking(own_films)[1]
    user = str(there.scenario(None).live.engine.data.users.vocabulary.ids[5])
    here.post("/v1/events", json={"events": [event(1, user, "spirited-away-2001"), event(2, "u", "the-kid-1921")]})
    until = time.monotonic() + 10
    while not there.scenario(None).live.engine.recent.of(user) and time.monotonic() < until:
        time.sleep(0.02)
    assert here.delete(f"/v1/users/{user}").json()["runs"] == 1
    while there.scenario(None).live.engine.log_of(user).height and time.monotonic() < until:
        time.sleep(0.02)
    engine = there.scenario(None).live.engine
    assert engine.log_of(user).is_empty()
    assert engine.data.users.vocabulary.rows([user])[0] == -1
    assert engine.log_of("u")["item_id"].to_list() == ["the-kid-1921"]


@on_both
def test_a_service_begins_with_what_was_live_before_a_damaged_version(
    asking: Callable[..., tuple[TestClient, Service]], serving: Callable[..., Service], films: Path, own_films: Path
) -> None:
    first = serving()
    models = Models(first.database)
    models.add("films", "v2", str(own_films))
    models.move("films", "v2", "live")
    first.close()
    state = own_films / "models" / "item_knn" / "state.safetensors"
    whole = state.read_bytes()
    state.write_bytes(whole[:-10])
    client, service = asking(films)
    assert recommend(client, user_id="u").json()["version"] == "v1"
    assert "v2" in service.scenario(None).problems
    state.write_bytes(whole)
    service.scenario(None)._noticed["v2"] -= 60
    until = time.monotonic() + 10
    while service.scenario(None).live.name != "v2" and time.monotonic() < until:
        time.sleep(0.02)
    assert recommend(client, user_id="u").json()["version"] == "v2"
    assert not service.scenario(None).problems


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        ({"x-forwarded-for": "10.0.0.7"}, 401),
        ({"origin": "http://localhost", "sec-fetch-site": "same-origin"}, 200),
        ({}, 200),
    ],
)
def test_a_page_of_another_site_cannot_ask_where_no_key_is_needed(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    sent = json.dumps({"events": [event(1, "u", "the-kid-1921")]})
    answer = client.post("/v1/events", content=sent, headers={"content-type": "text/plain", **headers})
    assert answer.status_code == status


@pytest.mark.slow
@on_both
def test_several_are_erased_at_once(asking: Callable[..., tuple[TestClient, Service]], own_films: Path) -> None:
    client, service = asking(own_films)
    users = [str(name) for name in service.scenario(None).live.engine.data.users.vocabulary.ids[10:13]]
    answers: dict[str, int] = {}
    threads = [
        threading.Thread(
            target=lambda user=user: answers.update({user: client.delete(f"/v1/users/{user}").status_code})
        )
        for user in users
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == dict.fromkeys(users, 200)
    assert not any(files_with(user, own_films) for user in users)
    assert service.scenario(None).live.engine.data.users.vocabulary.rows(users).tolist() == [-1, -1, -1]


@on_both
def test_a_damaged_version_keeps_nobody_in_the_database(
    asking: Callable[..., tuple[TestClient, Service]], films: Path, own_films: Path
) -> None:
    client, service = asking(own_films)
    damaged = Path(shutil.copytree(films, own_films.with_name("damaged")))
    (damaged / "content.jsonl").write_text("{}", encoding="utf-8")
    Models(service.database).add("films", "damaged", str(damaged))
    user = user_of(service)
    client.post("/v1/events", json={"events": [event(1, user, "the-kid-1921")]})
    assert client.delete(f"/v1/users/{user}").json()["error"]["code"] == "damaged"
    assert client.get(f"/v1/users/{user}").json()["events"] == []
    assert not files_with(user, own_films)


def test_an_item_that_does_not_fit_costs_no_other_its_change(
    asking: Callable[..., tuple[TestClient, Service]],
) -> None:
    client, service = asking()
    user = user_of(service)
    gone = ids(recommend(client, user_id=user))[0]
    service.items.put("films", {"odd": {"title": "Odd", "colour": "red"}, "worse": {"title": "Worse", "year": "soon"}})
    client.delete(f"/v1/items/{gone}")
    live = service.scenario(None).live
    assert live.engine.data.items.vocabulary.rows(["odd", "worse"]).tolist()[1] == -1
    assert live.engine.data.items.vocabulary.rows(["odd"])[0] >= 0
    assert gone not in ids(recommend(client, user_id=user, n=50))
    assert "'soon' is no" in client.get("/v1/models").json()["versions"][0]["problem"]
    assert client.patch("/v1/items", json={"items": [{"item_id": gone, "title": "New title"}]}).status_code == 200
    assert client.get(f"/v1/items/{gone}").json()["withdrawn"]


@on_both
def test_a_rejected_version_answers_no_arm(asking: Callable[..., tuple[TestClient, Service]], own_films: Path) -> None:
    client, service = asking()
    Models(service.database).add("films", "v2", str(own_films))
    client.post("/v1/experiments", json={"name": "spring", "arms": {"live": 0.5, "v2": 0.5}})
    assert {recommend(client, user_id=str(user)).json()["version"] for user in range(20)} == {"v1", "v2"}
    client.post("/v1/models/v2", json={"state": "rejected", "reason": "bad"})
    assert {recommend(client, user_id=str(user)).json()["version"] for user in range(20)} == {"v1"}


def test_short_deadlines_of_some_close_nothing_for_others(
    asking: Callable[..., tuple[TestClient, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, service = asking(writers=2)
    why = Engine.why
    monkeypatch.setattr(Engine, "why", lambda *given, **more: (time.sleep(0.7), why(*given, **more))[1])
    for _ in range(2):
        asked = {"user_id": user_of(service), "item_id": "the-kid-1921", "deadline_ms": 50}
        late = client.post("/v1/why", json=asked)
        assert (late.status_code, late.json()["error"]["code"]) == (408, "late")
    assert client.post("/v1/similar", json={"item_id": "the-kid-1921"}).status_code == 200


@pytest.mark.slow
def test_users_who_are_hidden_stay_hidden_and_learn(
    serving: Callable[..., Service], films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENRE_PRIVACY_KEY", "a key that nobody knows, of thirty-two bytes")
    settings = {**SETTINGS, "name": "hidden", "privacy": {"hash_users": True}}
    run = pipeline.run(Experiment.model_validate(settings), tmp_path / "runs")
    lenient = ["least_questions=1", "tolerance=0.99", "drift=1", "origin=1", "variety=0", "latency=100"]
    service = serving(run, learn_gate=lenient)
    people = load_dataset(films / "data" / "all").users.vocabulary.ids
    with TestClient(make_app(service), base_url="http://localhost") as client:
        before = service.scenario(None).live.engine
        events = [event(number, "ann", str(item)) for number, item in enumerate(before.data.items.vocabulary.ids[:30])]
        rng = np.random.default_rng(0)
        items = before.data.items.vocabulary.ids
        others = [event(100 + n, str(people[n % 80]), str(items[int(rng.integers(60))])) for n in range(300)]
        client.post("/v1/events", json={"events": [*events, *others]})
        assert before.data.users.vocabulary.rows([str(people[0])])[0] == -1
        listed = ids(recommend(client, user_id="ann", n=50))
        assert not {one["item_id"] for one in events} & set(listed)
        assert len(client.get("/v1/users/ann").json()["events"]) == 30
        learner = Learner(service.config, service.scenarios, service.database)
        learner.learn("films", service.scenario(None), threading.Event())
        until = time.monotonic() + 10
        while service.scenario(None).live.name != "v2" and time.monotonic() < until:
            time.sleep(0.05)
        after = service.scenario(None).live.engine
        assert after.data.num_users == before.data.num_users + 1
        assert after.log_of("ann").height == 30
        assert client.delete("/v1/users/ann").json()["runs"] == 1
    assert not files_with(service.scenario(None).stored_id("ann"), tmp_path)
    monkeypatch.delenv("GENRE_PRIVACY_KEY")
    with pytest.raises(ConfigError, match="users are pseudonyms"):
        serving(run, database=tmp_path / "other.db")
