"""Each scenario of a service writes in its own way: with its adapter beside the others', its kinds, its language."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from genre import pipeline
from genre.config import Experiment
from genre.config_file import digest_of, read_experiment
from genre.core.errors import ArtifactError
from genre.core.files import sha256
from genre.generation.checks import Checker
from genre.generation.stage import TextsConfig
from genre.generation.write_config import WriteConfig
from genre.language.decoding import Batch
from genre.runs import CONFIG
from genre.serving.app import make_app
from genre.serving.metrics import Metrics
from genre.serving.schemas import ChatRequest, WriteRequest
from genre.serving.service import Service
from genre.serving.settings import ServeConfig
from genre.serving.writers import ScenarioWriter, merged
from genre.workspace import MANIFEST
from tests.language.models import learn, write_tiny

pytestmark = pytest.mark.usefixtures("undrawn")
WORLDS = ("films", "courses")
LINE = """
{% set inputs = ["facts"] %}{% set sentences = 1 %}{% set words = 20 %}
{% block system %}Write one line.{% endblock %}
{% block user %}{{ facts.name }}{% endblock %}
{% block plain %}Mind this: {{ facts.name }}.{% endblock %}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a base, an adapter of each of two scenarios, and their runs, which have no texts."""
    place = tmp_path_factory.mktemp("writers")
    write_tiny(place / "base", context=2048)
    (place / "line.j2").write_text(LINE, encoding="utf-8")
    for seed, world in enumerate(WORLDS):
        learn(place / "base", place / f"{world}-adapter", seed)
        settings = {
            "name": world,
            "data": {"kind": "sample", "world": world, "num_viewers": 60},
            "feedback": {"like_at": 3},
            "models": {"graph": {"kind": "graph"}},
            "evaluation": {"bootstrap": 20},
            "answer": {"examples": 1},
        }
        pipeline.run(Experiment.model_validate(settings), place / "runs")
    return place


def writing(place: Path, world: str, **more: Any) -> dict[str, Any]:
    adapter = str(place / f"{world}-adapter")
    generator = {"kind": "local", "model": str(place / "base"), "precision": "fp32", "adapter": adapter}
    return {"kinds": ["title"], "generator": generator, "sampling": {"max_tokens": 24}, "scenario": "video", **more}


def run_of(place: Path, directory: Path, world: str, write: dict[str, Any] | None) -> Path:
    """Return a copy of a run as if it had this section `write`, in a directory without anything written before."""
    run = Path(shutil.copytree(place / "runs" / world, directory / world))
    settings = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))
    (run / CONFIG).write_text(yaml.safe_dump({**settings, "write": write}), encoding="utf-8")
    manifest = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][CONFIG] = sha256(run / CONFIG)
    (run / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return run


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[TestClient, Service]]]:
    """Return what serves runs with settings, each time in a place where nothing was written before."""
    opened: list[Any] = []

    def start(runs: dict[str, Path], **settings: Any) -> tuple[TestClient, Service]:
        url = f"sqlite:///{tmp_path / f'{len(opened)}.db'}"
        service = Service(ServeConfig.model_validate({"database": url, "deadline": 20, **settings}), runs)
        client = TestClient(make_app(service), base_url="http://localhost")
        opened.append((client.__enter__(), service))
        return opened[-1]  # type: ignore[no-any-return]

    yield start
    for client, service in opened:
        client.__exit__(None, None, None)
        service.close()


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything pass that a language model says: the tiny ones babble."""
    monkeypatch.setattr(Checker, "problems", lambda *_, **__: [])


