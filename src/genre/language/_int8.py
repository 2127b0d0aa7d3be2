"""Linear layers in whole numbers of 8 bits, which newer processors multiply several times as fast as floats.

Shapes: R rows (one for each token), I numbers in, O numbers out.
"""

from __future__ import annotations

from threading import local

import torch
from torch import Tensor, nn

_STEPS = 127
"""Whole numbers on each side of zero."""
_ROWS_AT_ONCE = 128
"""Rows that are rounded before the next: of 1,536 numbers each, they are 0.8 MB."""


def has_int8() -> bool:
    """Return whether this processor has instructions for sums of 8-bit products (VNNI).

    Without them, such sums may overflow, and are not faster.
    """
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("avx512_vnni") or abilities.get("avx_vnni"))


def quantise(model: nn.Module) -> None:
    """Replace every linear layer below `model` by an `Int8Linear`; embeddings and all else stay as they are."""
    for parent in list(model.modules()):
        rows = _Rows()
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear:
                setattr(parent, name, Int8Linear(layer, rows))


class Int8Linear(nn.Module):
    """``y = (Q_x Q_wᵀ) * s_x * s_w + b`` with whole numbers Q_x (R, I) and Q_w (O, I).

    s_x (R, 1) is the scale of each row of the input, its largest magnitude over 127, and s_w (O,) that of each output.
    A scale for each token, rather than one for the batch, keeps a text's vector independent of the texts beside it, and
    keeps the few tokens with very large values from taking away the others' precision.

    Dettmers et al.: LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale. NeurIPS 2022, section 2
    (vector-wise quantisation).
    """

    scale: Tensor
    bias: Tensor
    zeros: Tensor
    packed: Tensor
    """Q_w in the order in which oneDNN multiplies it; no buffer, since it has no storage that could be looked at."""

    def __init__(self, linear: nn.Linear, rows: _Rows) -> None:
        """Round a layer's weights; layers that read the same input share its rounded `rows`."""
        super().__init__()
        self.rows = rows
        weight, scale = rounded(linear.weight.detach().float())
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().float()
        self.packed = torch.ops.onednn.qlinear_prepack(weight, None)
        self.register_buffer("scale", scale.squeeze(1))
        self.register_buffer("bias", bias)
        self.register_buffer("zeros", torch.zeros(linear.out_features, dtype=torch.int32))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (..., O) for inputs (..., I)."""
        rounded, scale = self.rows.of(inputs)
        # Weights packed beforehand and sums that leave as floats: with `torch._int_mm`, these take as long as products.
        found: Tensor = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, 0, self.packed, self.scale, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )  # (R, O)
        torch.addcmul(self.bias, found, scale, out=found)
        return found.to(inputs.dtype).view(*inputs.shape[:-1], -1)


class _Rows:
    """Rounds an input once for all layers that read it, such as query, key and value; each thread has its own."""

    def __init__(self) -> None:
        self._here = local()

    def of(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        last: tuple[Tensor, Tensor, Tensor] | None = getattr(self._here, "last", None)
        if last is None or last[0] is not inputs:
            last = (inputs, *rounded(inputs.reshape(-1, inputs.shape[-1]).float()))
            self._here.last = last
        return last[1:]


def rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers (R, I) and the scale (R, 1) of each row; nothing is learned through them."""
    rows = rows.detach()
    whole, scale = torch.empty_like(rows, dtype=torch.int8), rows.new_empty(len(rows), 1)
    # Some rows at a time: each step then finds in the cache what the last one has left there.
    for some, found, each in zip(*(torch.split(one, _ROWS_AT_ONCE) for one in (rows, whole, scale)), strict=True):
        numbers = some.abs()
        torch.amax(numbers, dim=1, keepdim=True, out=each)
        each.clamp_min_(torch.finfo(torch.float32).tiny * _STEPS).div_(_STEPS)
        found.copy_(torch.div(some, each, out=numbers).round_())
    return whole, scale
