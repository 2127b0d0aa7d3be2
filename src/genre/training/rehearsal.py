"""What was learned elsewhere is learned on, beside what is learned here."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genre.training.contracts import Objective, Term


class Rehearsal(Term):
    """The loss on another log, of a network that shares parameters with the one that learns.

    What both share is drawn by both losses; what is the other's alone, such as the vectors of its items, stays as it
    was. It is rehearsal (Robins: Catastrophic forgetting, rehearsal and pseudorehearsal. Connection Science 1995).
    """

    def __init__(self, network: nn.Module, objective: Objective[Any], shared: Iterable[str], *, weight: float) -> None:
        """Keep a copy of what the other network has learned.

        Args:
            network: The other one; it is left as it is.
            objective: What it learns from.
            shared: Names of the parameters that are those of the network that learns.
            weight: How much a step's batch of the other log counts beside one of this.
        """
        # What never learns is not copied: of a language model it is nearly all.
        fixed = {id(value): value for value in network.parameters() if not value.requires_grad}
        self.network, self.objective, self.weight = deepcopy(network, fixed), objective, weight
        self.network.requires_grad_(False)
        self._shared = tuple(shared)
        self._tied_to: nn.Module | None = None

    def penalty(self, model: nn.Module, batch: Any, rng: np.random.Generator) -> Tensor:
        """Return the loss on a batch of the other log, drawn anew."""
        if self._tied_to is not model:
            self._tie(model)
        self.network.train(model.training)
        device = next(model.parameters()).device
        parts = next(iter(self.objective.batches(rng)))
        losses = [self.objective.loss(self.network, part, device) for part in parts]
        total = sum(loss.count for loss in losses)
        found: Tensor = self.weight * torch.stack([loss.value * loss.count for loss in losses]).sum() / max(1, total)
        return found

    def _tie(self, model: nn.Module) -> None:
        """Let the shared parameters be those of the network that learns: the same ones, not copies."""
        own = dict(model.named_parameters())
        self.network.to(next(model.parameters()).device)
        for name in self._shared:
            if name in own:  # The others are buffers, which do not learn.
                module, _, last = name.rpartition(".")
                setattr(self.network.get_submodule(module), last, own[name])
        self._tied_to = model
