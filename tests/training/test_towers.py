from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.training.towers import Choices, Histories, InBatch

CPU = torch.device("cpu")
ROWS = [[0, 1, 2, 3], [4, 1], [5], [2, 1, 0]]


class Sums(nn.Module):
    """A history is the sum of its items, at length 1."""

    def __init__(self, num_items: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(num_items, 4)

    def items(self, rows: Tensor) -> Tensor:
        return self.table(rows)

    def of_histories(self, vectors: Tensor, histories: Histories) -> Tensor:
        return functional.normalize(
            functional.embedding_bag(histories.items, vectors, histories.offsets, mode="sum"), dim=1
        )

    def of_items(self, vectors: Tensor) -> Tensor:
        return functional.normalize(vectors, dim=1)


def objective(**settings: object) -> InBatch:
    base = {"length": 2, "batch_size": 10, "temperature": 0.5}
    return InBatch(Interactions.of(Ragged.of(ROWS)), 6, **{**base, **settings})  # type: ignore[arg-type]


def only_batch(source: InBatch) -> Choices:
    ((batch,),) = source.batches(np.random.default_rng(0))
    return batch


def test_every_like_but_a_row_s_first_is_a_choice_after_its_newest_predecessors() -> None:
    batch = only_batch(objective())
    rows = batch.rows.numpy()
    ends = np.append(batch.histories.offsets.numpy()[1:], len(batch.histories.items))
    read = rows[batch.histories.items.numpy()]
    histories = [read[start:end].tolist() for start, end in zip(batch.histories.offsets, ends, strict=True)]
    targets = rows[batch.candidates.numpy()[batch.targets.numpy()]].tolist()
    assert sorted(zip(histories, targets, strict=True)) == sorted(
        [([0], 1), ([0, 1], 2), ([1, 2], 3), ([4], 1), ([2], 1), ([2, 1], 0)]
    )


def test_the_loss_by_hand() -> None:
    source, model = objective(), Sums()
    batch = only_batch(source)
    found = source.loss(model, batch, CPU)
    unit = functional.normalize(model.table.weight, dim=1)
    chosen = {1: 3, 2: 1, 3: 1, 0: 1}  # How often each is a target, of 6.
    expected = []
    for history, target in [([0], 1), ([0, 1], 2), ([1, 2], 3), ([4], 1), ([2], 1), ([2, 1], 0)]:
        asked = functional.normalize(model.table.weight[history].sum(0), dim=0)
        scores = torch.stack(
            [
                asked @ unit[item] / 0.5 - (0 if item == target else np.log(1 - (1 - count / 6) ** 10))
                for item, count in chosen.items()
            ]
        )
        expected.append(torch.logsumexp(scores, 0) - asked @ unit[target] / 0.5)
    assert found.count == 6
    assert found.value.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_hard_negatives_are_neighbours_that_the_person_does_not_like() -> None:
    neighbours = np.array([[5], [3], [4], [5], [0], [-1]], np.int32)
    source = objective(neighbours=neighbours, num_hard=1)
    batch = only_batch(source)
    targets = batch.rows.numpy()[batch.candidates.numpy()[batch.targets.numpy()]]
    lengths = np.diff(np.append(batch.histories.offsets.numpy(), len(batch.histories.items)))
    drawn = {
        (int(target), int(size)): (int(batch.rows[at]) if at >= 0 else None)
        for target, size, at in zip(targets, lengths, batch.hard[:, 0], strict=True)
    }
    assert drawn[(2, 2)] == 4
    assert drawn[(0, 2)] == 5
    assert drawn[(3, 2)] == 5
    likes_three = [row for row in ROWS if 3 in row]
    assert len(likes_three) == 1
    assert source.loss(Sums(), batch, CPU).value > objective().loss(Sums(), only_batch(objective()), CPU).value


def test_a_row_of_one_like_teaches_nothing() -> None:
    source = InBatch(Interactions.of(Ragged.of([[0], [1], []])), 2, length=2, batch_size=4, temperature=1.0)
    assert source.num_batches == 0
    assert list(source.batches(np.random.default_rng(0))) == []
