"""The objective of a language model that shall say what another says: of each token, all that the other expects.

Shapes: R rows of a part, L tokens of a row, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.training.contracts import Loss


class Imitation:
    """``KL(P_teacher || P)``, the mean over the tokens of texts.

    Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network. 2015.
    """

    def __init__(self, teacher: Any, windows: Tensor, *, batch_size: int, parts: int = 1) -> None:
        """Keep the teacher, and texts as rows of tokens (.., L).

        Args:
            teacher: A causal language model of `transformers`, in evaluation mode; it is asked anew at every step,
                since what it says of all texts takes V numbers a token.
            windows: Texts.
            batch_size: Rows of a step.
            parts: Of a step, worked through one after the other to save memory.
        """
        self.teacher, self.windows, self.batch_size, self.parts = teacher, windows, batch_size, parts

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""
        return -(-len(self.windows) // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[list[Tensor]]:
        """Yield the rows in random order."""
        order = torch.from_numpy(rng.permutation(len(self.windows)))
        for rows in torch.split(order, self.batch_size):
            yield list(self.windows[rows].chunk(self.parts))

    def loss(self, model: nn.Module, batch: Tensor, device: torch.device) -> Loss:
        """Return the mean over the tokens."""
        tokens = batch.to(device)
        with torch.no_grad():
            wanted = self.teacher(input_ids=tokens, use_cache=False).logits.float().log_softmax(-1).flatten(0, 1)
        found = model(input_ids=tokens, use_cache=False).logits.float().log_softmax(-1).flatten(0, 1)
        value = functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
        return Loss(value, tokens.numel())
