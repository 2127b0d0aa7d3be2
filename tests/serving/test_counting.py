"""What is counted of texts: who wrote them, how long they are and took, and the tokens of a language model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from genre.core.run import Silent
from genre.generation.weighing import Scales
from genre.language.base import Prompt, Sampling
from genre.language.fake import FakeGenerator, FakeGeneratorConfig
from genre.language.hashing import HashingEncoderConfig
from genre.serving.app import make_app
from genre.serving.counting import CountedGenerator
from genre.serving.metrics import Metrics
from genre.serving.service import Service
from tests.serving.test_app import user_of


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def test_tokens_are_those_of_the_completions() -> None:
    metrics, generator = Metrics(), FakeGeneratorConfig().build()
    counted, sampling = CountedGenerator(generator, metrics), Sampling(max_tokens=8)
    prompts = [Prompt("Tell me of a lighthouse."), Prompt("And of the sea?", system="Be brief.")]
    answers = counted.generate(prompts, sampling=sampling)
    assert answers == generator.generate(prompts, sampling=sampling)
    read, written = sum(one.prompt_tokens for one in answers), sum(one.completion_tokens for one in answers)
    assert min(read, written) > 0
    assert value(metrics, "genre_tokens_total", what="read") == read
    assert value(metrics, "genre_tokens_total", what="written") == written
    said = "".join(counted.stream(prompts[1], sampling=sampling))
    assert said == answers[1].text
    asked = counted.count_tokens("Be brief.") + counted.count_tokens("And of the sea?")
    assert value(metrics, "genre_tokens_total", what="read") == read + asked
    assert value(metrics, "genre_tokens_total", what="written") == written + counted.count_tokens(said)
    assert counted.key == generator.key
    assert counted.config is generator.config
    assert getattr(counted, "load", None) is None, "it has no weights in memory, as the model has none"


def test_of_a_stream_that_nobody_reads_to_its_end_what_was_read_is_counted() -> None:
    metrics = Metrics()
    counted = CountedGenerator(FakeGeneratorConfig().build(), metrics)
    pieces = counted.stream(Prompt("Tell me of a lighthouse by the sea."), sampling=Sampling(max_tokens=64))
    first = next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert value(metrics, "genre_tokens_total", what="written") == counted.count_tokens(first)


def test_texts_of_a_counted_model_are_weighed_by_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Here(FakeGenerator):
        def load(self) -> str:
            return "weights"

    def pairs(loaded: str, texts: list[str], **_: object) -> list[tuple[float, int]]:
        assert loaded == "weights"
        return [(8.0, 2)] * len(texts)

    monkeypatch.setattr("genre.language.scoring.bits_and_bytes", pairs)
    encoder = HashingEncoderConfig().build()
    for generator, fluency in ((Here(FakeGeneratorConfig()), -4.0), (FakeGeneratorConfig().build(), None)):
        assert Scales(CountedGenerator(generator, Metrics()), encoder)._fluency(["Storm."], Silent()) == [fluency]


@pytest.mark.parametrize("generator", [None, {"kind": "fake"}])
def test_texts_streams_and_conversations_are_counted_alike(
    serving: Callable[..., Service], generator: dict[str, str] | None
) -> None:
    service = serving(write={"generator": generator, "candidates": 1, "draws": 1})
    metrics = service.metrics
    asked = {"user_id": user_of(service), "n": 1, "kinds": ["synopsis"], "place": "video"}

    def counted() -> tuple[float, float, float]:
        texts = sum(value(metrics, "genre_texts_total", writer=writer) for writer in ("model", "template"))
        characters = value(metrics, "genre_text_characters_total")
        return texts, characters, value(metrics, "genre_stage_seconds_count", stage="write")

    with TestClient(make_app(service), base_url="http://localhost") as client:
        (whole,) = client.post("/v1/write", json=asked).json()["texts"]
        assert counted() == (1, len(whole["text"]), 1)
        assert value(metrics, "genre_texts_total", writer=whole["writer"]) == 1
        before = counted()
        streamed = client.post("/v1/write", json={**asked, "stream": True}).text
        assert "event: sentence" in streamed
        after = counted()
        assert (after[0], after[2]) == (2, 2)
        assert after[1] > before[1]
        reply = client.post("/v1/chat", json={"user_id": "u", "message": "films from Japan", "place": "video"}).json()
        assert counted() == (3, after[1] + len(reply["text"]), 3)
        assert value(metrics, "genre_cache_total", cache="conversations", result="miss") == 1
        client.post("/v1/chat", json={"user_id": "u", "message": "more", "place": "video"})
        assert value(metrics, "genre_cache_total", cache="conversations", result="hit") == 1
    assert (value(metrics, "genre_tokens_total", what="written") > 0) == (generator is not None)
