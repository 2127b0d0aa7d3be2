"""What a teacher's lists and vectors cost a student, against the same worked out by hand."""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.training.distillation import (
    Alignment,
    Distillation,
    SoftLists,
    list_loss,
    reads_sequences,
    reads_towers,
)
from genre.training.next_item import last_hidden
from genre.training.packing import Packed
from genre.training.towers import Histories

CPU = torch.device("cpu")
RNG = np.random.default_rng


def histories(lists: list[list[int]]) -> Interactions:
    return Interactions.of(Ragged.of(lists))


def soft(lists: list[list[int]], scores: list[list[float]], **settings: float) -> SoftLists:
    asked = histories([[0]] * len(lists))
    rows, said = np.array(lists, np.int32), np.array(scores, np.float32)
    return SoftLists.of(asked, rows, said, **{"temperature": 1.0, "decay": 10.0, **settings})


class Reader(nn.Module):
    """Expects the sum of a history's vectors, the newest one twice."""

    def __init__(self, num_items: int = 6, size: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.vectors = nn.Parameter(torch.randn(num_items, size))

    def forward(self, packed: Packed, vectors: Tensor) -> Tensor:
        mine = (packed.visible & (packed.segments >= 0)[:, :, None]).float()
        return mine @ vectors[packed.items] + vectors[packed.items]

    def item_vectors(self) -> Tensor:
        return self.vectors

    def targets(self, vectors: Tensor) -> Tensor:
        return 2 * vectors

    def items(self, rows: Tensor | None = None) -> Tensor:
        return self.vectors if rows is None else self.vectors[rows]

    def of_histories(self, vectors: Tensor, asked: Histories) -> Tensor:
        return functional.normalize(vectors[asked.items[asked.last]], dim=1)

    def of_items(self, vectors: Tensor) -> Tensor:
        return functional.normalize(vectors, dim=1)


def test_a_place_counts_by_its_height_and_by_how_sure_the_teacher_is() -> None:
    found = soft([[4, 2, 5]], [[3.0, 2.0, 1.0]], temperature=0.5, decay=2.0)
    z = sqrt(3 / 2)  # The scores are 1, 0 and -1 around their mean, and their deviation is sqrt(2/3).
    likely = [exp(z / 0.5), 1.0, exp(-z / 0.5)]
    weights = [exp(-place / 2) * one / sum(likely) for place, one in enumerate(likely)]
    np.testing.assert_allclose(found.shares[0], np.array(weights) / sum(weights), rtol=1e-5)
    assert found.sure[0] == pytest.approx(sum(weights))


def test_what_the_student_does_not_know_leaves_its_place_empty() -> None:
    found = soft([[4, -1, 5], [-1, -1, -1], [3, -1, -1]], [[2.0, 9.0, 1.0], [0, 0, 0], [7.0, -np.inf, -np.inf]])
    assert found.items[:, 0].tolist() == [4, 3]
    likely = [exp(1), 0.0, exp(-1)]
    weights = [exp(-place / 10) * one / sum(likely) for place, one in enumerate(likely)]
    np.testing.assert_allclose(found.shares[0], np.array(weights) / sum(weights), rtol=1e-5)
    assert found.shares[1].tolist() == [1.0, 0.0, 0.0]
    assert found.sure[1] == 1
    nobody = SoftLists.of(
        histories([[]]), np.array([[1]], np.int32), np.ones((1, 1), np.float32), temperature=1, decay=1
    )
    assert len(nobody) == 0


def test_equal_scores_say_nothing_but_the_order() -> None:
    found = soft([[0, 1]], [[5.0, 5.0]], decay=1.0)
    np.testing.assert_allclose(found.shares[0], [1 / (1 + exp(-1)), exp(-1) / (1 + exp(-1))], rtol=1e-6)


def test_the_loss_is_the_weighted_log_likelihood_of_the_list() -> None:
    torch.manual_seed(0)
    hidden, items = (torch.randn(*size, requires_grad=True) for size in ((3, 4), (7, 4)))
    lists = torch.tensor([[0, 3, 5], [6, 2, 1], [4, 4, 4]])
    shares = torch.tensor([[0.5, 0.3, 0.2], [0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    found = list_loss(hidden, items, lists, shares)
    expected = -(shares * (hidden @ items.T).log_softmax(1).gather(1, lists)).sum(1).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-2)
    for ours, theirs in zip(
        torch.autograd.grad(found, (hidden, items)), torch.autograd.grad(expected, (hidden, items)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)


def test_two_items_by_hand() -> None:
    model = Reader(2, 2)  # Of the history's item it expects twice the vector, and scores twice the product: 4, 0.
    model.vectors.data = torch.eye(2)
    lists = soft([[1, 0]], [[1.0, -1.0]], decay=1.0)
    first, second = exp(1) / (exp(1) + exp(-1)), exp(-1) * exp(-1) / (exp(1) + exp(-1))
    share = first / (first + second)
    by_hand = log(exp(4) + 1) - share * 0 - (1 - share) * 4
    term = Distillation(lists, reads_sequences(3), weight=0.5, batch_size=4)
    assert term.penalty(model, None, RNG(0)).item() == pytest.approx(0.5 * by_hand, rel=1e-2)


def test_lists_are_drawn_by_how_sure_the_teacher_is() -> None:
    lists = soft([[0, 1], [2, 3]], [[9.0, 1.0], [9.0, 1.0]], decay=1.0)
    unlike = SoftLists(lists.histories, lists.items, lists.shares, np.array([3.0, 1.0]))
    asked: list[int] = []

    def read(_: nn.Module, drawn: Interactions, __: torch.device) -> tuple[Tensor, Tensor]:
        asked.extend(drawn.item_rows.tolist())
        return torch.zeros(len(drawn), 4), torch.zeros(6, 4)

    told = SoftLists(histories([[1], [2]]), unlike.items, unlike.shares, unlike.sure)
    Distillation(told, read, weight=1.0, batch_size=4000).penalty(Reader(), None, RNG(0))
    assert asked.count(1) / len(asked) == pytest.approx(0.75, abs=0.02)


def test_a_sequence_model_is_asked_for_what_comes_after_the_newest_likes() -> None:
    model, asked = Reader(), histories([[1, 2, 3, 4], [5], [0, 1]])
    hidden, items = reads_sequences(3)(model, asked, CPU)
    torch.testing.assert_close(hidden, last_hidden(model, asked, 3, model.vectors))
    torch.testing.assert_close(items, 2 * model.vectors)
    assert hidden.requires_grad


def test_two_towers_are_asked_about_all_items() -> None:
    model = Reader()
    hidden, items = reads_towers(3, 0.5)(model, histories([[1, 2, 3, 4], [5]]), CPU)
    unit = functional.normalize(model.vectors, dim=1)
    torch.testing.assert_close(hidden @ items.T, unit[[4, 5]] @ unit.T / 0.5)


def test_vectors_that_tell_the_teachers_cost_nothing_and_others_do() -> None:
    torch.manual_seed(0)
    items = torch.randn(200, 8)
    image = items @ torch.randn(8, 5) + 3
    kept = np.arange(0, 200, 2)
    found = Alignment(kept, image[kept], 0.5).loss(items, RNG(0))
    assert found.item() == pytest.approx(0, abs=1e-4)
    other = torch.randn(100, 5)
    assert 0.8 < Alignment(kept, other, 1.0).loss(items, RNG(0)).item() < 1
    assert Alignment(kept, other, 0.5).loss(items, RNG(0)).item() == pytest.approx(
        0.5 * Alignment(kept, other, 1.0).loss(items, RNG(0)).item()
    )


def test_the_gradient_of_the_alignment_is_that_with_the_map_moving_too() -> None:
    torch.manual_seed(0)
    items, theirs = torch.randn(50, 3, requires_grad=True), torch.randn(50, 4)
    (found,) = torch.autograd.grad(Alignment(np.arange(50), theirs, 1.0).loss(items, RNG(0)), items)
    own, centred = items - items.mean(0), theirs - theirs.mean(0)
    best = torch.linalg.lstsq(own, centred).solution
    (expected,) = torch.autograd.grad((own @ best - centred).pow(2).sum() / centred.pow(2).sum(), items)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-4)


def test_of_many_items_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genre.training.distillation._ALIGNED", 20)
    items = torch.randn(50, 3)
    alignment = Alignment(np.arange(50), torch.randn(50, 2), 1.0)
    assert alignment.loss(items, RNG(0)) == alignment.loss(items, RNG(0)) != alignment.loss(items, RNG(1))


def test_a_teacher_that_is_worse_has_nothing_more_to_say() -> None:
    term = Distillation(soft([[1, 0]], [[1.0, 0.0]]), reads_sequences(3), weight=1.0, batch_size=2, teacher=0.2)
    for epoch, value in enumerate([0.1, 0.2], 1):
        term.look(value)
        term.after_epoch(epoch)
    assert term.penalty(Reader(), None, RNG(0)).requires_grad
    term.look(0.21)
    term.after_epoch(3)
    term.look(0.1)
    term.after_epoch(4)
    assert term.ended == 3
    cost = term.penalty(Reader(), None, RNG(0))
    assert (cost.item(), cost.requires_grad) == (0, False)
    again = Distillation(term.lists, term.reading, weight=1.0, batch_size=2, teacher=0.2)
    again.restore(term.state())
    assert again.ended == 3
    unknown = Distillation(term.lists, term.reading, weight=1.0, batch_size=2)
    unknown.look(1.0)
    unknown.after_epoch(1)
    assert unknown.ended is None
    again.restore(unknown.state())
    assert again.ended is None


def test_the_same_step_draws_the_same_lists() -> None:
    lists = soft([[1, 0], [2, 3], [4, 5]], [[1.0, 0.0]] * 3)
    told = SoftLists(histories([[0], [1], [2]]), lists.items, lists.shares, lists.sure)
    term = Distillation(told, reads_sequences(3), weight=1.0, batch_size=2)
    values = [term.penalty(Reader(), None, RNG([0, step])).item() for step in (1, 1, 2, 3, 4)]
    assert values[0] == values[1]
    assert len(set(values)) > 1
