"""All text encoders that a configuration can name."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from genre.language.endpoint import EndpointEncoderConfig
from genre.language.fake import FakeEncoderConfig
from genre.language.hashing import HashingEncoderConfig
from genre.language.minilm import MiniLmConfig
from genre.language.onnx import OnnxEncoderConfig
from genre.language.sentence import SentenceEncoderConfig

AnyEncoder: TypeAlias = Annotated[
    HashingEncoderConfig
    | MiniLmConfig
    | SentenceEncoderConfig
    | OnnxEncoderConfig
    | EndpointEncoderConfig
    | FakeEncoderConfig,
    Field(discriminator="kind"),
]
"""The settings of an encoder, told apart by `kind`."""
