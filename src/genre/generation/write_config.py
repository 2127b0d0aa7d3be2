"""How texts are written."""

from __future__ import annotations

from pydantic import Field

from genre.core.config import Config
from genre.generation.weighing import Weights
from genre.language.base import Sampling
from genre.language.encoders import AnyEncoder
from genre.language.generators import AnyGenerator
from genre.language.hashing import HashingEncoderConfig
from genre.language.moderation import ModerationConfig


class WriteConfig(Config):
    """How texts are written."""

    generator: AnyGenerator | None = None
    """The language model; none, the default, puts every text together from the facts."""
    sampling: Sampling = Sampling(max_tokens=128, temperature=0.7, top_p=0.95)
    """How candidates are drawn; the seed is that of the first, the others follow. A
    translation of more than some 80 words takes more tokens than these; where it is cut off, it is refused."""
    candidates: int = Field(default=3, ge=1, le=16)
    """Texts that are drawn together for each request."""
    draws: int = Field(default=2, ge=1, le=8)
    """How often candidates are drawn, as long as none may be shown."""
    least_told: float = Field(default=0.5, ge=0, le=1)
    """Share of a text's words that must stand in the facts. What a model makes up without a name or a number in it is
    found by no other check; half leaves room for words of its own."""
    weights: Weights = Weights()
    encoder: AnyEncoder = HashingEncoderConfig()
    """What preference is measured with. The default needs no model, and takes any language."""
    banned: tuple[str, ...] = ()
    """Terms that no text may hold."""
    moderation: ModerationConfig | None = None
    """Who is asked about every text before it is shown, beside the checks that are made here; nobody by default."""
    at_once: int = Field(default=64, ge=1)
    """Prompts that the language model gets together."""

    def check_installed(self) -> None:
        """Make sure that the libraries of model and moderation are there.

        Raises:
            DependencyError: One of them is not.
        """
        if self.generator is not None:
            self.generator.check_installed()
            self.encoder.check_installed()
        if self.moderation is not None:
            self.moderation.check_installed()
