"""The objective of generative retrieval: at every place of a history, say the codes of the item that comes next.

Rajput et al.: Recommender Systems with Generative Retrieval. NeurIPS 2023.

Shapes: T targets, R rows, L places of a row, D numbers of a vector, I items, S levels of codes, K codes of a level.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.training.loop import Loss
from genre.training.next_item import NextItem, Steps
from genre.training.packing import Packed


class CodeModel(Protocol):
    """Reads histories, and says items code by code."""

    def encode(self, packed: Packed, codes: Tensor) -> Tensor:
        """Return what is expected after each place (R, L, D), where the items of `packed` are rows of `codes` (I, S)."""

    def __call__(self, hidden: Tensor, codes: Tensor) -> list[Tensor]:
        """Return the log-odds (T, K) of each level, given what is expected (T, D) and the codes before (T, S)."""


class NextCodes:
    """``-sum_l log P(c_l | history, c_1 ... c_{l-1})`` of the next item at every place, each code given the right ones.

    Minus the logarithm of the item's probability, since an item is its codes. Windows are those of `NextItem`.
    """

    def __init__(self, log: Interactions, codes: NDArray[np.int64], *, length: int, batch_size: int, parts: int = 1):
        """Cut the log.

        Args:
            log: Histories; those with fewer than two likes teach nothing.
            codes: (I, S) of the items in it.
            length: Places of a window.
            batch_size: Windows of a step.
            parts: Of a step, worked through one after the other to save memory.
        """
        self.windows = NextItem(log, length=length, batch_size=batch_size, parts=parts)
        self.codes = torch.from_numpy(codes)

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""
        return self.windows.num_batches

    def batches(self, rng: np.random.Generator) -> Iterator[list[Steps]]:
        """Yield the windows in random order."""
        return self.windows.batches(rng)

    def loss(self, model: nn.Module, batch: Steps, device: torch.device) -> Loss:
        """Return the mean loss over the targets."""
        speaker: CodeModel = model  # type: ignore[assignment]
        self.codes = self.codes.to(device)
        hidden = speaker.encode(batch.inputs.to(device), self.codes).flatten(0, 1)[batch.places.to(device)]
        targets = self.codes[batch.targets.to(device)]
        logits = speaker(hidden, targets)
        parts = [functional.cross_entropy(level.float(), targets[:, at]) for at, level in enumerate(logits)]
        return Loss(torch.stack(parts).sum(), len(targets))
