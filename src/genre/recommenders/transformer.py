"""Self-attention over packed histories: the network of `sasrec`. Needs torch.

Shapes: R rows, L places of a row, D numbers of a vector, H heads, I items.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.recommenders.item_vectors import ItemVectors
from genre.training.packing import Packed

NUM_TIME_BUCKETS = 64
"""Of the logarithm of seconds between two events: the last one holds all from about 50 years on."""


class Transformer(nn.Module):
    """Item vectors, positions counted from the end of the history, and causal blocks over them.

    ``x_t = sqrt(D) v_t + p_age(t)``; then `num_blocks` blocks, and a layer norm. The same item vectors are read and
    scored (tied embeddings).
    """

    def __init__(
        self,
        items: ItemVectors,
        *,
        num_blocks: int,
        num_heads: int,
        length: int,
        dropout: float,
        block: Literal["classic", "ligr"] = "classic",
        time_aware: bool = False,
        temperature: float | None = None,
    ) -> None:
        """Initialise with small normal numbers."""
        super().__init__()
        self.temperature = temperature
        self.items = items
        size = items.size
        self.positions = nn.Embedding(length, size)
        self.dropout = nn.Dropout(dropout)
        kind = Classic if block == "classic" else LiGR
        self.blocks = nn.ModuleList(kind(size, num_heads, dropout) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(size)
        self.time_bias = nn.Embedding(NUM_TIME_BUCKETS, num_heads) if time_aware else None
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and not name.startswith("items."):
                nn.init.xavier_normal_(parameter) if "time_bias" not in name else nn.init.zeros_(parameter)

    def forward(self, packed: Packed, vectors: Tensor) -> Tensor:
        """Return what is expected after each place (R, L, D), where the items of `packed` are rows of `vectors`."""
        x = functional.embedding(packed.items, vectors) * math.sqrt(self.items.size) + self.positions(packed.ages)
        x = self.dropout(x)
        bias = self._bias(packed)  # (R, 1 or H, L, L)
        for block in self.blocks:
            x = block(x, bias)
        x = self.norm(x)
        return x if self.temperature is None else functional.normalize(x, dim=-1) / self.temperature

    def item_vectors(self) -> Tensor:
        """Return the items (I, D) as they are read."""
        vectors: Tensor = self.items()
        return vectors

    def targets(self, vectors: Tensor) -> Tensor:
        """Return items (I, D) as they are scored: of length 1 where scores are cosines."""
        return vectors if self.temperature is None else functional.normalize(vectors, dim=-1)

    def layer_of(self, name: str) -> int | None:
        """Return how many layers lie between a weight and the output; what reads texts and places is the farthest.

        Vectors that items have of their own belong to no layer, since there is nothing general in them.
        """
        part, _, rest = name.partition(".")
        if part == "blocks":
            return len(self.blocks) - 1 - int(rest.partition(".")[0])
        if part == "items" and rest.startswith("own."):
            return None
        return 0 if part == "norm" else len(self.blocks)

    def _bias(self, packed: Packed) -> Tensor:
        """Return what is added to the attention: minus infinity for what may not be seen."""
        hidden = ~packed.visible[:, None]
        if self.time_bias is None:
            bias = torch.zeros(hidden.shape, dtype=self.positions.weight.dtype, device=hidden.device)
        else:
            gaps = (packed.times[:, :, None] - packed.times[:, None, :]).abs() + 1
            buckets = (gaps.double().log2() * 2).long().clamp(max=NUM_TIME_BUCKETS - 1)
            bias = self.time_bias(buckets).permute(0, 3, 1, 2)
        return bias.masked_fill(hidden, -torch.inf)


class Attention(nn.Module):
    """Scaled dot-product attention with H heads."""

    def __init__(self, size: int, num_heads: int, dropout: float) -> None:
        """Build the projections."""
        super().__init__()
        self.num_heads, self.rate = num_heads, dropout
        self.query = nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)
        self.out = nn.Linear(size, size)

    def forward(self, query: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """Return what each place of `query` (R, L, D) gathers from `memory` (R, L, D)."""
        q = self._heads(self.query(query))
        k, v = (self._heads(part) for part in self.key_value(memory).chunk(2, dim=-1))
        weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias).softmax(-1)
        gathered = functional.dropout(weights, self.rate, self.training) @ v
        out: Tensor = self.out(gathered.transpose(1, 2).flatten(2))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        """Return (R, H, L, D / H)."""
        return x.view(*x.shape[:-1], self.num_heads, -1).transpose(1, 2)


class Classic(nn.Module):
    """The block of the SASRec paper: normalised queries over plain keys, then two linear layers with ReLU."""

    def __init__(self, size: int, num_heads: int, dropout: float) -> None:
        """Build the layers."""
        super().__init__()
        self.attention = Attention(size, num_heads, dropout)
        self.first, self.second = nn.LayerNorm(size), nn.LayerNorm(size)
        self.feed = nn.Sequential(
            nn.Linear(size, size), nn.Dropout(dropout), nn.ReLU(), nn.Linear(size, size), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return (R, L, D)."""
        query = self.first(x)
        x = self.second(query + self.attention(query, x, bias))
        out: Tensor = x + self.feed(x)
        return out


class LiGR(nn.Module):
    """Normalisation before, a gate on each residual branch, SwiGLU between.

    ``x + sigmoid(G x) * branch(norm(x))``. Borisyuk et al.: From Features to Transformers: Redefining Ranking for
    Scalable Impact (LiGR). arXiv 2502.03417; as part of eSASRec: Tikhonovich et al., RecSys 2025.
    """

    def __init__(self, size: int, num_heads: int, dropout: float) -> None:
        """Build the layers."""
        super().__init__()
        self.attention = Attention(size, num_heads, dropout)
        self.first, self.second = nn.LayerNorm(size), nn.LayerNorm(size)
        self.gates = nn.ModuleList([nn.Linear(size, size), nn.Linear(size, size)])
        self.widen = nn.Linear(size, 8 * size)
        self.narrow = nn.Linear(4 * size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return (R, L, D)."""
        normal = self.first(x)
        x = x + torch.sigmoid(self.gates[0](x)) * self.dropout(self.attention(normal, normal, bias))
        gate, wide = self.widen(self.second(x)).chunk(2, dim=-1)
        fed = self.narrow(self.dropout(functional.silu(gate) * wide))
        out: Tensor = x + torch.sigmoid(self.gates[1](x)) * self.dropout(fed)
        return out
