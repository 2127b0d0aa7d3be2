"""Two networks with a layer in common: what is learned elsewhere moves that layer, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genre.training.contracts import Loss
from genre.training.rehearsal import Rehearsal


class Net(nn.Module):
    """A layer that both have, behind one of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.own, self.common = nn.Linear(3, 2), nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.common(self.own(x))
        return found


class Squares:
    """The mean square of what comes out, for two parts of a batch that is drawn."""

    num_batches = 1

    def batches(self, rng: np.random.Generator) -> Iterator[list[Tensor]]:
        drawn = torch.from_numpy(rng.normal(size=(5, 3))).float()
        yield [drawn[:2], drawn[2:]]

    def loss(self, model: nn.Module, batch: Tensor, device: torch.device) -> Loss:
        return Loss((model(batch.to(device)) ** 2).mean(), len(batch))


SHARED = ["common.weight", "common.bias"]


def test_the_penalty_is_the_other_loss_with_the_shared_layer_of_the_one_that_learns() -> None:
    here, there = Net(0), Net(1)
    term = Rehearsal(there, Squares(), SHARED, weight=0.5)
    found = term.penalty(here, None, np.random.default_rng(3))
    drawn = torch.from_numpy(np.random.default_rng(3).normal(size=(5, 3))).float()
    expected = 0.5 * (here.common(there.own(drawn)) ** 2).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    assert here.common.weight.grad is not None
    assert here.own.weight.grad is None
    assert there.own.weight.grad is None


def test_what_is_shared_follows_the_one_that_learns() -> None:
    here, there = Net(0), Net(1)
    term = Rehearsal(there, Squares(), SHARED, weight=1.0)
    first = term.penalty(here, None, np.random.default_rng(3)).item()
    with torch.no_grad():
        here.common.weight.mul_(2)
        here.common.bias.mul_(2)
    assert term.penalty(here, None, np.random.default_rng(3)).item() == pytest.approx(4 * first, rel=1e-5)
    assert torch.equal(there.common.weight, Net(1).common.weight), "the other network is left as it is"
    assert there.common.weight.requires_grad


def test_another_one_that_learns_takes_its_place() -> None:
    first, second, there = Net(0), Net(2), Net(1)
    term = Rehearsal(there, Squares(), SHARED, weight=1.0)
    before = term.penalty(first, None, np.random.default_rng(3)).item()
    assert term.penalty(second, None, np.random.default_rng(3)).item() != pytest.approx(before)
    assert term.penalty(first, None, np.random.default_rng(3)).item() == pytest.approx(before)
