"""What is learned where there is nothing but what a term teaches, such as a teacher's lists beside an empty log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from genre.training.contracts import Loss


@dataclass(frozen=True)
class Nothing:
    """An objective that says nothing itself, for as many steps as a term has something to say in."""

    num_batches: int
    """Steps of an epoch."""

    def batches(self, rng: np.random.Generator) -> Iterator[list[None]]:
        """Yield so many empty batches."""
        for _ in range(self.num_batches):
            yield [None]

    def loss(self, model: nn.Module, batch: None, device: torch.device) -> Loss:
        """Return 0, of no target."""
        learning = next(parameter for parameter in model.parameters() if parameter.requires_grad)
        return Loss(0 * learning.sum(), 0)
