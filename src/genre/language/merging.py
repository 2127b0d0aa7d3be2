"""A model that was tuned, as an ordinary one: whatever loads a model of `transformers` can load it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre.core.errors import ConfigError
from genre.language.loading import quiet_loading
from genre.language.tuning import Method, TunedModel

if TYPE_CHECKING:
    import torch

MERGED: tuple[Method, ...] = ("lora", "adalora", "ia3", "last_layers", "full")
"""Ways to tune whose outcome is the model's own weights; a prefix stays beside them."""


def save_merged(tuned: TunedModel, tokenizer: Any, directory: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a model with what it has learned within its own weights, in float32, so that none of it is rounded away.

    The model itself cannot learn any more afterwards.

    Args:
        tuned: The model.
        tokenizer: Written beside it.
        directory: Where to.
        dtype: Other numbers to write it in.

    Raises:
        ConfigError: What it has learned stands beside its weights.
    """
    if tuned.config.method not in MERGED:
        raise ConfigError(
            f"what {tuned.config.method!r} has learned is no part of the model's weights",
            place="tuning.method",
            remedy=f"Choose one of {', '.join(map(repr, MERGED))}.",
        )
    model = tuned.language.merge_and_unload() if tuned.config.adds else tuned.causal
    if dtype is not None:
        model.to(dtype)
    with quiet_loading():
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
