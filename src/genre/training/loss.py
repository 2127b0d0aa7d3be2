"""Losses over a large vocabulary of items, which never hold the scores of all items for all positions.

Shapes: T positions to predict at, D numbers of a vector, I items, K sampled items, R positions of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

ItemLoss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From hidden states (T, D), item vectors (I, D) and targets (T,) to a mean loss."""

BLOCK_BYTES = 1 << 23
"""Bytes of scores held at once on a CPU (8 MiB): they stay in the shared cache between the three products."""
GPU_BLOCK_BYTES = 1 << 28
"""The same on a GPU (256 MiB), where large products are what is fast."""
_FEWEST_ROWS = 64
"""Positions of a block at least: fewer make the products slow. With a million items, they take 128 MiB."""
_MULTIPLE = 16
"""Positions of a block are a multiple of this, the last block's by zeros behind it: oneDNN keeps code and memory for
every shape that it has met, a gigabyte after some epochs of shapes that are all different."""
_SUMMED = 128
"""Numbers that are summed before their sum is rounded to bfloat16."""
_SAFE = 60.0
"""Scores within ±60 need no shift before exp: e^60 times a billion items is within float32's and bfloat16's range."""


def softmax_loss(
    hidden: Tensor, items: Tensor, targets: Tensor, *, block_bytes: int | None = None, exact: bool = False
) -> Tensor:
    """Return the mean cross-entropy of predicting `targets` among all items: ``mean(logsumexp(h V') - h . v_target)``.

    The loss and both gradients come from one pass over blocks of positions: a block's scores are multiplied out,
    replaced by their exponentials in place, and used for both gradients before the next block begins. Where the
    processor multiplies bfloat16, scores are held in it, with sums in float32: the loss is then right to about three
    digits, the target's own score is exact. Equals `torch.nn.functional.cross_entropy(hidden @ items.T, targets)`.

    Wijmans et al.: Cut Your Losses in Large-Vocabulary Language Models. ICLR 2025.

    Args:
        hidden: (T, D) what the model says at each position.
        items: (I, D) vectors of the items.
        targets: (T,) rows of the right items.
        block_bytes: Scores held at once, by default what suits the device.
        exact: Keep the products in the dtype of `hidden`, also where bfloat16 is faster.
    """
    dtype = hidden.dtype if exact or hidden.dtype != torch.float32 else fastest_dtype(hidden.device)
    size = block_bytes or (BLOCK_BYTES if hidden.device.type == "cpu" else GPU_BLOCK_BYTES)
    loss: Tensor = _FusedSoftmaxLoss.apply(hidden, items, targets, dtype, size)  # type: ignore[no-untyped-call]
    return loss


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies it with sums in float32, float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        # The check above is true for processors that only emulate: there float32 is faster.
        has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return torch.bfloat16 if has_bf16 else torch.float32
    return torch.float32


