from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.training.next_codes import NextCodes
from genre.training.packing import Packed

CODES = np.array([[0, 1], [1, 0], [1, 2]])


class Even(nn.Module):
    """Expects nothing, and holds all codes for equally likely; keeps what it was told."""

    def encode(self, packed: Packed, codes: Tensor) -> Tensor:
        return torch.zeros(*packed.items.shape, 4)

    def forward(self, hidden: Tensor, codes: Tensor) -> list[Tensor]:
        self.given = codes
        return [torch.zeros(len(hidden), 2), torch.zeros(len(hidden), 3)]


def objective(rows: list[list[int]], batch_size: int = 2) -> NextCodes:
    return NextCodes(Interactions.of(Ragged.of(rows)), CODES, length=4, batch_size=batch_size)


def test_the_loss_is_minus_the_log_probability_of_the_next_items() -> None:
    model = Even()
    made = objective([[0, 1, 2], [2, 0]])
    ((batch,),) = list(made.batches(np.random.default_rng(0)))
    loss = made.loss(model, batch, torch.device("cpu"))
    assert loss.count == 3
    np.testing.assert_allclose(float(loss.value), np.log(2 * 3), rtol=1e-6)
    assert sorted(map(tuple, model.given.tolist())) == [(0, 1), (1, 0), (1, 2)]


def test_steps_of_an_epoch() -> None:
    made = objective([[0, 1], [1, 2], [2, 0], [1]])
    assert made.num_batches == 2
    assert sum(len(parts[0].targets) for parts in made.batches(np.random.default_rng(0))) == 3
    assert objective([[1], []]).num_batches == 0
