"""The objective of a model that ranks short lists: what came next goes before what did not.

Shapes: C candidates of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from genre.training.contracts import Loss


@dataclass(frozen=True)
class RankedList:
    """A history as tokens, and candidates for what came next, as tokens too; the first is what came."""

    beginning: list[int]
    candidates: list[list[int]]


class RankedLists:
    """``-log softmax(s)`` of the one that came, over the scores s of its list's candidates (Cao et al., ICML 2007)."""

    def __init__(
        self, num_lists: int, make: Callable[[int, np.random.Generator], RankedList], *, batch_size: int, parts: int = 1
    ) -> None:
        """Keep how lists are made.

        Args:
            num_lists: Of an epoch.
            make: Returns one by its number, with other candidates each time.
            batch_size: Lists of a step.
            parts: Of a step, worked through one after the other to save memory.
        """
        self.num_lists, self.make, self.batch_size, self.parts = num_lists, make, batch_size, parts

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""
        return -(-self.num_lists // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[list[Sequence[RankedList]]]:
        """Yield the lists in random order."""
        order = rng.permutation(self.num_lists)
        for start in range(0, len(order), self.batch_size):
            lists = [self.make(int(at), rng) for at in order[start : start + self.batch_size]]
            size = -(-len(lists) // self.parts)
            yield [lists[first : first + size] for first in range(0, len(lists), size)]

    def loss(self, model: nn.Module, batch: Sequence[RankedList], device: torch.device) -> Loss:
        """Return the mean loss over the lists."""
        costs: list[Tensor] = [-model(one.beginning, one.candidates).log_softmax(0)[0] for one in batch]
        return Loss(torch.stack(costs).mean(), len(batch))
