"""All generators that a configuration can name."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from genre.language.endpoint import EndpointGeneratorConfig
from genre.language.fake import FakeGeneratorConfig
from genre.language.local import LocalGeneratorConfig
from genre.language.smollm import SmolLmConfig

AnyGenerator: TypeAlias = Annotated[
    LocalGeneratorConfig | SmolLmConfig | EndpointGeneratorConfig | FakeGeneratorConfig, Field(discriminator="kind")
]
"""The settings of a generator, told apart by `kind`."""
