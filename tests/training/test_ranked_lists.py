"""The loss over short lists, against the same by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genre.training.ranked_lists import RankedList, RankedLists


class Counts(nn.Module):
    """Scores a candidate by its first token."""

    def forward(self, beginning: list[int], candidates: list[list[int]]) -> Tensor:
        return torch.tensor([float(candidate[0]) for candidate in candidates])


def make(at: int, rng: np.random.Generator) -> RankedList:
    assert rng is not None
    return RankedList([at], [[at], [0]])


def test_what_came_goes_before_the_others() -> None:
    objective = RankedLists(2, make, batch_size=2)
    loss = objective.loss(
        Counts(), [make(0, np.random.default_rng(0)), make(1, np.random.default_rng(0))], torch.device("cpu")
    )
    expected = (np.log(2) + np.log1p(np.exp(-1))) / 2
    assert loss.value.item() == pytest.approx(expected, rel=1e-5)
    assert loss.count == 2


@pytest.mark.parametrize(("batch_size", "parts"), [(4, 1), (4, 3), (16, 2)])
def test_every_list_is_seen_once_an_epoch(batch_size: int, parts: int) -> None:
    objective = RankedLists(10, make, batch_size=batch_size, parts=parts)
    steps = list(objective.batches(np.random.default_rng(0)))
    assert len(steps) == objective.num_batches
    assert sorted(one.beginning[0] for step in steps for part in step for one in part) == list(range(10))
    assert all(1 <= len(step) <= parts for step in steps)
