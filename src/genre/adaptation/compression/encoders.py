"""A text encoder as a graph that ONNX Runtime runs without torch, beside the encoder that it was made of."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from genre.adaptation.compression.measuring import (
    MANY,
    ONE,
    SIZE,
    WEIGHTS,
    Compared,
    bytes_held,
    bytes_on_disk,
    of_calls,
    of_two,
)
from genre.language.minilm import MiniLmConfig, model_directory
from genre.language.onnx import OnnxEncoderConfig, export_onnx
from genre.language.sentence import SentenceEncoderConfig
from genre.training.passages import passages

COSINE: Final = "cosine"
_TURNS, _TEXTS = 3, 32
"""Times that each form reads the texts, and how many these are."""


def export(target: str, directory: Path, *, int8: bool) -> list[Compared]:
    """Write an encoder as a graph into an existing directory, and measure both on general passages.

    The encoder runs in float32, as it would without another word.

    Args:
        target: `minilm`, or a directory with a model of sentence-transformers.
        directory: Where to.
        int8: Keep the weights of the linear layers in 8 bits, and multiply in 8 bits.

    Raises:
        DependencyError: A library or the model is not there.
        ModelError: The model is of another kind, or its graph gives other vectors.
    """
    source = (
        MiniLmConfig(precision="fp32") if target == "minilm" else SentenceEncoderConfig(model=target, precision="fp32")
    )
    place = model_directory() if target == "minilm" else Path(target)
    made = directory / "graph"
    export_onnx(source, made, int8=int8)
    for path in made.iterdir():
        path.rename(directory / path.name)
    made.rmdir()
    exact = source.build()
    graph = OnnxEncoderConfig(model=str(directory), prompts=exact.prompts).build()
    texts = passages("en")[:_TEXTS]
    found = [of_two(SIZE, map(bytes_on_disk, (place, directory)))]
    for name, some in ((ONE, texts[:1]), (MANY, texts)):
        calls = [partial(one.encode, some) for one in (exact, graph)]
        found.append(of_calls(name, *calls, turns=_TURNS, per=len(some)))
    cosines = (exact.encode(texts) * graph.encode(texts)).sum(axis=1)
    # Weights may be in a file beside the graph.
    weights = bytes_held(exact.model), sum(map(bytes_on_disk, directory.glob("model.onnx*")))
    return [found[0], of_two(WEIGHTS, weights), *found[1:], of_two(COSINE, (1.0, float(cosines.mean())), "more")]
