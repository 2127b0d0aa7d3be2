from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.training.contracts import Loss
from genre.training.next_codes import NextCodes, Prefixes
from genre.training.packing import Packed

# Items 0 and 1 begin alike, item 2 stands alone.
PREFIXES = Prefixes(np.array([[0, 0], [0, 1], [1, 2]]), (np.array([0, 2]), np.array([0, 2, 3])))


class Fixed(nn.Module):
    """Expects nothing, and says the same of all; keeps what it was told."""

    def __init__(self, said: list[list[float]]) -> None:
        super().__init__()
        self.said = torch.tensor(said, dtype=torch.float32)

    def vectors(self) -> list[Tensor]:
        return [torch.eye(3)[:2], torch.eye(3)]

    def targets(self, vectors: Tensor) -> Tensor:
        return vectors

    def say(self, packed: Packed, places: Tensor, targets: Tensor, prefixes: Tensor, vectors: list[Tensor]) -> Tensor:
        assert len(places) == len(targets) == int((packed.segments >= 0).sum())
        self.given = prefixes[targets]
        return self.said.expand(len(targets), -1, -1)


def objective(rows: list[list[int]], batch_size: int = 2) -> NextCodes:
    return NextCodes(Interactions.of(Ragged.of(rows)), PREFIXES, length=4, batch_size=batch_size)


def loss_of(rows: list[list[int]], model: Fixed) -> Loss:
    made = objective(rows)
    ((batch,),) = list(made.batches(np.random.default_rng(0)))
    return made.loss(model, batch, torch.device("cpu"))


def test_the_loss_is_minus_the_log_probability_of_the_next_items() -> None:
    model = Fixed([[float(np.log(3)), 0, 0], [0, float(np.log(4)), float(np.log(9))]])
    loss = loss_of([[0, 1, 2], [2, 0]], model)
    assert loss.count == 3
    # P(0) = 3/4 * 1/5, P(1) = 3/4 * 4/5, P(2) = 1/4 * 1: what item 2 might be is said by its first code.
    np.testing.assert_allclose(float(loss.value), -np.log([0.75 * 0.2, 0.75 * 0.8, 0.25]).mean(), rtol=1e-6)
    assert sorted(map(tuple, model.given.tolist())) == [(0, 0), (0, 1), (1, 2)]


def test_what_is_certain_costs_nothing() -> None:
    np.testing.assert_allclose(float(loss_of([[0, 2]], Fixed([[0, 0, 0], [5, 5, 5]])).value), np.log(2), rtol=1e-6)


def test_steps_of_an_epoch() -> None:
    made = objective([[0, 1], [1, 2], [2, 0], [1]])
    assert made.num_batches == 2
    assert sum(len(parts[0].targets) for parts in made.batches(np.random.default_rng(0))) == 3
    assert objective([[1], []]).num_batches == 0
