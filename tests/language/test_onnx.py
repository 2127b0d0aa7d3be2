"""Graphs: what is run, what is refused, and what an export keeps of the model."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from genre.core.errors import DependencyError, ModelError
from genre.language import onnx as module
from genre.language.fake import FakeEncoderConfig
from genre.language.minilm import MiniLmConfig
from genre.language.onnx import OnnxEncoderConfig, export_onnx
from tests.language.encoders import minilm, write_graph, write_sentence

TEXTS = ["red lipstick", "a film about the sea", "流浪地球", "rain " * 20]


def table_of(directory: Path) -> tuple[object, np.ndarray]:
    import onnx
    from tokenizers import Tokenizer

    (weights,) = onnx.load(directory / "model.onnx").graph.initializer
    return Tokenizer.from_file(str(directory / "tokenizer.json")), onnx.numpy_helper.to_array(weights)


def test_tokens_are_averaged_without_the_padding(tmp_path: Path) -> None:
    write_graph(tmp_path)
    tokenizer, table = table_of(tmp_path)
    expected = np.stack([table[tokenizer.encode(text).ids].mean(axis=0) for text in TEXTS])
    found = OnnxEncoderConfig(model=str(tmp_path)).build().encode(TEXTS)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_a_vector_of_the_whole_text_is_taken_where_the_graph_gives_one(tmp_path: Path) -> None:
    write_graph(tmp_path, output="sentence_embedding")
    tokenizer, table = table_of(tmp_path)
    expected = table[tokenizer.encode("rain").ids].max(axis=0)
    (found,) = OnnxEncoderConfig(model=str(tmp_path)).build().encode(["rain"])
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_prompts_and_the_limit_of_tokens(tmp_path: Path) -> None:
    write_graph(tmp_path)
    plain = OnnxEncoderConfig(model=str(tmp_path)).build()
    prompted = OnnxEncoderConfig(model=str(tmp_path), prompts={"query": "query: "}).build()
    short = OnnxEncoderConfig(model=str(tmp_path), max_tokens=6).build()
    np.testing.assert_allclose(prompted.encode(["a"], role="query"), plain.encode(["query: a"]), atol=1e-6)
    np.testing.assert_allclose(short.encode(["rainy day"]), plain.encode(["rain"]), atol=1e-6)
    assert len({plain.key, prompted.key, short.key}) == 3


def test_files_that_are_not_there(tmp_path: Path) -> None:
    encoder = OnnxEncoderConfig(model=str(tmp_path)).build()
    with pytest.raises(DependencyError, match=r"there is no 'model.onnx' in .*export_onnx"):
        encoder.encode(["a"])
    write_graph(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(DependencyError, match=r"there is no 'tokenizer.json'"):
        _ = encoder.key


def test_graphs_that_cannot_be_run(tmp_path: Path) -> None:
    write_graph(tmp_path, extra_input="pixel_values")
    with pytest.raises(ModelError, match=r"the graph asks for \['pixel_values'\]"):
        OnnxEncoderConfig(model=str(tmp_path)).build().encode(["a"])
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="the graph cannot be loaded"):
        OnnxEncoderConfig(model=str(tmp_path)).build().encode(["a"])


@pytest.mark.parametrize(("told", "threads"), [("1", 1), ("3", 3), ("3,2", 0), (None, 0)])
def test_as_many_threads_as_other_libraries_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, threads: int
) -> None:
    write_graph(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    session = module.session_of(str(tmp_path / "model.onnx"), "here")
    assert session.get_session_options().intra_op_num_threads == threads


def test_an_encoder_without_a_model_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="an encoder of kind 'fake' has no model to export"):
        export_onnx(FakeEncoderConfig(), tmp_path / "graph")


@pytest.mark.slow
@pytest.mark.parametrize(("int8", "close"), [(False, 0.99999), (True, 0.992)])
def test_an_exported_graph_gives_the_vectors_of_the_model(tmp_path: Path, int8: bool, close: float) -> None:
    handlers = logging.getLogger().handlers[:]
    settings = export_onnx(MiniLmConfig(), tmp_path / "graph", int8=int8)
    texts = [*TEXTS, "word " * 1000]
    cosines = (settings.build().encode(texts) * minilm().encode(texts)).sum(axis=1)
    assert cosines.min() >= close
    assert logging.getLogger().handlers == handlers
    weights = sum(path.stat().st_size for path in (tmp_path / "graph").iterdir())
    assert (weights < 65e6) == int8


@pytest.mark.slow
def test_an_export_keeps_prompts_and_nothing_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sentence(tmp_path / "model", prompts={"query": "query: ", "document": "passage: "})
    settings = export_onnx(tmp_path / "model", tmp_path / "graph")
    assert settings.prompts == {"query": "query: ", "item": "passage: "}
    monkeypatch.setattr(module, "_CLOSE", {False: 2.0})
    with pytest.raises(ModelError, match=r"the cosine of the graph's vector of '.*' to the model's own is 1\.0"):
        export_onnx(tmp_path / "model", tmp_path / "other")
    assert not (tmp_path / "other").exists()
