"""What may protect a language model's writing. Needs no torch, so that a config file can be read without."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from genre.core.config import Config


class ProtectionConfig(Config):
    """What keeps a language model able to write while it learns to recommend. By default nothing."""

    kl: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the base on texts, in nats a token, beside the loss over the items in nats."""
    replay: float = Field(default=0.0, ge=0)
    """Weight of the loss of writing these texts again."""
    elastic: float = Field(default=0.0, ge=0)
    """Weight of what holds weights that matter for writing where they were (EWC)."""
    hold: float | None = Field(default=None, gt=0)
    """Share by which the loss on texts that nothing is learned from may rise: the weights of `kl` and `replay` then
    rise and fall during training so as to hold it."""
    stop: float | None = Field(default=None, gt=0)
    """Share by which that loss may rise before learning ends, early stopping on the cost in place of the gain."""
    watch: bool = False
    """Whether that loss is looked at after each epoch, for a learning curve."""
    languages: tuple[Literal["en", "zh"], ...] = Field(default=("en",), min_length=1)
    """Of the general texts: those that the base can write."""
    catalogue: float = Field(default=0.25, ge=0, le=1)
    """Share of the texts that are the catalogue's own; the others are general."""
    answers: bool = False
    """Whether half of the texts are the base's own answers to requests. It writes them before it learns."""
    tokens: int = Field(default=256, ge=16)
    """Tokens of text in each step."""

    @model_validator(mode="after")
    def _something_is_held(self) -> ProtectionConfig:
        if self.hold is not None and not (self.kl or self.replay):
            raise ValueError(f"`hold` {self.hold} turns the weights of `kl` and `replay`, and both are 0; set one")
        return self

    @property
    def is_on(self) -> bool:
        """Whether anything is protected."""
        return bool(self.kl or self.replay or self.elastic or self.stop or self.watch)
