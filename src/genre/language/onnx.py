"""Encoders as ONNX graphs, run by ONNX Runtime without torch, and how a model becomes one.

Shapes: N texts, D numbers of a vector, B texts of a batch, T tokens.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.errors import DependencyError, ModelError
from genre.core.files import atomic_directory
from genre.core.run import Progress
from genre.language._batches import directory_hash, in_batches
from genre.language._graph_int8 import to_int8
from genre.language.base import EncoderConfig, Role
from genre.language.sentence import SentenceEncoder, SentenceEncoderConfig
from genre.language.texts import short_key

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

_GRAPH, _TOKENIZER, _POOLED = "model.onnx", "tokenizer.json", "sentence_embedding"
_MAX_TOKENS = 512
"""Tokens read where neither settings nor tokenizer say: what most encoders were built for."""
_TRIALS = (
    "lipstick, red",
    "a much longer text about a film in which nobody says a word until the very end",
    "流浪地球",
)
_OPERATORS = 23
"""The first of ONNX's sets of operators in which attention is one: it takes less time than its parts."""
_CLOSE = {False: 0.9999, True: 0.99}
"""The cosine to the original that an exported graph must reach on every trial text, by whether it is in 8 bits."""


class OnnxEncoderConfig(EncoderConfig):
    """A graph with its tokenizer, exported by `export_onnx` or by others."""

    libraries: ClassVar[Mapping[str, str]] = {"onnxruntime": "onnx", "tokenizers": "onnx"}
    kind: Literal["onnx"] = "onnx"
    model: str = Field(min_length=1)
    """A directory with `model.onnx` and `tokenizer.json`. The output `sentence_embedding` is taken where there is one,
    and else the mean over the tokens of the first output."""
    prompts: Mapping[Role, str] = {}
    """What stands before a text of each role."""
    max_tokens: int | None = Field(default=None, ge=4)
    """Tokens of a text that are read; none takes what the tokenizer's file says, or 512."""
    batch_tokens: int = Field(default=256, ge=1)
    """Tokens of a batch at most. ONNX Runtime goes over what a layer makes of them more often than torch, and so wants
    it in the cache of a core: of all-MiniLM-L6-v2 in 8 bits, 256 are read a quarter faster than 1,024."""

    def build(self) -> OnnxEncoder:
        """Return the encoder; its graph is loaded when it is first asked."""
        return OnnxEncoder(self)


class OnnxEncoder:
    """Runs an ONNX graph on batches of texts of like length."""

    def __init__(self, config: OnnxEncoderConfig) -> None:
        """Keep the settings."""
        self.config = config

    @property
    def key(self) -> str:
        """Return a hash of settings, graph and tokenizer."""
        config = self.config
        return short_key(
            config.kind,
            weights=directory_hash(self._directory),
            prompts=dict(config.prompts),
            max_tokens=config.max_tokens,
        )

    def encode(self, texts: Sequence[str], *, role: Role = "item", progress: Progress | None = None) -> NDArray[Any]:
        """Return (N, D) float32 vectors of length 1, or 0 for a text of white space.

        Raises:
            DependencyError: The graph or the tokenizer is not there.
            ModelError: The graph cannot be loaded, or asks for what a text encoder does not have.
        """
        prompt = self.config.prompts.get(role, "")
        return in_batches(
            texts,
            lengths=lambda some: np.array([len(one.ids) for one in self._tokens(some, prompt)]),
            encode=lambda some: self._run(some, prompt),
            size=lambda: self._run(["a"], prompt).shape[1],
            batch_tokens=self.config.batch_tokens,
            progress=progress,
        )

    def _tokens(self, texts: list[str], prompt: str) -> list[Any]:
        found: list[Any] = self._tokenizer.encode_batch([prompt + text for text in texts])
        return found

    def _run(self, texts: list[str], prompt: str) -> NDArray[np.float32]:
        encoded = self._tokens(texts, prompt)
        width = max(len(one.ids) for one in encoded)
        ids, mask = np.zeros((2, len(texts), width), np.int64)  # (B, T); what is masked may be any token
        for row, one in enumerate(encoded):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = 1
        known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        inputs = {one.name: known[one.name] for one in self._session.get_inputs()}
        outputs = [one.name for one in self._session.get_outputs()]
        wanted = _POOLED if _POOLED in outputs else outputs[0]
        (found,) = self._session.run([wanted], inputs)
        if found.ndim == 3:  # (B, T, D)
            found = (found * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return np.asarray(found, np.float32)

    @property
    def _directory(self) -> Path:
        directory = Path(self.config.model).expanduser()
        for name in (_GRAPH, _TOKENIZER):
            if not (directory / name).is_file():
                raise DependencyError(
                    f"there is no {name!r} in {self.config.model!r}",
                    place=self.config.kind,
                    remedy="Make the directory with `genre.language.onnx.export_onnx`, or take another encoder.",
                )
        return directory

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._directory / _TOKENIZER))
        saved = (tokenizer.truncation or {}).get("max_length", _MAX_TOKENS)
        tokenizer.enable_truncation(self.config.max_tokens or saved)
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _session(self) -> InferenceSession:
        path = self._directory / _GRAPH
        session = session_of(str(path), str(path))
        strange = {one.name for one in session.get_inputs()} - {"input_ids", "attention_mask", "token_type_ids"}
        if strange:
            raise ModelError(
                f"the graph asks for {sorted(strange)!r}",
                place=str(path),
                remedy="Export an encoder of texts, with the inputs `input_ids` and `attention_mask`.",
            )
        return session


