"""Matrices of a language model in 8 and in 4 bits, as its linear layers and as its table of tokens. Needs torch.

Shapes: R rows of an input, I numbers in, O numbers out, N groups of inputs, K blocks of outputs, V tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, Self, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.language._int8 import has_int8, rounded

Method: TypeAlias = Literal["int8", "int4"]
GROUP = 32
"""Inputs that share a scale and a middle. Smaller groups follow the weights more closely; at 32, the two numbers of 16
bits add 1 bit to the 4 of each weight."""
_LEVELS = 16
_MIDDLE = 8
"""The whole number, of 0 to 15, that stands for a group's middle."""
_BLOCK = 64
"""Outputs that stand together in a file."""
_NARROWED = (1.0, 0.95, 0.9, 0.85, 0.8)
"""Shares of a group's range that are tried: a narrower one cuts off the ends and rounds all others less."""
_FEW_INT4, _FEW_INT8 = 64, 4
"""Rows up to which torch's own kernels, which unpack weights as they read them, are faster than products of matrices:
reading the weights is then most of the time."""
_LANES = 16
"""Inputs that the kernel of 8 bits reads at once, from an address that must be a multiple; else the process dies."""
_SUMS_AT_ONCE, _FEWEST_AT_ONCE = 1 << 17, 256
"""Sums of 32 bits that are made floats before the next are made, and outputs that are worth a call."""
_ALIGNED = 64
"""Bytes that addresses are a multiple of where torch makes a matrix; within a file they may be any."""
Rounding: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Makes of weights (O, I) whole numbers (O, I) and grids (N, O, 2)."""


class Int8Matrix(nn.Module):
    """``y = x Wᵀ + b`` with ``W = q * s``: whole numbers q (O, I) of 8 bits, and a scale s (O,) for each output.

    Few rows are rounded to bfloat16 and multiplied by weights as they are unpacked. Many are rounded to 8 bits too,
    each by a scale of its own (see `Int8Linear`), where the processor multiplies such numbers.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None = None) -> None:
        """Take what was rounded."""
        super().__init__()
        self.register_buffer("weight", _aligned(weight))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None = None) -> Self:
        """Round weights (O, I)."""
        found, scale = rounded(weight.detach().float())
        return cls(found, scale.squeeze(1), None if bias is None else bias.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (..., O) for inputs (..., I)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        if rows.device.type != "cpu":
            found = functional.linear(rows, self.expanded(rows.dtype))
        elif len(rows) <= _FEW_INT8 and rows.shape[1] % _LANES == 0:
            found = torch.ops.aten._weight_int8pack_mm(_aligned(rows.bfloat16()), self.weight, self.scale.bfloat16())
        elif has_int8():
            found = self._products(*rounded(rows.float()))
        else:
            found = functional.linear(rows, self.expanded(rows.dtype))
        return _finished(found, inputs, self.bias)

    def _products(self, short: Tensor, scale: Tensor) -> Tensor:
        """Return (R, O) the products with rows in 8 bits, a few outputs at a time: their sums stay in the cache."""
        found = torch.empty(len(short), len(self.weight))
        some = max(_FEWEST_AT_ONCE, _SUMS_AT_ONCE // len(short))
        parts = (torch.split(one, some) for one in (self.weight, self.scale))
        for out, weight, each in zip(torch.split(found, some, dim=1), *parts, strict=True):
            torch.mul(torch._int_mm(short, weight.t()), each, out=out)
        return found.mul_(scale)

    def expanded(self, dtype: torch.dtype) -> Tensor:
        """Return the weights (O, I) that the whole numbers stand for."""
        return self.weight.to(dtype) * self.scale.to(dtype)[:, None]


class Int8Table(nn.Module):
    """The rows of a matrix as an embedding: the vectors of tokens, which models with tied weights score tokens by."""

    def __init__(self, matrix: Int8Matrix, dtype: torch.dtype) -> None:
        """Read from a matrix (V, I), which may be shared, in numbers of a kind."""
        super().__init__()
        self.matrix, self.dtype = matrix, dtype

    @property
    def weight(self) -> Tensor:
        """(V, I) whole numbers."""
        return self.matrix.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (..., I) the vectors of tokens."""
        return self.matrix.weight[tokens].to(self.dtype) * self.matrix.scale[tokens].to(self.dtype)[..., None]


class Int4Matrix(nn.Module):
    """``y = x Wᵀ + b`` with ``W = (q - 8) * s + m``: whole numbers q from 0 to 15, of which a byte holds two.

    Each group of 32 inputs of an output has a scale s and a middle m of its own, in bfloat16. Few rows are rounded to
    bfloat16 and multiplied by torch's kernel; for many, the weights are unpacked for as long as it takes, in the
    inputs' own numbers.

    Dettmers, Zettlemoyer: The case for 4-bit precision: k-bit Inference Scaling Laws. ICML 2023 (small groups).
    """

    codes: Tensor
    """(K, I, 32 or 16) byte i of a block's column holds output i in its lower half, and in its upper one the output
    that is half a block behind."""
    grid: Tensor
    """(N, O, 2) scales and middles, O padded to whole blocks."""
    bias: Tensor | None

    def __init__(self, codes: Tensor, grid: Tensor, bias: Tensor | None, outputs: int) -> None:
        """Take what was rounded; `codes` are in blocks of 64, as in a file."""
        super().__init__()
        self.outputs = outputs
        self._has_kernel = kernel_block() is not None
        if kernel_block() not in (None, 2 * codes.shape[2]):
            codes = packed(unpacked(codes), kernel_block() or _BLOCK)
        self.register_buffer("codes", _aligned(codes))
        self.register_buffer("grid", _aligned(grid))
        self.register_buffer("bias", bias)

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None, rounding: Rounding) -> Self:
        """Round weights (O, I), where I is a multiple of 32."""
        padding = -len(weight) % _BLOCK
        whole, grid = rounding(functional.pad(weight.detach().float(), (0, 0, 0, padding)))
        kept = None if bias is None else bias.detach()
        return cls(packed(whole, _BLOCK), grid, kept, len(weight))

    @property
    def stored(self) -> Tensor:
        """(K, I, 32) codes in blocks of 64, whatever blocks this processor wants."""
        return self.codes if self.codes.shape[2] * 2 == _BLOCK else packed(unpacked(self.codes), _BLOCK)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (..., O) for inputs (..., I)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        if self._has_kernel and rows.device.type == "cpu" and len(rows) <= _FEW_INT4:
            codes = self.codes.view(self.grid.shape[1], -1)
            found = torch.ops.aten._weight_int4pack_mm_for_cpu(_aligned(rows.bfloat16()), codes, GROUP, self.grid)
        else:
            found = torch.matmul(rows, self._blocks(rows.dtype)).movedim(0, 1).flatten(1)
        return _finished(found[:, : self.outputs], inputs, self.bias)

    def expanded(self, dtype: torch.dtype) -> Tensor:
        """Return the weights (O, I) that the whole numbers stand for."""
        return self._blocks(dtype).transpose(1, 2).flatten(0, 1)[: self.outputs]

    def _blocks(self, dtype: torch.dtype) -> Tensor:
        """Return the weights (K, I, 64 or 32), inputs first."""
        codes, grid = self.codes, self.grid
        blocks, size = len(codes), 2 * codes.shape[2]
        found = torch.empty((*codes.shape[:2], size), dtype=dtype, device=codes.device)
        found[..., : size // 2] = codes & (_LEVELS - 1)
        found[..., size // 2 :] = codes >> 4
        # (K, N, 1, size): whole numbers this small and their differences are exact in bfloat16.
        scale, middle = (part.reshape(-1, blocks, 1, size).transpose(0, 1).to(dtype) for part in grid.unbind(-1))
        found.sub_(_MIDDLE).view(blocks, -1, GROUP, size).mul_(scale).add_(middle)
        return found


def nearest(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the whole numbers (O, I) that stand for what is nearest to each weight, and the grids (N, O, 2)."""
    groups = weight.view(len(weight), -1, GROUP)
    grid = best_grid(groups)
    return on_grid(groups, grid)[0].view_as(weight), grid.transpose(0, 1).bfloat16().contiguous()


def best_grid(groups: Tensor, importance: Tensor | None = None) -> Tensor:
    """Return the grid (..., 2) of groups (..., 32) with the least squared error of those that are tried.

    Args:
        groups: Weights.
        importance: (32,) how much an error of each weight counts; alike without it.
    """
    best, grid = torch.full(groups.shape[:-1], torch.inf), torch.zeros((*groups.shape[:-1], 2))
    for share in _NARROWED:
        tried = _grid_of(groups, share)
        errors = (on_grid(groups, tried)[1] - groups).square()
        error = (errors if importance is None else errors * importance).sum(-1)
        better = error < best
        best, grid = torch.where(better, error, best), torch.where(better[..., None], tried, grid)
    return grid


def _grid_of(groups: Tensor, share: float) -> Tensor:
    """Return scale and middle (..., 2) of groups (..., 32) by a share of their range, rounded as they are stored."""
    low, high = groups.amin(-1) * share, groups.amax(-1) * share
    scale = ((high - low) / (_LEVELS - 1)).clamp_min(torch.finfo(torch.float32).tiny).bfloat16().float()
    return torch.stack([scale, (low + _MIDDLE * scale).bfloat16().float()], -1)


def on_grid(groups: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the whole numbers (..., 32) nearest to groups on grids (..., 2), and the weights that they stand for."""
    scale, middle = (part[..., None] for part in grid.unbind(-1))
    whole = ((groups - middle) / scale + _MIDDLE).round_().clamp_(0, _LEVELS - 1)
    return whole, (whole - _MIDDLE) * scale + middle


def quantise_language(model: Any, method: Method) -> None:
    """Replace every linear layer of a causal language model, in place.

    The table of tokens and the layer that scores them are kept in 8 bits by either method, and so is a layer whose
    inputs are no multiple of 32: an error there meets every text. Norms and biases stay as they are.

    Args:
        model: Of `transformers`, in any floating numbers.
        method: Bits of the linear layers; 4 bits are the nearest.
    """
    tokens, scores = model.get_input_embeddings(), model.get_output_embeddings()
    for place, layer in list(model.named_modules()):
        if type(layer) is not nn.Linear:
            continue
        if method == "int4" and layer is not scores and layer.in_features % GROUP == 0:
            put(model, place, Int4Matrix.of(layer.weight, layer.bias, nearest))
        else:
            put(model, place, Int8Matrix.of(layer.weight, layer.bias))
    if type(tokens) is nn.Embedding:  # Some models' tables do more than look up.
        head = model.get_output_embeddings()
        tied = scores.weight is tokens.weight and head.bias is None
        model.set_input_embeddings(Int8Table(head if tied else Int8Matrix.of(tokens.weight), tokens.weight.dtype))


def is_quantised(model: nn.Module) -> bool:
    """Return whether some of a model's matrices are in few bits."""
    return any(isinstance(part, Int8Matrix | Int4Matrix) for part in model.modules())


def put(model: nn.Module, place: str, part: nn.Module) -> None:
    """Put a part where its dotted name says."""
    above, _, name = place.rpartition(".")
    setattr(model.get_submodule(above), name, part)


def packed(whole: Tensor, block: int) -> Tensor:
    """Return whole numbers (O, I) from 0 to 15 as bytes (K, I, block / 2)."""
    blocks = whole.to(torch.uint8).view(-1, block, whole.shape[1]).transpose(1, 2)
    low, high = blocks.chunk(2, -1)
    return (low | (high << 4)).contiguous()


def unpacked(codes: Tensor) -> Tensor:
    """Return what was packed, (O, I)."""
    return torch.cat([codes & (_LEVELS - 1), codes >> 4], -1).transpose(1, 2).flatten(0, 1)


@cache
def kernel_block() -> int | None:
    """Return how many outputs torch's kernel wants to find together on this processor; None where it is of no use.

    What it wants is not documented and depends on the processor's vectors: a matrix is given to torch to be packed, and
    compared.
    """
    whole = torch.arange(2 * _BLOCK * GROUP, dtype=torch.int32).mul_(7).remainder_(_LEVELS).view(-1, GROUP)
    whole = (whole + torch.arange(len(whole), dtype=torch.int32)[:, None] // 3) % _LEVELS
    theirs = torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole, 1)
    found = [block for block in (_BLOCK, _BLOCK // 2) if torch.equal(packed(whole, block).view_as(theirs), theirs)]
    return found[0] if found else None


def _aligned(values: Tensor) -> Tensor:
    """Return values where torch's kernels can read them."""
    return values if values.data_ptr() % _ALIGNED == 0 and values.is_contiguous() else values.contiguous().clone()


def _finished(found: Tensor, inputs: Tensor, bias: Tensor | None) -> Tensor:
    """Return (..., O) in the inputs' numbers, with what is added to each output."""
    found = found if bias is None else found + bias
    return found.to(inputs.dtype).view(*inputs.shape[:-1], -1)
