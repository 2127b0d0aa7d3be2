"""What every text encoder does, whatever it is built on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from genre.language.base import TextEncoder
from genre.language.encoders import AnyEncoder
from genre.language.endpoint import EndpointEncoder, EndpointEncoderConfig
from genre.language.fake import FakeEncoder, FakeEncoderConfig
from genre.language.hashing import HashingEncoderConfig
from genre.language.minilm import MiniLmConfig
from genre.language.onnx import OnnxEncoderConfig
from genre.language.sentence import SentenceEncoderConfig
from tests.language.encoders import minilm, write_graph, write_sentence
from tests.language.server import Server

T = TypeVar("T")
KINDS = ["hashing", "minilm", "sentence_transformers", "onnx", "endpoint", "fake"]
TEXTS = ["red lipstick", "a film about the sea", "流浪地球", "lipstick in red", "流浪地球 之后", "x", "rain"]
HARD = {
    "empty": "",
    "blank": " \t\n\u3000",
    "one character": "x",
    "very long": "every word counts, " * 5264,
    "one very long word": "字" * 100_000,
    "right to left": "שלום עולם مرحبا بالعالم",
    "emoji": "👩‍👩‍👧‍👦🎉🇨🇳",
    "control characters": "a\x00b\x07\x1b[31m\u202e\ufeff",
    "only control characters": "\x01\x02",
    "markup": "<script>alert('x')</script><p>a &amp; b</p>",
}


@pytest.fixture(scope="module", params=KINDS)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextEncoder]:
    directory: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "endpoint":
        with Server() as server:
            yield EndpointEncoderConfig(base_url=server.url, model="toy", max_characters=200).build()
        return
    if request.param == "minilm":
        yield minilm("auto")
    elif request.param == "hashing":
        yield HashingEncoderConfig().build().fit(TEXTS)
    elif request.param == "sentence_transformers":
        write_sentence(directory)
        yield SentenceEncoderConfig(model=str(directory), prompts={"query": "query: "}).build()
    elif request.param == "onnx":
        write_graph(directory)
        yield OnnxEncoderConfig(model=str(directory), prompts={"query": "query: "}).build()
    else:
        yield FakeEncoderConfig().build()


def test_vectors_have_length_one_and_come_in_order(encoder: TextEncoder) -> None:
    found = encoder.encode(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    backwards = encoder.encode(TEXTS[::-1])[::-1]
    np.testing.assert_allclose(found, backwards, atol=1e-4)
    assert len(np.unique(found.round(3), axis=0)) == len(TEXTS)


def test_a_text_is_the_same_in_any_company(encoder: TextEncoder) -> None:
    together = encoder.encode([*TEXTS, *HARD.values()])[: len(TEXTS)]
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose((together * alone).sum(axis=1), 1, atol=1e-4)


def test_equal_texts_have_equal_vectors(encoder: TextEncoder) -> None:
    found = encoder.encode(["rain", "", "red lipstick", "rain"])
    np.testing.assert_array_equal(found[0], found[3])


@pytest.mark.parametrize("name", HARD)
def test_hard_texts_have_length_one_or_are_nothing(encoder: TextEncoder, name: str) -> None:
    (found,) = encoder.encode([HARD[name]])
    assert np.isfinite(found).all()
    assert np.linalg.norm(found) == pytest.approx(1.0 if HARD[name].strip() else 0.0, rel=1e-5)


def test_half_a_character_is_read_as_a_question_mark(encoder: TextEncoder) -> None:
    if isinstance(encoder, EndpointEncoder | FakeEncoder):
        pytest.skip("they read characters as they come")
    found = encoder.encode(["half \ud83d of it", "half ? of it"])
    np.testing.assert_array_equal(found[0], found[1])


def test_only_blank_texts(encoder: TextEncoder) -> None:
    assert not encoder.encode(["", " \n"]).any()
    assert encoder.encode([]).shape[0] == 0


def test_the_size_stays(encoder: TextEncoder) -> None:
    if isinstance(encoder, EndpointEncoder):
        pytest.skip("a server is not asked for blank texts, and so does not say its size")
    sizes = {encoder.encode(texts).shape[1] for texts in (TEXTS, ["", " "], [])}
    assert len(sizes) == 1


def test_both_roles_give_vectors_of_one_space(encoder: TextEncoder) -> None:
    found = encoder.encode(TEXTS, role="query")
    assert found.shape == encoder.encode(TEXTS).shape
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_it_says_how_far_it_has_come(encoder: TextEncoder) -> None:
    progress = _Recorded()
    encoder.encode(TEXTS, progress=progress)
    assert progress.done == progress.total > 0


def test_the_key_says_by_whom(encoder: TextEncoder) -> None:
    assert encoder.key == encoder.key
    others = [minilm().key, FakeEncoderConfig(dimensions=3).build().key, HashingEncoderConfig(size=2).build().key]
    assert encoder.key not in others


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"kind": "hashing", "size": 256}, HashingEncoderConfig),
        ({"kind": "minilm", "precision": "bf16"}, MiniLmConfig),
        ({"kind": "sentence_transformers", "model": "intfloat/multilingual-e5-small"}, SentenceEncoderConfig),
        ({"kind": "onnx", "model": "exported"}, OnnxEncoderConfig),
        ({"kind": "endpoint", "base_url": "http://127.0.0.1:1/v1", "model": "toy"}, EndpointEncoderConfig),
        ({"kind": "fake"}, FakeEncoderConfig),
    ],
)
def test_kinds_are_told_apart(given: dict[str, Any], expected: type) -> None:
    assert type(TypeAdapter(AnyEncoder).validate_python(given)) is expected


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=r"'word2vec' .* 'hashing', 'minilm', 'sentence_transformers', 'onnx'"):
        TypeAdapter(AnyEncoder).validate_python({"kind": "word2vec"})


class _Recorded:
    def __init__(self) -> None:
        self.done = 0
        self.total: int | None = None

    def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        self.total = total
        for step in steps:
            yield step
            self.done += 1
