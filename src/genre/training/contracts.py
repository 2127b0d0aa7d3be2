"""What the training loop asks of others: something to learn from, and what else each step costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class Loss:
    """What one part of a batch costs."""

    value: Tensor
    """Mean over the targets, a scalar."""
    count: int
    """Targets it is the mean of."""


class Objective(Protocol[BatchT]):
    """What is learned from."""

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""

    def batches(self, rng: np.random.Generator) -> Iterator[list[BatchT]]:
        """Yield one epoch, each step as a list of parts whose gradients are added up."""

    def loss(self, model: nn.Module, batch: BatchT, device: torch.device) -> Loss:
        """Return what the model makes of one part."""


class Term(ABC):
    """Something that is added to the loss of each step, beside what the objective says."""

    ends: bool = False
    """Whether learning must end with the last step, because this has cost too much."""
    num_batches: int = 0
    """Steps of an epoch that it has something to teach in where the log teaches nothing."""
    items: NDArray[np.bool_] | None = None
    """(I,) items that it speaks of, and that are learned beside those of the log; None for none."""

    @abstractmethod
    def penalty(self, model: nn.Module, batch: Any, rng: np.random.Generator) -> Tensor:
        """Return what the step costs, a scalar, by its own weight.

        Args:
            model: As it is now.
            batch: What the objective learns from in this step.
            rng: Of this step alone, so that a training that was killed goes on in the same way.
        """

    def after_step(self, model: nn.Module, step: int) -> None:  # noqa: B027  # Most have nothing to look at.
        """Look at what the step has done; the gradients are still there."""

    def after_epoch(self, epoch: int) -> None:  # noqa: B027
        """Look at what the epoch has done, counted from 1."""

    def state(self) -> dict[str, float]:
        """Return what has changed during training, for a checkpoint."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:  # noqa: B027
        """Take back what `state` returned."""


class Protection(Term):
    """Something that a model shall not lose while it learns."""


@dataclass(frozen=True, eq=False)
class Others:
    """Items of another catalogue, F of them, which stand in histories and never come next."""

    num_items: int
    """Of this catalogue; the others are the rows from there on."""
    vectors: Callable[[nn.Module], Tensor]
    """What they are read as (F, D) by the model that learns."""
