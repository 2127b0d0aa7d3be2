"""Encoders of the sentence-transformers library, from a directory or a model hub.

Shapes: N texts, D numbers of a vector.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.errors import ConfigError, DependencyError
from genre.core.run import Progress
from genre.language._batches import BATCH_TOKENS, Lengths, directory_hash, in_batches
from genre.language.base import EncoderConfig, Role
from genre.language.hardware import best_device, dtype_of, has_tiles, side_by_side
from genre.language.loading import quiet_loading
from genre.language.texts import short_key

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")
Precision: TypeAlias = Literal["auto", "fp32", "bf16", "int8"]
"""In what numbers a model reckons. `int8` rounds the inputs and weights of its linear layers to 8 bits: on processors
with VNNI instructions it is the fastest, but for those that multiply bf16 in tiles (AMX). `auto` takes `bf16` where the
processor has tiles, else `int8` where it has VNNI, else `bf16` where it is multiplied natively, else `fp32`."""
_ITEM_PROMPTS = ("document", "passage", "corpus")
"""How models name the prompt of what is to be found, in the library's order."""
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")
_WANTED = ("*.json", "*.txt", "*.model", "*.safetensors", "*/pytorch_model.bin")
_OTHER_FORMS = ("onnx/*", "openvino/*")


class SentenceEncoderConfig(EncoderConfig):
    """Any model of the sentence-transformers library, such as E5, BGE, GTE or a distilled multilingual one."""

    libraries: ClassVar[Mapping[str, str]] = {"sentence_transformers": "text", "torch": "torch"}
    kind: Literal["sentence_transformers"] = "sentence_transformers"
    model: str = Field(min_length=1)
    """A directory, or the model's name on the hub, such as `intfloat/multilingual-e5-small`."""
    revision: str | None = None
    """Commit, tag or branch of a model on the hub; none takes what is in the cache, and else the newest."""
    prompts: Mapping[Role, str] | None = None
    """What stands before a text of each role, such as `{item: "passage: ", query: "query: "}` for E5; none takes what
    the model's own settings say."""
    max_tokens: int | None = Field(default=None, ge=4)
    """Tokens of a text that are read; none takes what the model's own settings say."""
    precision: Precision = "auto"
    """In what numbers the model reckons."""
    batch_tokens: int = Field(default=BATCH_TOKENS, ge=1)
    """Tokens of a batch at most; a GPU can take many more."""

    def build(self) -> SentenceEncoder:
        """Return the encoder; its model is loaded when it is first asked."""
        return SentenceEncoder(self)


class SentenceEncoder:
    """Runs a model of the sentence-transformers library on batches of texts of like length.

    Pooling, prompts and normalisation are the library's own, so that the vectors are those of its `encode`; faster are
    the batches, which are filled by tokens and hardly padded, the numbers, and that equal texts are encoded once.
    """

    def __init__(self, config: SentenceEncoderConfig, *, weights: Callable[[], str] | None = None) -> None:
        """Keep the settings.

        Args:
            config: What to run.
            weights: Checks the model's files and returns their hash; none takes that of all files in the directory.
        """
        self.config = config
        self._weights = weights or (lambda: _fingerprint(config))

    @property
    def key(self) -> str:
        """Return a hash of settings and weights.

        `auto` counts as a precision of its own, though it takes what the machine has: its vectors differ between
        machines by no more than `int8` does from `fp32`.
        """
        config = self.config
        return short_key(
            config.kind,
            weights=self._weights(),
            prompts=None if config.prompts is None else dict(config.prompts),
            max_tokens=config.max_tokens,
            precision=config.precision,
        )

    def encode(self, texts: Sequence[str], *, role: Role = "item", progress: Progress | None = None) -> NDArray[Any]:
        """Return (N, D) float32 vectors of length 1, or 0 for a text of white space.

        Raises:
            ConfigError: The precision or the number of tokens is not to be had on this machine or with this model.
            DependencyError: The model is not there, or cannot be loaded.
        """
        model = self.model
        with side_by_side(model.device) as apply:
            return in_batches(
                texts,
                lengths=lambda some: _token_counts(model, some),
                encode=lambda some: self._run(some, role),
                size=lambda: self._run([" "], role).shape[1],
                batch_tokens=self.config.batch_tokens,
                progress=progress,
                apply=apply,
            )

    @property
    def prompts(self) -> dict[Role, str]:
        """What stands before a text of each role, where there is anything."""
        if self.config.prompts is not None:
            return dict(self.config.prompts)
        known = self.model.prompts
        item = next((known[name] for name in _ITEM_PROMPTS if name in known), None)
        named: dict[Role, str | None] = {"item": item, "query": known.get("query")}
        return {role: text for role, text in named.items() if text}

    @cached_property
    def model(self) -> SentenceTransformer:
        """The library's model, loaded when it is first asked for; all encoders of the same settings have one.

        Who changes it takes a copy of `load_own`.
        """
        key = self.key
        with _LOADING:
            found = _SHARED.get(key)
            if found is None:
                found = _SHARED[key] = self.load_own()
            return found

    def load_own(self) -> SentenceTransformer:
        """Return the library's model, loaded anew, for somebody who changes it."""
        self._weights()
        return load(self.config)

    def _run(self, texts: list[str], role: Role) -> NDArray[Any]:
        encode = self.model.encode_query if role == "query" else self.model.encode_document
        prompt = None if self.config.prompts is None else self.config.prompts.get(role, "")
        return np.asarray(encode(texts, prompt=prompt, batch_size=len(texts), show_progress_bar=False))


