"""The objective of a network that classifies: cross-entropy of labels.

Shapes: N labelled things of a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre.training.contracts import Loss

Labelled: TypeAlias = tuple[Any, Tensor]
"""What a network reads, and the labels (N,) of it."""


class Classes:
    """``-log softmax(z)`` of the right class, over a network's logits z."""

    def __init__(
        self, num_rows: int, make: Callable[[NDArray[np.int64]], Labelled], *, batch_size: int, parts: int = 1
    ) -> None:
        """Keep how batches are made.

        Args:
            num_rows: Of an epoch: labelled things, or groups of them that are read together.
            make: Returns what the network reads of some rows.
            batch_size: Rows of a step.
            parts: Of a step, worked through one after the other to save memory.
        """
        self.num_rows, self.make, self.batch_size, self.parts = num_rows, make, batch_size, parts

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""
        return -(-self.num_rows // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[list[Labelled]]:
        """Yield the rows in random order."""
        order = rng.permutation(self.num_rows)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield [self.make(part) for part in np.array_split(rows, self.parts) if len(part)]

    def loss(self, model: nn.Module, batch: Labelled, device: torch.device) -> Loss:
        """Return the mean over the labels."""
        inputs, labels = batch
        read = inputs.to(device) if isinstance(inputs, Tensor) else inputs
        return Loss(functional.cross_entropy(model(read).float(), labels.to(device)), len(labels))
