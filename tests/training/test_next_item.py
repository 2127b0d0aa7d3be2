"""The objective of sequence models: what is compared with what."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.data import sequences
from genre.training.loss import softmax_loss
from genre.training.next_item import NextItem, Steps, last_hidden
from genre.training.packing import Packed

CPU = torch.device("cpu")


class Plain(nn.Module):
    """Expects after an item the item's own vector plus a number for its age."""

    def __init__(self, num_items: int = 10) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.items = nn.Embedding(num_items, 4)

    def forward(self, packed: Packed, vectors: Tensor) -> Tensor:
        return vectors[packed.items] + packed.ages[..., None]

    def item_vectors(self) -> Tensor:
        return self.items.weight

    def targets(self, vectors: Tensor) -> Tensor:
        return vectors


def log(lists: list[list[int]]) -> Interactions:
    return Interactions.of(Ragged.of(lists))


def test_targets_follow_their_places() -> None:
    steps = Steps.of(log([[1, 2, 3], [4, 5]]), 4)
    assert steps.inputs.items.flatten()[steps.places].tolist() == [1, 2, 4]
    assert steps.targets.tolist() == [2, 3, 5]


def test_the_loss_is_that_of_each_step_alone() -> None:
    rows = [[1, 2, 3, 4], [5, 6], [7], [8, 9, 1]]
    model = Plain()
    objective = NextItem(log(rows), length=3, batch_size=10)
    ((batch,),) = objective.batches(np.random.default_rng(0))
    found = objective.loss(model, batch, CPU)
    expected = []
    for row in rows:
        for place, (item, target) in enumerate(pairwise(row)):
            hidden = model.items.weight[item] + len(row) - 2 - place  # The newest input has age 0.
            expected.append(functional.cross_entropy(hidden @ model.items.weight.T, torch.tensor(target)))
    assert found.count == len(expected) == 6
    assert found.value.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-2)


def test_an_epoch_holds_every_step_once_whatever_the_parts() -> None:
    rows = [list(range(size)) for size in (2, 5, 9, 3, 4, 2, 7)]
    objective = NextItem(log(rows), length=4, batch_size=3, parts=2)
    steps = list(objective.batches(np.random.default_rng(1)))
    assert len(steps) == objective.num_batches
    assert all(1 <= len(parts) <= 2 for parts in steps)
    targets = sorted(target for parts in steps for part in parts for target in part.targets.tolist())
    assert targets == sorted(item for row in rows for item in row[1:])


def test_the_order_of_an_epoch_comes_from_its_generator() -> None:
    objective = NextItem(log([[a, a + 1] for a in range(9)]), length=4, batch_size=2)

    def order(seed: int) -> list[int]:
        batches = objective.batches(np.random.default_rng(seed))
        return [target for (part,) in batches for target in part.targets.tolist()]

    assert order(0) == order(0) != order(1)


def test_an_epoch_may_hold_a_part_drawn_anew() -> None:
    objective = NextItem(log([[row, row + 10] for row in range(9)]), length=3, batch_size=2, most=5)
    assert objective.num_batches == 3
    epochs = [
        [int(target) for (steps,) in objective.batches(np.random.default_rng(epoch)) for target in steps.targets]
        for epoch in range(2)
    ]
    assert [len(set(epoch)) for epoch in epochs] == [5, 5]
    assert set(epochs[0]) != set(epochs[1])


def test_augmentations_alter_the_batches() -> None:
    objective = NextItem(log([[1, 2, 3, 4, 5, 6]] * 20), length=8, batch_size=20, augmentations=[sequences.prefix])
    ((batch,),) = objective.batches(np.random.default_rng(0))
    assert 20 <= len(batch.targets) < 20 * 5


def test_the_contrastive_term_falls_when_views_agree() -> None:
    rows = [[a, a + 1] for a in range(8)]
    model = Plain()
    alike = NextItem(log(rows), length=4, batch_size=8, contrastive=1.0)
    ((batch,),) = alike.batches(np.random.default_rng(0))
    assert batch.views is not None
    ends = [packed.items.flatten()[packed.places].tolist() for packed in batch.views]
    assert ends[0] == ends[1]
    plain = NextItem(log(rows), length=4, batch_size=8).loss(model, batch, CPU)
    vectors = model.item_vectors()
    said = model(batch.inputs, vectors).flatten(0, 1)[batch.places]
    term = alike.loss(model, batch, CPU).value.item() - softmax_loss(said, vectors, batch.targets).item()
    assert plain.count == 8
    hidden = functional.normalize(model.items.weight[torch.tensor(ends[0][1::2])], dim=1)
    expected = functional.cross_entropy(hidden @ hidden.T / 0.1, torch.arange(8)).item()
    assert term == pytest.approx(expected, rel=1e-3)


def test_last_hidden_reads_the_end_and_leaves_empty_histories_at_zero() -> None:
    model = Plain()
    found = last_hidden(model, log([[1, 2, 3], [], [4]]), 2, model.item_vectors())
    torch.testing.assert_close(
        found, torch.stack([model.items.weight[3], torch.zeros(4), model.items.weight[4]]).detach()
    )
    assert last_hidden(model, log([[], []]), 2, model.item_vectors()).shape == (2, 4)
    assert last_hidden(model, log([]), 2, model.item_vectors()).shape == (0, 4)
