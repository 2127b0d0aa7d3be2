"""Which weights of a model learn, at which rates and when, and which are disturbed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from genre.core.errors import ConfigError
from genre.training.config import TrainingConfig


@runtime_checkable
class Layered(Protocol):
    """A model whose layers can learn at different rates, and one after the other."""

    def layer_of(self, name: str) -> int | None:
        """Return how many layers lie between a weight and the output, by its name; none for what belongs to none."""


@runtime_checkable
class ReadsVectors(Protocol):
    """A model that reads vectors which can be disturbed."""

    def disturbed(self) -> list[nn.Parameter]:
        """Return the tables of vectors."""


def optimizer_of(model: nn.Module, config: TrainingConfig, name: str) -> torch.optim.Optimizer:
    """Return the optimizer; weights of the same layer are a group that knows its `layer`.

    Raises:
        ConfigError: Layers shall learn differently, and the model has none.
    """
    rate, decay = config.learning_rate, config.weight_decay
    groups = [
        {"params": weights, "layer": layer, "lr": rate * config.layer_decay**layer}
        for layer, weights in _layers(model, config, name).items()
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, rate, momentum=0.9, weight_decay=decay)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, rate, weight_decay=decay, fused=True)


def _layers(model: nn.Module, config: TrainingConfig, name: str) -> dict[int, list[nn.Parameter]]:
    """Return the weights that learn by the layers between them and the output; all as one if that is no matter."""
    together = config.layer_decay == 1 and config.unfreeze_every is None and config.layers is None
    if not together and not isinstance(model, Layered):
        raise ConfigError(
            "the model has no layers that could learn at different rates, or not at all",
            place=name,
            remedy="Leave `layer_decay`, `unfreeze_every` and `layers` out.",
        )
    found: dict[int, list[nn.Parameter]] = {}
    for key, weight in model.named_parameters():
        if weight.requires_grad:
            layer = 0 if together or not isinstance(model, Layered) else model.layer_of(key) or 0
            found.setdefault(layer, []).append(weight)
    return dict(sorted(found.items()))


def disturbed_tables(model: nn.Module, config: TrainingConfig, name: str) -> list[nn.Parameter]:
    """Return the tables of vectors that adversarial training moves, if it is wanted.

    Raises:
        ConfigError: It is wanted, and the model has none.
    """
    if not config.adversarial:
        return []
    if not isinstance(model, ReadsVectors):
        raise ConfigError("the model has no vectors to disturb", place=name, remedy="Leave `adversarial` out.")
    return [table for table in model.disturbed() if table.requires_grad]


@contextmanager
def disturbance(tables: Sequence[nn.Parameter], length: float) -> Iterator[None]:
    """Move vectors in the direction that hurts most, by their gradients, for as long as this lasts.

    Miyato et al.: Adversarial Training Methods for Semi-Supervised Text Classification. ICLR 2017.
    """
    kept = [table.detach().clone() for table in tables]
    with torch.no_grad():
        for table in tables:
            if table.grad is not None and float(norm := table.grad.norm()) > 0:
                table.add_(table.grad, alpha=length / float(norm))
    try:
        yield
    finally:
        with torch.no_grad():
            for table, values in zip(tables, kept, strict=True):
                table.copy_(values)
