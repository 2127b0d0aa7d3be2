"""The network of `semantic_id`: it reads a history as codes, and says an item code by code. Needs torch.

Shapes: B histories, R rows, L places of a row, D numbers of a vector, H heads, I items, S levels of codes,
M_l prefixes of l codes, N items to be said, T steps of an item.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.recommenders.transformer import Classic
from genre.training.packing import Packed

Memory: TypeAlias = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values (N, H, T, D / H) of the steps so far, for each block of the decoder."""
Vectors: TypeAlias = Sequence[Tensor]
"""Of each level, (M_l, D) its prefixes."""


class CodeTransformer(nn.Module):
    """An encoder over items and a decoder over codes.

    A code has a vector for itself, learned wherever it occurs, and one for each prefix that it ends, since what a later
    code means depends on those before: ``v(c_1 ... c_l) = e_l(c_l) + u(c_1 ... c_l)``. A prefix that training has not
    seen has no u. The encoder reads an item as the sum of these, so that a history takes as many places as it has
    items, not S times as many: ``x_t = sqrt(D) sum_l v(c_1 ... c_l) + p_age(t)``, causal blocks, a layer norm. What it
    says after each place is the first step of the decoder, which has the codes said so far as further steps:
    ``h, v(c_1), v(c_1 c_2), ...``, causal blocks again. A code's log-odds are the cosine of what the decoder says with
    v, divided by the temperature: codes are read and said with the same vectors. The history is read once for all codes
    and all beams, and a training step learns every code of every next item.

    Lee et al.: Autoregressive Image Generation using Residual Quantization. CVPR 2022, for a decoder in depth. Zheng et
    al.: Enhancing Embedding Representation Stability in Recommendation Systems with Semantic ID. RecSys 2025, for
    vectors of prefixes.
    """

    def __init__(
        self,
        codes: Sequence[Tensor],
        sizes: Sequence[int],
        *,
        size: int,
        num_blocks: int,
        num_decoder_blocks: int,
        num_heads: int,
        length: int,
        dropout: float,
        own_dropout: float = 0.0,
        temperature: float = 0.07,
    ) -> None:
        """Initialise with small normal numbers.

        Args:
            codes: Of each level, (M_l,) the last code of the prefixes that training sees.
            sizes: Of each level, how many codes there are.
            size: D.
            num_blocks: Of the encoder.
            num_decoder_blocks: Of the decoder.
            num_heads: H.
            length: L.
            dropout: Share of the numbers that a training step leaves out.
            own_dropout: Share of the u that a training step leaves out, as if their prefixes were new.
            temperature: Cosines are divided by it.
        """
        super().__init__()
        self.own_dropout, self.temperature = own_dropout, temperature
        for level, ends in enumerate(codes):  # Not part of the state: whoever builds this has them.
            self.register_buffer(f"codes_{level}", ends, persistent=False)
        self.shared = nn.ModuleList(nn.Embedding(count, size) for count in sizes)
        self.own = nn.ModuleList(nn.Embedding(len(ends), size) for ends in codes)
        self.positions = nn.Embedding(length, size)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Classic(size, num_heads, dropout) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(size)
        self.steps = nn.Embedding(len(sizes), size)
        self.decoder = nn.ModuleList(CachedBlock(size, num_heads, dropout) for _ in range(num_decoder_blocks))
        self.decoder_norm = nn.LayerNorm(size)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)

    def vectors(self) -> list[Tensor]:
        """Return the prefixes that training sees, as they are read; in training, some of them as if they were new."""
        found = []
        for level, (shared, own) in enumerate(zip(self.shared, self.own, strict=True)):
            weight = cast(Tensor, own.weight)
            if self.training and self.own_dropout:
                weight = weight * (torch.rand(len(weight), 1, device=weight.device) >= self.own_dropout)
            found.append(shared(getattr(self, f"codes_{level}")) + weight)
        return found

    def vectors_of(self, level: int, codes: Tensor, rows: Tensor) -> Tensor:
        """Return prefixes (M, D) of a catalogue that may have grown.

        Args:
            level: Their length less one.
            codes: (M,) their last codes.
            rows: (M,) which of those that training saw they are; -1 for none.
        """
        own = functional.embedding(rows.clamp(min=0), cast(Tensor, self.own[level].weight))
        found: Tensor = self.shared[level](codes) + own * (rows >= 0)[:, None]
        return found

    def targets(self, vectors: Tensor) -> Tensor:
        """Return prefixes (M, D) as they are said: of length 1."""
        return functional.normalize(vectors, dim=-1)

    def encode(self, packed: Packed, prefixes: Tensor, vectors: Vectors) -> Tensor:
        """Return what is expected after each place (R, L, D), given which prefixes (I, S) each item has."""
        own = prefixes[packed.items]  # (R, L, S)
        x = torch.stack([table[own[..., level]] for level, table in enumerate(vectors)]).sum(0)
        x = self.dropout(x * math.sqrt(x.shape[-1]) + self.positions(packed.ages))
        hidden = ~packed.visible[:, None]
        bias = torch.zeros(hidden.shape, dtype=x.dtype, device=x.device).masked_fill(hidden, -torch.inf)
        for block in self.blocks:
            x = block(x, bias)
        normal: Tensor = self.norm(x)
        return normal

    def say(self, packed: Packed, places: Tensor, targets: Tensor, prefixes: Tensor, vectors: Vectors) -> Tensor:
        """Return what is said (T, S, D) after the flat places (T,) of histories, behind which the `targets` come."""
        hidden = self.encode(packed, prefixes, vectors).flatten(0, 1)[places]
        said: Tensor = self(hidden, prefixes[targets], vectors)
        return said

    def read(self, histories: Interactions, prefixes: Tensor, vectors: Vectors) -> tuple[Tensor, None]:
        """Return what is expected after each history (B, D), none of them empty; it remembers nothing else of them."""
        packed = Packed.of(histories, self.positions.num_embeddings).to(prefixes.device)
        ends = packed.places[torch.from_numpy(histories.offsets[1:] - 1).to(prefixes.device)]
        return self.encode(packed, prefixes, vectors).flatten(0, 1)[ends], None

    def forward(self, hidden: Tensor, prefixes: Tensor, vectors: Vectors) -> Tensor:
        """Return what is said at each step (N, S, D), given what is expected (N, D) and the right prefixes (N, S)."""
        before = [table[prefixes[:, level]] for level, table in enumerate(vectors[:-1])]
        scaled = [vector * math.sqrt(hidden.shape[-1]) for vector in before]
        x = self.dropout(torch.stack([hidden, *scaled], dim=1) + self.steps.weight)
        for block in self.decoder:
            x, _ = block(x, None)
        return self._said(x)

    def step(self, level: int, inputs: Tensor, rows: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Say one code: return what is compared with prefixes (N, D), and the memory for the next step.

        Args:
            level: From 0.
            inputs: (N, D) what is expected, at level 0; the vectors of the prefixes said so far, at the others.
            rows: (N,) which row of the step before each goes on from; which history, at level 0.
            memory: Of the steps before, or None at level 0.
        """
        before = None if memory is None else tuple((key[rows], value[rows]) for key, value in memory)
        scaled = inputs * math.sqrt(inputs.shape[-1]) if level else inputs
        x = (scaled + self.steps.weight[level])[:, None]
        kept = []
        for at, block in enumerate(self.decoder):
            x, own = block(x, None if before is None else before[at])
            kept.append(own)
        return self._said(x[:, 0]), tuple(kept)

    def _said(self, x: Tensor) -> Tensor:
        return functional.normalize(self.decoder_norm(x).float(), dim=-1) / self.temperature


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
