"""How texts are written."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from genre.core.config import Config
from genre.generation.audit import AuditLog
from genre.generation.weighing import Weights
from genre.generation.weight_fitting import read_comparisons
from genre.language.base import Sampling
from genre.language.encoders import AnyEncoder
from genre.language.generators import AnyGenerator
from genre.language.hashing import HashingEncoderConfig
from genre.language.moderation import ModerationConfig


class WriteConfig(Config):
    """How texts are written."""

    generator: AnyGenerator | None = None
    """The language model; none, the default, puts every text together from the facts."""
    sampling: Sampling = Sampling(max_tokens=128, temperature=0.4, top_p=0.95)
    """How candidates are drawn; the seed is that of the first, the others follow. Of 16 films, the embedded model wrote
    a headline that may be shown for 5 at a temperature of 0.7, for 8 at 0.3. A translation of more than some 80 words
    takes more tokens than these; where it is cut off, it is refused."""
    candidates: int = Field(default=3, ge=1, le=16)
    """Texts that are drawn together for each request."""
    draws: int = Field(default=2, ge=1, le=8)
    """How often candidates are drawn, as long as none may be shown."""
    least_told: float = Field(default=0.5, ge=0, le=1)
    """Share of a text's words that must stand in the facts. What a model makes up without a name or a number in it is
    found by no other check; half leaves room for words of its own."""
    weights: Weights = Weights()
    weights_from: Path | None = None
    """JSON lines as `genre write --out` writes them, with the place of the candidate that somebody preferred added to
    each as `preferred`, from 0. The weights are fitted to them, and held near `weights` where they say little."""
    encoder: AnyEncoder = HashingEncoderConfig()
    """What preference is measured with. The default needs no model, and takes any language."""
    banned: tuple[str, ...] = ()
    """Terms that no text may hold."""
    address_by: tuple[str, ...] = ()
    """Columns of the user table that people agreed to be addressed by, such as `name`. A kind of your own finds them in
    `person.given`, and they go to the language model; a text for anybody else may not hold them."""
    moderation: ModerationConfig | None = None
    """Who is asked about every text before it is shown, beside the checks that are made here; nobody by default."""
    audit: Path | None = None
    """A file of JSON lines to which one is added for each text that is shown or withheld: when, of which kind, about
    which item, by which model and prompt, what the checks said, and a hash of the text; for whom, by a salted hash.
    None keeps no log."""
    at_once: int = Field(default=64, ge=1)
    """Prompts that the language model gets together."""

    def check_installed(self) -> None:
        """Make sure that the libraries of model and moderation are there, and the files that are named can be used.

        Raises:
            ConfigError: The audit log cannot be written.
            DataError: What was preferred cannot be read.
            DependencyError: A library is not there.
        """
        if self.weights_from is not None:
            read_comparisons(self.weights_from)
        if self.audit is not None:
            AuditLog(self.audit).check()
        if self.generator is not None:
            self.generator.check_installed()
            self.encoder.check_installed()
        if self.moderation is not None:
            self.moderation.check_installed()
