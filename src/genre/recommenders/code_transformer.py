"""The network of `semantic_id`: it reads a history as codes, and says an item code by code. Needs torch.

Shapes: R rows, L places of a row, D numbers of a vector, H heads, S levels of codes, K codes of a level, N items to be
said, T steps of an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.recommenders.transformer import Classic
from genre.training.packing import Packed

Memory: TypeAlias = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values (N, H, T, D / H) of the steps so far, for each block of the decoder."""


class CodeTransformer(nn.Module):
    """An encoder over items and a decoder over codes.

    The encoder reads an item as the sum of the vectors of its codes, so that a history takes as many places as it has
    items, not S times as many: ``x_t = sum_l e_l(c_l) + p_age(t)``, causal blocks, a layer norm. What it says after each
    place is the first step of the decoder, which has the codes said so far as further steps: ``h, e_1(c_1), ...,
    e_{S-1}(c_{S-1})``, causal blocks again, and a softmax over the codes of each level. So the history is read once for
    all codes and all beams, and a training step learns every code of every next item.

    After the RQ-Transformer: Lee et al.: Autoregressive Image Generation using Residual Quantization. CVPR 2022.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        size: int,
        num_blocks: int,
        num_decoder_blocks: int,
        num_heads: int,
        length: int,
        dropout: float,
    ) -> None:
        """Initialise with small normal numbers.

        Args:
            sizes: K of each level.
            size: D.
            num_blocks: Of the encoder.
            num_decoder_blocks: Of the decoder.
            num_heads: H.
            length: L.
            dropout: Share of the numbers that a training step leaves out.
        """
        super().__init__()
        self.sizes = tuple(sizes)
        self.read = nn.ModuleList(nn.Embedding(count, size) for count in sizes)
        self.positions = nn.Embedding(length, size)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Classic(size, num_heads, dropout) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(size)
        self.said = nn.ModuleList(nn.Embedding(count, size) for count in sizes[:-1])
        self.steps = nn.Embedding(len(sizes), size)
        self.decoder = nn.ModuleList(CachedBlock(size, num_heads, dropout) for _ in range(num_decoder_blocks))
        self.decoder_norm = nn.LayerNorm(size)
        self.heads = nn.ModuleList(nn.Linear(size, count) for count in sizes)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)

    def encode(self, packed: Packed, codes: Tensor) -> Tensor:
        """Return what is expected after each place (R, L, D), where the items of `packed` are rows of `codes` (I, S)."""
        own = codes[packed.items]  # (R, L, S)
        x = torch.stack([table(own[..., level]) for level, table in enumerate(self.read)]).sum(0)
        x = self.dropout(x * len(self.sizes) ** -0.5 * x.shape[-1] ** 0.5 + self.positions(packed.ages))
        bias = torch.zeros(packed.visible.shape, device=x.device).masked_fill(~packed.visible, -torch.inf)[:, None]
        for block in self.blocks:
            x = block(x, bias)
        normal: Tensor = self.norm(x)
        return normal

    def forward(self, hidden: Tensor, codes: Tensor) -> list[Tensor]:
        """Return the log-odds (N, K) of each level, given what is expected (N, D) and the codes before (N, S)."""
        before = [table(codes[:, level]) for level, table in enumerate(self.said)]
        x = self.dropout(torch.stack([hidden, *before], dim=1) + self.steps.weight)
        for block in self.decoder:
            x, _ = block(x, None)
        x = self.decoder_norm(x)
        return [head(x[:, level]) for level, head in enumerate(self.heads)]

    def step(self, level: int, inputs: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Say one code: return the log-probabilities (N, K) of `level`, and the memory for the next step.

        Args:
            level: From 0.
            inputs: (N, D) what is expected, at level 0; (N,) the codes of the level before, at the others.
            memory: Of the steps before, or None at level 0.
        """
        x = (inputs if level == 0 else self.said[level - 1](inputs)) + self.steps.weight[level]
        x = x[:, None]
        kept = []
        for at, block in enumerate(self.decoder):
            x, own = block(x, None if memory is None else memory[at])
            kept.append(own)
        logits = self.heads[level](self.decoder_norm(x[:, 0]))
        return functional.log_softmax(logits.float(), dim=-1), tuple(kept)


class CachedBlock(nn.Module):
    """Causal attention and two linear layers, normalised before, that can go on from what was kept of earlier steps."""

    def __init__(self, size: int, num_heads: int, dropout: float) -> None:
        """Build the layers."""
        super().__init__()
        self.num_heads, self.rate = num_heads, dropout
        self.first, self.second = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.feed = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * size, size))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the steps (N, T, D) and all keys and values; with a memory, x is the one step behind it."""
        parts = self.query_key_value(self.first(x)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        if memory is not None:
            key, value = torch.cat([memory[0], key], dim=2), torch.cat([memory[1], value], dim=2)
        rate = self.rate if self.training else 0.0
        gathered = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=rate, is_causal=memory is None and x.shape[1] > 1
        )
        x = x + self.dropout(self.out(gathered.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.feed(self.second(x))), (key, value)
