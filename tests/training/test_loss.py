"""The losses against plain ones in float64, values and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from genre.training.loss import GbceLoss, SampledSoftmaxLoss, fastest_dtype, softmax_loss


def example(count: int, size: int, num_items: int, *, scale: float = 1.0, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(count)
    hidden = torch.randn(count, size, generator=generator, dtype=dtype) * scale
    items = torch.randn(num_items, size, generator=generator, dtype=dtype)
    targets = torch.randint(num_items, (count,), generator=generator)
    return hidden.requires_grad_(), items.requires_grad_(), targets


def plain(hidden: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(hidden @ items.T, targets)


@settings(max_examples=40)
@given(
    count=st.integers(1, 200),
    size=st.integers(1, 9),
    num_items=st.integers(1, 120),
    scale=st.sampled_from([0.01, 1.0, 40.0]),
    block_rows=st.integers(1, 300),
)
def test_softmax_loss_is_cross_entropy_in_float64(
    count: int, size: int, num_items: int, scale: float, block_rows: int
) -> None:
    hidden, items, targets = example(count, size, num_items, scale=scale)
    mine = softmax_loss(hidden, items, targets, block_bytes=8 * num_items * block_rows)
    theirs = plain(hidden, items, targets)
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)
    for a, b in zip(
        torch.autograd.grad(3 * mine, (hidden, items)), torch.autograd.grad(3 * theirs, (hidden, items)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    hidden, items, targets = example(5, 3, 7)
    assert torch.autograd.gradcheck(lambda h, v: softmax_loss(h, v, targets), (hidden, items))


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_in_the_fastest_dtype_it_is_close(scale: float) -> None:
    hidden, items, targets = example(500, 16, 1000, scale=scale, dtype=torch.float32)
    mine, theirs = softmax_loss(hidden, items, targets), plain(hidden, items, targets)
    assert mine.item() == pytest.approx(theirs.item(), rel=5e-3)
    for a, b in zip(
        torch.autograd.grad(mine, (hidden, items)), torch.autograd.grad(theirs, (hidden, items)), strict=True
    ):
        assert float((a - b).norm() / b.norm()) < 0.15 if scale > 1 else float((a - b).norm() / b.norm()) < 0.02


def test_exact_keeps_float32() -> None:
    hidden, items, targets = example(300, 16, 500, dtype=torch.float32)
    mine = softmax_loss(hidden, items, targets, exact=True)
    torch.testing.assert_close(mine, plain(hidden, items, targets), rtol=1e-5, atol=1e-5)


def test_without_gradients_it_only_gives_the_value() -> None:
    hidden, items, targets = example(50, 4, 30)
    with torch.no_grad():
        value = softmax_loss(hidden, items, targets)
    assert not value.requires_grad
    torch.testing.assert_close(value, plain(hidden, items, targets).detach())


def test_huge_scores_do_not_overflow() -> None:
    hidden, items, targets = example(20, 4, 30, scale=1e4, dtype=torch.float32)
    value = softmax_loss(hidden, items, targets)
    assert math.isfinite(value.item())
    assert all(torch.isfinite(grad).all() for grad in torch.autograd.grad(value, (hidden, items)))


def test_a_number_that_is_none_is_not_hidden() -> None:
    hidden, items, targets = example(20, 4, 30, dtype=torch.float32)
    with torch.no_grad():
        items[3] = math.nan
    assert math.isnan(softmax_loss(hidden, items, targets).item())


def test_the_fastest_dtype_of_a_cpu_is_a_float() -> None:
    assert fastest_dtype(torch.device("cpu")) in {torch.bfloat16, torch.float32}


@pytest.mark.parametrize("counts", [None, np.arange(50.0)])
@pytest.mark.slow
def test_the_sampled_sum_is_unbiased(counts: np.ndarray | None) -> None:
    hidden, items, targets = example(8, 4, 50, scale=0.5)
    loss = SampledSoftmaxLoss(20, counts)
    torch.manual_seed(0)
    hidden, items = hidden.detach(), items.detach()
    own = (hidden * items[targets]).sum(1)

    # exp(loss) is the sum over own score of the target: for one place at a time its mean must be the full one's.
    full = torch.exp(functional.cross_entropy(hidden @ items.T, targets, reduction="none"))
    draws = torch.stack(
        [torch.stack([torch.exp(loss(hidden[[row]], items, targets[[row]])) for row in range(8)]) for _ in range(2000)]
    )
    assert own.shape == full.shape
    torch.testing.assert_close(draws.mean(0).double(), full, rtol=0.05, atol=0)


def test_a_sampled_target_counts_once() -> None:
    hidden, items, targets = example(6, 4, 1)  # The only item is the target: nothing is left to compare with.
    assert SampledSoftmaxLoss(3)(hidden, items, targets).item() == pytest.approx(0, abs=1e-6)
    assert GbceLoss(3)(hidden, items, targets).item() == pytest.approx(
        -functional.logsigmoid((hidden * items[targets]).sum(1)).mean().item() / 4
    )


def test_gbce_by_hand() -> None:
    hidden = torch.tensor([[1.0, 0.0]])
    items = torch.tensor([[2.0, 0.0], [-1.0, 0.0], [-1.0, 5.0]])
    # Whichever items but the target are sampled score -1; the target itself, if sampled, is left out.
    torch.manual_seed(1)
    sampled = torch.randint(3, (2,))
    torch.manual_seed(1)
    value = GbceLoss(2, calibration=0.75)(hidden, items, torch.tensor([0])).item()
    others = int((sampled != 0).sum())
    beta = 1.0  # All others are sampled: the rate is 1.
    by_hand = -(beta * math.log(1 / (1 + math.exp(-2))) + others * math.log(1 / (1 + math.exp(-1)))) / 3
    assert value == pytest.approx(by_hand, rel=1e-5)