def ask(client: TestClient, world: str, **more: Any) -> list[dict[str, Any]]:
    asked = {"scenario": world, "user_id": "nobody", "n": 2, **more}
    answer = client.post("/v1/write", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["written_by"] == "service"
    return answer.json()["texts"]  # type: ignore[no-any-return]


@pytest.mark.usefixtures("unchecked")
def test_scenarios_that_are_asked_at_once_write_in_one_batch_what_each_writes_alone(
    made: Path, tmp_path: Path, serve: Callable[..., tuple[TestClient, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = {}
    for world in WORLDS:
        (tmp_path / f"only-{world}").mkdir()
        run = run_of(made, tmp_path / f"only-{world}", world, writing(made, world))
        alone[world] = ask(serve({world: run})[0], world)
    (tmp_path / "all").mkdir()
    client, service = serve({world: run_of(made, tmp_path / "all", world, writing(made, world)) for world in WORLDS})
    for scenario in WORLDS:
        assert {text["writer"] for text in alone[scenario]} == {"model"}
    first, second = (service.writers[world].generator for world in WORLDS)
    loaded: Any = first._shared()  # type: ignore[union-attr]
    assert second._shared() is loaded, "one base has its weights in memory once"  # type: ignore[union-attr]
    batches: list[set[str | None]] = []
    begin = Batch.__init__

    def watched(own: Batch, model: Any, rows: Any, *given: Any, **more: Any) -> None:
        batches.append({row.adapter for row in rows})
        begin(own, model, rows, *given, **more)

    monkeypatch.setattr(Batch, "__init__", watched)
    with ThreadPoolExecutor() as pool:
        with loaded.gathering._turn:
            answers = {world: pool.submit(ask, client, world) for world in WORLDS}
            until = time.monotonic() + 60
            while len(loaded.gathering._waiting) < 8 and time.monotonic() < until:  # 2 scenarios, items and candidates.
                time.sleep(0.01)
        together = {world: answer.result() for world, answer in answers.items()}
    assert together == alone
    assert {first._name, second._name} in batches  # type: ignore[union-attr]
    said = {world: [text["provenance"]["model"] for text in texts] for world, texts in together.items()}
    assert said == {world: [service.writers[world].generator.key] * 2 for world in WORLDS}  # type: ignore[union-attr]


@pytest.mark.usefixtures("unchecked")
def test_what_an_adapter_says_differs_from_the_others_and_from_the_base(
    made: Path, tmp_path: Path, serve: Callable[..., tuple[TestClient, Service]]
) -> None:
    """The same catalogue, question and seeds: only what was taught differs."""
    sections = {world: writing(made, world) for world in WORLDS}
    base = {**sections["films"]["generator"], "adapter": None}
    sections["base"] = {**sections["films"], "generator": base}
    runs = {}
    for name, section in sections.items():
        (tmp_path / name).mkdir()
        runs[name] = run_of(made, tmp_path / name, "films", section)
    client, service = serve(runs)
    item = str(service.scenarios["films"].live.engine.data.items.vocabulary.ids[0])

    def said(name: str) -> str:
        (text,) = ask(client, name, item_ids=[item])
        return str(text["text"])

    def streamed(name: str) -> str:
        asked = {"scenario": name, "user_id": "nobody", "item_ids": [item], "stream": True}
        answer = client.post("/v1/write", json=asked)
        assert "event: end" in answer.text
        return answer.text

    with ThreadPoolExecutor() as pool:
        answers = {name: (pool.submit(said, name), pool.submit(streamed, name)) for name in runs}
        together = {name: (whole.result(), stream.result()) for name, (whole, stream) in answers.items()}
    for kind in (0, 1):
        assert len({answer[kind] for answer in together.values()}) == 3
    assert {name: streamed(name) for name in runs} == {name: answer[1] for name, answer in together.items()}


def one_run(made: Path, directory: Path, write: dict[str, Any] | None) -> dict[str, Path]:
    return {"films": run_of(made, directory, "films", write)}


def test_what_is_set_for_the_service_wins_setting_by_setting(made: Path) -> None:
    section = writing(made, "films", candidates=5, draws=4, banned=["war"], at_once=7)
    own = TextsConfig.model_validate(section)
    usual = ServeConfig().write
    assert merged(None, usual) is usual
    found = merged(own, usual)
    assert type(found) is WriteConfig, "what is measured of a run's texts is not asked of a service"
    assert (found.candidates, found.draws, found.at_once, found.banned) == (2, 1, 7, ("war",))
    assert found.generator == own.generator
    told = ServeConfig.model_validate({"write": {"draws": 3, "generator": None, "banned": []}}).write
    found = merged(own, told)
    assert (found.candidates, found.draws, found.at_once, found.banned, found.generator) == (2, 3, 7, (), None)
    fake = merged(own, ServeConfig.model_validate({"write": {"generator": {"kind": "fake"}}}).write)
    assert fake.generator is not None
    assert (fake.generator.kind, fake.sampling) == ("fake", own.sampling)


@pytest.mark.parametrize("write", [None, "run", "service"])
def test_without_a_language_model_texts_are_made_of_facts(
    made: Path, tmp_path: Path, serve: Callable[..., tuple[TestClient, Service]], write: str | None
) -> None:
    section = {None: None, "run": {"kinds": ["reason"]}, "service": writing(made, "films")}[write]
    runs = one_run(made, tmp_path, section)
    client, service = serve(runs, **({"write": {"generator": None}} if write == "service" else {}))
    assert service.writers["films"].generator is None
    texts = ask(client, "films", kinds=["synopsis"], place="video")
    assert [text["writer"] for text in texts] == ["template"] * 2
    engine = service.scenarios["films"].live.engine
    expected = engine.write(["nobody"], n=2, kinds="synopsis", scenario="video")
    assert [text["text"] for text in texts] == [text["text"] for text in expected]
    told = client.post("/v1/write", json={"user_id": "nobody", "kinds": ["none"]}).json()["error"]
    assert told["problem"] == "there is no kind 'none'"


def test_what_a_service_is_told_to_write_with_is_one_model_for_all(
    made: Path, tmp_path: Path, serve: Callable[..., tuple[TestClient, Service]]
) -> None:
    runs = {world: run_of(made, tmp_path, world, writing(made, world)) for world in WORLDS}
    client, service = serve(runs, write={"generator": {"kind": "fake"}})
    films, courses = (service.writers[world] for world in WORLDS)
    assert films.generator is courses.generator is not None
    assert {text["provenance"]["model"] for world in WORLDS for text in ask(client, world)} == {films.generator.key}


def test_kinds_language_and_place_are_the_scenarios_where_nobody_says_otherwise(
    made: Path, tmp_path: Path, serve: Callable[..., tuple[TestClient, Service]]
) -> None:
    line = str(made / "line.j2")
    runs = one_run(made, tmp_path, {"kinds": [line, "title"], "language": "zh", "scenario": "video"})
    client, service = serve(runs)
    item = str(service.scenarios["films"].live.engine.data.items.vocabulary.ids[0])
    texts = ask(client, "films", item_ids=[item])
    assert [(text["kind"], text["language"]) for text in texts] == [("line", "zh"), ("title", "zh")]
    assert texts[0]["text"].startswith("Mind this: ")
    streamed = client.post("/v1/write", json={"user_id": "nobody", "item_ids": [item], "stream": True}).text
    assert "Mind this: " in streamed, "one text is a stream: of the first kind"
    (named,) = ask(client, "films", item_ids=[item], kinds=["line"])
    assert named == texts[0]
    for wrong, language in (("line", "en"), (line, "zh")):  # It is written in one language, and has a name.
        asked = {"user_id": "nobody", "kinds": [wrong], "language": language}
        told = client.post("/v1/write", json=asked)
        assert (told.status_code, told.json()["error"]["problem"]) == (422, f"there is no kind {wrong!r}")
        assert ("'line'" in told.json()["error"]["remedy"]) == (language == "zh")
    assert client.post("/v1/write", json={"user_id": "nobody", "kinds": ["title"], "language": "en"}).is_success
    writer = service.writers["films"]
    talk = writer.filled(ChatRequest(user_id="nobody", message="hello"))
    assert talk.place == "video"
    assert writer.filled(ChatRequest(user_id="nobody", message="hello", place="news")).place == "news"
    asked = WriteRequest(user_id="nobody", language="en", kinds=("title",), place="shop")
    assert writer.filled(asked) == asked
    assert client.post("/v1/chat", json={"user_id": "nobody", "message": "hello"}).json()["text"]
    assert set(writer._conversations[service.scenarios["films"].live]) == {("video", False)}


def test_a_kind_that_cannot_be_read_is_left_out_and_so_is_the_second_of_a_name(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.j2").write_text("{% block %}", encoding="utf-8")
    gone, broken = str(tmp_path / "gone.j2"), str(tmp_path / "broken.j2")
    writer = ScenarioWriter(WriteConfig(), None, Metrics(), TextsConfig(kinds=(gone, broken)))
    assert caplog.text.count("a kind of text is left out") == 2
    assert writer.filled(WriteRequest(user_id="u")).kinds == ("synopsis",)
    (tmp_path / "line.en.j2").write_text(LINE, encoding="utf-8")
    both = TextsConfig(kinds=(str(made / "line.j2"), str(tmp_path / "line.en.j2")))
    writer = ScenarioWriter(WriteConfig(), None, Metrics(), both)
    assert writer.filled(WriteRequest(user_id="u")).kinds == (str(made / "line.j2"),)
    assert "is called 'line', as " in caplog.text
    own = str(shutil.copy(made / "line.j2", tmp_path / "title.j2"))
    writer = ScenarioWriter(WriteConfig(), None, Metrics(), TextsConfig(kinds=(own,)))
    kinds = {language: writer.filled(WriteRequest(user_id="u", kinds=("title",), language=language)).kinds
             for language in ("en", "zh")}  # fmt: skip
    assert kinds == {"en": (own,), "zh": ("title",)}


def test_an_adapter_that_is_not_there_is_told_of_before_the_service_starts(
    made: Path, tmp_path: Path, serve: Callable[..., tuple[TestClient, Service]]
) -> None:
    section = writing(made, "films")
    section["generator"]["adapter"] = str(tmp_path / "nothing")
    runs = one_run(made, tmp_path, section)
    with pytest.raises(ArtifactError, match=r"scenario 'films': .*nothing: there is no adapter here.*generator=null"):
        serve(runs)
    client, _ = serve(runs, write={"generator": None})
    assert ask(client, "films")[0]["writer"] == "template"


def test_all_that_writes_here_is_loaded_before_anybody_asks(
    made: Path, tmp_path: Path, serve: Callable[..., tuple[TestClient, Service]]
) -> None:
    runs = {world: run_of(made, tmp_path, world, writing(made, world)) for world in WORLDS}
    (tmp_path / "plain").mkdir()
    runs["plain"] = run_of(made, tmp_path / "plain", "films", None)
    _, service = serve(runs)
    service.warm(60)
    films, courses = (service.writers[world].generator for world in WORLDS)
    assert films._base is courses._base is not None  # type: ignore[union-attr]
    assert films._base.adapters._names == {films._name, courses._name}  # type: ignore[union-attr]
    talks = {name: set(writer._conversations[service.scenarios[name].live]) for name, writer in service.writers.items()}
    assert talks == {
        "films": {("video", False), ("video", True)},
        "courses": {("video", False), ("video", True)},
        "plain": {("shop", False), ("shop", True)},
    }


def test_a_model_that_fails_leaves_the_others_and_the_conversations_ready(
    made: Path, tmp_path: Path, serve: Callable[..., tuple[TestClient, Service]], caplog: pytest.LogCaptureFixture
) -> None:
    sections = {world: writing(made, world) for world in WORLDS}
    sections["films"]["generator"] = {"kind": "local", "model": str(tmp_path / "nothing")}
    _, service = serve({world: run_of(made, tmp_path, world, section) for world, section in sections.items()})
    service.warm(60)
    assert "there is no model at" in caplog.text
    assert service.writers["courses"].generator._base is not None  # type: ignore[union-attr]
    assert len(service.writers["films"]._conversations) == len(service.writers["courses"]._conversations) == 1


def test_a_run_keeps_the_files_of_its_kinds(
    made: Path, tmp_path: Path, serve: Callable[..., tuple[TestClient, Service]]
) -> None:
    (tmp_path / "own").mkdir()
    line = Path(shutil.copy(made / "line.j2", tmp_path / "own" / "line.en.j2"))
    settings = yaml.safe_load((made / "runs" / "films" / CONFIG).read_text(encoding="utf-8"))
    settings["write"] = {"kinds": ["title", str(line)], "users": 1, "n": 1}
    experiment = Experiment.model_validate(settings)
    run = pipeline.run(experiment, tmp_path / "first")
    assert (run / "kinds" / "1" / "line.en.j2").read_text(encoding="utf-8") == LINE
    kept = read_experiment(run / CONFIG)
    assert kept.write is not None
    assert kept.write.kinds == ("title", str(run / "kinds" / "1" / "line.en.j2"))
    assert digest_of(kept) == digest_of(experiment), "it is the same experiment"
    line.write_text(LINE.replace("Mind", "See"), encoding="utf-8")
    assert digest_of(kept) != digest_of(experiment)
    shutil.rmtree(tmp_path / "own")
    moved = Path(shutil.move(run, tmp_path / "elsewhere"))
    client, service = serve({"films": moved})
    item = str(service.scenarios["films"].live.engine.data.items.vocabulary.ids[0])
    assert [text["kind"] for text in ask(client, "films", item_ids=[item])] == ["title", "line"]