_SHARED: weakref.WeakValueDictionary[str, SentenceTransformer] = weakref.WeakValueDictionary()
"""Models in memory by the keys of their encoders, for as long as anybody has them: many scenarios read by one."""
_LOADING = Lock()


def load(config: SentenceEncoderConfig) -> SentenceTransformer:
    """Return the library's model, ready to run in its precision.

    Raises:
        ConfigError: The precision or the number of tokens is not to be had on this machine or with this model.
        DependencyError: The model is not there, or cannot be loaded.
    """
    from sentence_transformers import SentenceTransformer

    directory = directory_of(config) or _from_hub(config)
    try:
        with quiet_loading():
            model = SentenceTransformer(str(directory), device=str(best_device()), local_files_only=True)
    except Exception as error:  # Each form of model has its own ways to be damaged.
        raise _unusable(f"the model in {str(directory)!r} cannot be loaded", error) from error
    if config.max_tokens is not None:
        most = getattr(model.config, "max_position_embeddings", None)
        if most is not None and config.max_tokens > most:
            raise ConfigError(
                f"max_tokens {config.max_tokens} is more than the {most} that the model can read",
                place=config.kind,
                remedy="Lower it, or leave it out.",
            )
        model.max_seq_length = config.max_tokens
    # Batches are encoded side by side, and a tokenizer refuses two calls at once.
    setattr(model, "preprocess", _one_at_a_time(model.preprocess))  # noqa: B010
    return _in_precision(model, config)


def directory_of(config: SentenceEncoderConfig) -> Path | None:
    """Return the directory that `model` names, or None if it may be a name on the hub.

    Raises:
        DependencyError: It is written like a directory, and there is none.
    """
    path = Path(config.model).expanduser()
    if path.is_dir():
        return path
    if not _HUB_ID.fullmatch(config.model):
        raise _unusable(f"there is no directory {config.model!r}")
    return None


def _from_hub(config: SentenceEncoderConfig) -> Path:
    """Return where the hub's local cache holds the model, which is fetched if it is not there.

    What is there is taken without asking the hub, so that a name stands for the same vectors tomorrow.
    """
    from huggingface_hub import snapshot_download

    def found(patterns: Sequence[str], *, here: bool) -> Path:
        place = snapshot_download(
            config.model,
            revision=config.revision,
            allow_patterns=list(patterns),
            ignore_patterns=list(_OTHER_FORMS),
            local_files_only=here,
        )
        return Path(place)

    try:
        place = found(_WANTED, here=True)
        if _has_weights(place):
            return place
    except Exception:  # noqa: S110  # Not in the cache, however the library says so.
        pass
    try:
        place = found(_WANTED, here=False)
        return place if _has_weights(place) else found((*_WANTED, "*.bin"), here=False)
    except Exception as error:  # The hub's client raises the errors of several libraries.
        raise _unusable(f"{config.model!r} is not a directory, and cannot be fetched from the hub", error) from error


def _has_weights(place: Path) -> bool:
    return any(path.suffix in {".safetensors", ".bin"} for path in place.iterdir())


def _fingerprint(config: SentenceEncoderConfig) -> str:
    directory = directory_of(config)
    return f"{config.model}@{config.revision or 'main'}" if directory is None else directory_hash(directory)


def _unusable(problem: str, error: Exception | None = None) -> DependencyError:
    said = "" if error is None else f" ({type(error).__name__}: {' '.join(str(error).split())[:300]})"
    return DependencyError(
        problem + said,
        place="sentence_transformers",
        remedy="Without a hub there are `kind: minilm`, `kind: hashing`, a directory with a copy of the model, and a "
        "server of your own with `kind: endpoint`.",
    )


def _in_precision(model: SentenceTransformer, config: SentenceEncoderConfig) -> SentenceTransformer:
    import torch

    from genre.language._int8 import has_int8, quantise

    device, body, precision = model.device, model.transformers_model, config.precision
    fits_int8 = device.type == "cpu" and body is not None and has_int8()
    if precision == "auto":
        fits_bf16 = body is not None and dtype_of("auto", device) is torch.bfloat16
        in_tiles = fits_bf16 and has_tiles()
        precision = "int8" if fits_int8 and not in_tiles else "bf16" if fits_bf16 else "fp32"
    if precision == "int8":
        if body is None or not fits_int8:
            raise ConfigError(
                f"precision 'int8' needs a processor with VNNI instructions and a transformer, not {device.type!r}"
                f" with {type(body).__name__}",
                place=config.kind,
                remedy="Take precision 'auto'.",
            )
        quantise(body)
    return model.bfloat16() if precision == "bf16" else model


def _one_at_a_time(call: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    lock = Lock()

    @wraps(call)
    def locked(*arguments: Asked.args, **named: Asked.kwargs) -> Answer:
        with lock:
            return call(*arguments, **named)

    return locked


def _token_counts(model: SentenceTransformer, texts: list[str]) -> Lengths:
    """Return how many tokens the model reads of each text, or the characters where its tokenizer is of another kind."""
    tokenizer = getattr(model[0], "tokenizer", None)
    if not callable(tokenizer):
        return np.array([len(text) for text in texts])
    found = tokenizer(texts, truncation=True, max_length=model.max_seq_length, return_attention_mask=False)
    return np.array([len(ids) for ids in found["input_ids"]])
