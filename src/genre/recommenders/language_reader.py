"""A language model that reads histories: the network of `llm_sequential`. Needs torch.

Shapes: R rows, L places of a row, M tokens of a row, D numbers of an item's vector, H of a hidden state, I items, T
tokens of an item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre.language.tuning import TunedModel
from genre.recommenders.item_vectors import ItemVectors
from genre.recommenders.token_layout import owners, positions
from genre.training.packing import Packed


@dataclass(frozen=True, eq=False)
class ItemTokens:
    """What stands for each item in a history: its title, or nothing but the place of its vector."""

    tokens: Tensor
    """(I, T) tokens, 0 behind the last one."""
    lengths: Tensor
    """(I,) at least 1."""

    @classmethod
    def places_alone(cls, num_items: int) -> Self:
        """Return one place for each item."""
        return cls(torch.zeros(num_items, 1, dtype=torch.long), torch.ones(num_items, dtype=torch.long))

    @classmethod
    def of(cls, titles: list[list[int]], end: int, most: int) -> Self:
        """Return titles of at most `most` tokens, each with what ends it."""
        rows = [[*tokens[: most - 1], end] for tokens in titles]
        table = np.zeros((len(rows), max(map(len, rows), default=1)), np.int64)
        for at, row in enumerate(rows):
            table[at, : len(row)] = row
        return cls(torch.from_numpy(table), torch.tensor([len(row) for row in rows], dtype=torch.long))

    def with_places(self, count: int) -> Self:
        """Return these, and behind them items that have nothing but the place of their vector."""
        tokens = torch.cat([self.tokens, self.tokens.new_zeros(count, self.tokens.shape[1])])
        return type(self)(tokens, torch.cat([self.lengths, self.lengths.new_ones(count)]))


class LanguageReader(nn.Module):
    """Items as tokens of a language model, and what it expects next as a vector among the items'.

    ``x_t = W_in v_t``, at the length of the model's own token vectors, in the place of the last token of item t; with
    titles, the tokens before it are the title's. ``h_t`` is the model's last hidden state there, and the item that
    comes next is scored by the cosine of ``W_out h_t + v_t`` and its own vector, over a temperature. Histories that
    stand in one row do not see each other.
    """

    known_rows: Tensor

    def __init__(
        self,
        items: ItemVectors,
        tuned: TunedModel,
        tokens: ItemTokens,
        known: NDArray[np.bool_],
        *,
        temperature: float,
    ) -> None:
        """Put a language model between two linear layers.

        Args:
            items: Vectors of the items of training.
            tuned: The language model, and what learns of it.
            tokens: Of all items.
            known: (I,) the items that stand in histories of training: while it learns, items are counted among these.
            temperature: Of the cosines.
        """
        super().__init__()
        self.items, self.tuned, self.tokens, self.temperature = items, tuned, tokens, temperature
        self.language = tuned.language
        embeddings: nn.Embedding = tuned.causal.get_input_embeddings()
        self.scale = float(embeddings.weight.detach().float().pow(2).mean().sqrt())
        self.into = nn.Linear(items.size, embeddings.embedding_dim)
        self.out = nn.Linear(embeddings.embedding_dim, items.size)
        # What is expected begins as the newest item, and the language model says what is different.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("known_rows", torch.from_numpy(np.flatnonzero(known)), persistent=False)

    def forward(self, packed: Packed, vectors: Tensor) -> Tensor:
        """Return what is expected after each place (R, L, D), where the items of `packed` are rows of `vectors`."""
        found = functional.embedding(packed.items, vectors)
        rows = self.known_rows[packed.items] if self.training else packed.items
        counts = self.tokens.lengths.to(rows.device)[rows] * (packed.segments >= 0)  # (R, L)
        ends = counts.cumsum(1) - 1
        inputs, owner = self._inputs(rows, counts)
        ends = ends.clamp(min=0)
        soft = self.into(found)
        soft = soft * (self.scale / soft.float().pow(2).mean(-1, keepdim=True).add(1e-12).sqrt()).to(soft.dtype)
        there = counts > 0
        inputs = inputs.to(soft.dtype)
        row_of = torch.arange(len(rows), device=rows.device)[:, None].expand_as(ends)
        inputs = inputs.index_put((row_of[there], ends[there]), soft[there])
        segments = torch.where(owner >= 0, packed.segments.gather(1, owner.clamp(min=0)), -1)
        visible = (segments[:, :, None] == segments[:, None, :]).tril()
        hidden = self.tuned.hidden(inputs, visible, positions(segments))
        expected = self.out(hidden[row_of, ends].float()) + found.float()
        return functional.normalize(expected, dim=-1) / self.temperature

    def item_vectors(self) -> Tensor:
        """Return the items (I, D) as they are read."""
        vectors: Tensor = self.items()
        return vectors

    def targets(self, vectors: Tensor) -> Tensor:
        """Return items (I, D) as they are scored."""
        return functional.normalize(vectors, dim=-1)

    def layer_of(self, name: str) -> int | None:
        """Return how many layers lie between a weight and the output."""
        return self.tuned.layer_of(name)

    def disturbed(self) -> list[nn.Parameter]:
        """Return the items' own vectors."""
        own = self.items.own
        return [] if own is None else list(own.parameters())

    def _inputs(self, rows: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of all tokens (R, M, H), and to which place each belongs (R, M), -1 behind the last."""
        owner, within = owners(counts)
        item = rows.gather(1, owner.clamp(min=0))
        tokens = self.tokens.tokens.to(rows.device)
        chosen = tokens[item, within.clamp(0, tokens.shape[1] - 1)]
        embeddings: nn.Embedding = self.tuned.causal.get_input_embeddings()
        return embeddings(chosen), owner