class SampledSoftmaxLoss:
    """Cross-entropy with K sampled items in place of all others.

    ``-s_t + log(exp(s_t) + sum_k exp(s_k - log(K q_k)))``, where q_k is the probability to sample k. Dividing by how
    often an item is sampled makes the sum an unbiased estimate of that over all items (logQ correction). The target is
    always there and so is not corrected; where it is sampled too, that sample is left out. All places share the
    samples.

    Bengio, Senecal: Adaptive Importance Sampling. IEEE TNN 2008; Khrylchenko et al.: Correcting the LogQ Correction.
    RecSys 2025.
    """

    def __init__(self, num_negatives: int, counts: NDArray[np.floating] | None = None, *, power: float = 0.75) -> None:
        """Choose what is sampled.

        Args:
            num_negatives: K.
            counts: (I,) how often each item is liked. Items are sampled in proportion to ``(count + 1)^power``; all
                alike without.
            power: 0 samples all alike, 1 by popularity; 0.75 between them is word2vec's.
        """
        self.num_negatives = num_negatives
        share = None if counts is None else (counts + 1.0) ** power
        self.shares = None if share is None else torch.from_numpy(share / share.sum()).float()

    def __call__(self, hidden: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss."""
        count = self.num_negatives
        if self.shares is None:
            sampled = torch.randint(len(items), (count,), device=hidden.device)
            correction = torch.full((count,), count / len(items), device=hidden.device).log()
        else:
            self.shares = self.shares.to(hidden.device)
            sampled = torch.multinomial(self.shares, count, replacement=True)
            correction = (count * self.shares[sampled]).log()
        own = (hidden * items[targets]).sum(1)
        scores = hidden @ items[sampled].T - correction
        scores = scores.masked_fill(targets[:, None] == sampled, -torch.inf)
        return (torch.cat([own[:, None], scores], 1).logsumexp(1) - own).mean()


class GbceLoss:
    """Binary cross-entropy with K sampled items, generalised so that it is not overconfident.

    ``-(beta log sigmoid(s_t) + sum_k log(1 - sigmoid(s_k))) / (K + 1)`` with ``beta = a (t (1 - 1/a) + 1/a)`` and
    ``a = K / (I - 1)``; t = 0 is plain binary cross-entropy, t = 1 makes sigmoid(s) an unbiased probability. All places
    share the samples, where the paper samples for each.

    Petrov, Macdonald: gSASRec: Reducing Overconfidence in Sequential Recommendation. RecSys 2023.
    """

    def __init__(self, num_negatives: int, calibration: float = 0.75) -> None:
        """Choose K and t; 256 and 0.75 are the paper's."""
        self.num_negatives, self.calibration = num_negatives, calibration

    def __call__(self, hidden: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss."""
        sampled = torch.randint(len(items), (self.num_negatives,), device=hidden.device)
        rate = min(1.0, self.num_negatives / max(1, len(items) - 1))
        beta = rate * (self.calibration * (1 - 1 / rate) + 1 / rate)
        own = functional.logsigmoid((hidden * items[targets]).sum(1))
        others = functional.logsigmoid(-(hidden @ items[sampled].T))
        others = others.masked_fill(targets[:, None] == sampled, 0.0)
        return -(beta * own + others.sum(1)).mean() / (self.num_negatives + 1)


class _FusedSoftmaxLoss(torch.autograd.Function):
    """Loss and gradients in one pass; `backward` only scales what `forward` has found."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        hidden: Tensor,
        items: Tensor,
        targets: Tensor,
        dtype: torch.dtype,
        block_bytes: int,
    ) -> Tensor:
        count = len(targets)
        needed = any(ctx.needs_input_grad)  # type: ignore[attr-defined]
        own = (hidden * items[targets]).sum(1)
        grad_hidden = torch.empty_like(hidden) if needed else hidden
        grad_items = torch.zeros_like(items) if needed else items
        log_sums = torch.empty_like(own)
        vocabulary = items.to(dtype)
        bound = hidden.norm(dim=1).max() * items.norm(dim=1).max() if count else own.sum()
        shifted = not bool(bound < _SAFE)
        rows = _block_rows(count, block_bytes // (vocabulary.element_size() * max(1, len(items))))
        buffer = torch.empty(rows, len(items), dtype=dtype, device=hidden.device)
        accumulate = torch.float64 if dtype == torch.float64 else torch.float32
        for start in range(0, count, rows):
            part = slice(start, min(start + rows, count))
            size = part.stop - start
            padded = -(-size // _MULTIPLE) * _MULTIPLE
            block = functional.pad(hidden[part], (0, 0, 0, padded - size))
            scores = torch.mm(block.to(dtype), vocabulary.T, out=buffer[:padded])
            highest = None
            if shifted:
                highest = scores.amax(1, keepdim=True)
                scores -= highest
            sums = _row_sums(scores.exp_(), accumulate)
            logs = sums.log() if highest is None else sums.log() + highest[:, 0].to(accumulate)
            log_sums[part] = logs[:size]
            if needed:
                grad_hidden[part] = ((scores @ vocabulary).to(accumulate) / sums[:, None])[:size]
                grad_items += scores.T @ (block / sums[:, None]).to(dtype)
        if needed:
            grad_hidden -= items[targets]
            grad_items.index_add_(0, targets, hidden, alpha=-1)
            ctx.save_for_backward(grad_hidden, grad_items)
        return (log_sums - own).mean()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_items = ctx.saved_tensors  # type: ignore[attr-defined]
        scale = grads[0] / max(1, len(grad_hidden))
        return grad_hidden * scale, grad_items * scale, None, None, None


def _block_rows(count: int, fitting: int) -> int:
    """Return the positions of a block: of as few blocks as may be, all of about the same size."""
    most = max(_FEWEST_ROWS, fitting // _MULTIPLE * _MULTIPLE)
    num_blocks = max(1, -(-count // most))
    return max(_MULTIPLE, -(-count // (num_blocks * _MULTIPLE)) * _MULTIPLE)


def _row_sums(scores: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the sums (R,) of positive numbers (R, I).

    A sum in another dtype makes torch copy everything first. In bfloat16, sums of 128 numbers are rounded and then
    added up in float32: right to a ten-thousandth, several times faster.
    """
    if scores.dtype != torch.bfloat16:
        return scores.sum(1, dtype=dtype)
    end = scores.shape[1] // _SUMMED * _SUMMED
    most: Tensor = scores[:, :end].unflatten(1, (-1, _SUMMED)).sum(2)  # type: ignore[no-untyped-call]
    return most.sum(1, dtype=dtype) + scores[:, end:].sum(1, dtype=dtype)