def session_of(graph: str | bytes, place: str) -> InferenceSession:
    """Return what runs a graph, given as a file or as its bytes, on as many threads as `OMP_NUM_THREADS` says.

    Raises:
        ModelError: It cannot be loaded; the message begins with `place`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Threads that spin while they wait take the cores from whatever else runs here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # ONNX Runtime takes a thread for every core, whatever torch and numpy were told. 0 leaves it at that.
    told = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(told) if told.isdecimal() else 0
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base but this one.
        raise ModelError(f"the graph cannot be loaded: {error}", place=place) from error


def export_onnx(source: EncoderConfig | str | Path, directory: Path, *, int8: bool = False) -> OnnxEncoderConfig:
    """Write a sentence-transformers model as a graph with its tokenizer, and return the settings that run it.

    Pooling and normalisation become part of the graph. Before anything stays, the graph's vectors of a few texts are
    compared with the model's own in float32. The model's prompts are in the settings that are returned.

    Args:
        source: The settings of a `minilm` or `sentence_transformers` encoder, or a directory with such a model.
        directory: Where the graph goes; what was there is replaced.
        int8: Keep the weights of the linear layers in 8 bits, and multiply in 8 bits.

    Raises:
        DependencyError: A library or the model is not there.
        ModelError: The model is of another kind, or its graph gives other vectors.
    """
    config = source if isinstance(source, EncoderConfig) else SentenceEncoderConfig(model=str(source))
    check_exporter()
    exact = config.model_copy(update={"precision": "fp32"}).build()
    if not isinstance(exact, SentenceEncoder):
        raise ModelError(
            f"an encoder of kind {config.kind!r} has no model to export",
            place="export_onnx",
            remedy="Give a directory, or the settings of a `minilm` or `sentence_transformers` encoder.",
        )
    with atomic_directory(directory) as unfinished:
        _write_tokenizer(exact.model, unfinished / _TOKENIZER)
        _write_graph(exact.model, unfinished / _GRAPH)
        if int8:
            to_int8(unfinished / _GRAPH)
        _compare(OnnxEncoderConfig(model=str(unfinished), prompts=exact.prompts).build(), exact, int8=int8)
    return OnnxEncoderConfig(model=str(directory), prompts=exact.prompts)


def check_exporter() -> None:
    """Make sure that the libraries that make graphs are there.

    Raises:
        DependencyError: One of them is not.
    """
    for library in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(library) is None:
            raise DependencyError(
                f"needs the library {library!r}, which is not installed",
                place="export_onnx",
                remedy="Install it with `pip install 'genre-rec[onnx]'`.",
            )


def _write_tokenizer(model: SentenceTransformer, path: Path) -> None:
    from tokenizers import Tokenizer

    fast = getattr(model.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise ModelError(
            f"its tokenizer {type(model.tokenizer).__name__} cannot be written to one file", place="export_onnx"
        )
    copy = Tokenizer.from_str(fast.to_str())
    copy.enable_truncation(model.max_seq_length or _MAX_TOKENS)
    copy.no_padding()
    copy.save(str(path))


def _write_graph(model: SentenceTransformer, path: Path) -> None:
    import torch

    class Sentence(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.model({"input_ids": input_ids, "attention_mask": attention_mask})[_POOLED]
            return found

    # A size of 1 would be taken for fixed, and one tensor given twice for one input.
    ids, mask = torch.ones((2, 2, 7), dtype=torch.int64).unbind()
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    names = ["input_ids", "attention_mask"]
    with quiet_export():
        torch.onnx.export(
            Sentence().eval(),
            (ids, mask),
            str(path),
            input_names=names,
            output_names=[_POOLED],
            dynamic_shapes=dict.fromkeys(names, sizes),
            opset_version=_OPERATORS,
            dynamo=True,
            verbose=False,
        )


def _compare(graph: OnnxEncoder, exact: SentenceEncoder, *, int8: bool) -> None:
    cosines = (graph.encode(_TRIALS) * exact.encode(_TRIALS)).sum(axis=1)
    if not cosines.min() >= _CLOSE[int8]:
        worst = int(cosines.argmin())
        raise ModelError(
            f"the cosine of the graph's vector of {_TRIALS[worst]!r} to the model's own is {cosines[worst]:.4f}",
            place="export_onnx",
            remedy="Export it without `int8`." if int8 else "Run this model as `sentence_transformers`.",
        )


@contextmanager
def quiet_export() -> Iterator[None]:
    """Hold back what the exporters say of their own insides, and undo what they do to the program's logging."""
    root = logging.getLogger()
    level, handlers, disabled = root.level, root.handlers[:], logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.setLevel(level)
        root.handlers[:] = handlers
