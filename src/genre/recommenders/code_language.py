"""Codes of items as new tokens of a language model: the network of `semantic_id` with a pretrained decoder.

Needs torch. Shapes: B histories, R rows, L places of a row, M tokens of a row, H numbers of a hidden state, D of a
prefix (H where the model reads and says its tokens by the same rows, else 2 H), I items, S levels of codes, M_l
prefixes of l codes, K codes of all levels, T targets, N beams, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.language.tuning import TunedModel
from genre.recommenders.token_layout import owners, positions
from genre.training.packing import Packed

_NOISE = 0.1
"""Of a row that begins as words, so that no two are alike."""


@dataclass(frozen=True, eq=False)
class Told:
    """What the model has read: histories, and behind each the codes of its beams."""

    cache: Any
    """Keys and values: the histories', and behind them, for each step, as many places as one of them has beams."""
    lengths: Tensor
    """(B,) tokens of each history."""
    history: Tensor
    """(N,) which one each beam goes on from; they rise."""
    path: Tensor
    """(N, codes so far) where in the cache a beam's own codes stand."""

    @property
    def width(self) -> int:
        """Places that the longest history takes."""
        return int(self.lengths.max())


class CodeLanguage(nn.Module):
    """A causal language model that reads and says items as new tokens, one for each code of each level.

    A history is the codes of its items, one after the other: ``c_1 c_2 ... c_S c_1 c_2 ...``. A code's log-odds are
    ``h . said_c``, as of any token, among the codes that follow the same prefix in the catalogue. One pass over a
    history learns every code of every next item. To answer, a history is read once; its beams stand side by side behind
    its keys and values, each seeing the history and its own codes, so that nothing is copied for a beam and all of a
    level are one pass. It answers in float32, however it was trained: beams differ by less than bfloat16 rounds away,
    and what is rounded away depends on who is asked about in the same batch.

    Zheng et al.: Adapting Large Language Models by Integrating Collaborative Semantics for Recommendation (LC-Rec).
    ICDE 2024.
    """

    def __init__(self, tuned: TunedModel, codes: Sequence[Tensor], sizes: Sequence[int]) -> None:
        """Take the model.

        Args:
            tuned: The language model, with a new token for each code.
            codes: Of each level, (M_l,) the last code of the prefixes that training sees.
            sizes: Of each level, how many codes there are.
        """
        super().__init__()
        self.tuned, self.new = tuned, tuned.new_tokens
        self.language = tuned.language
        self.first = _first(sizes)
        for level, ends in enumerate(codes):  # Not part of the state: whoever builds this has them.
            self.register_buffer(f"codes_{level}", ends, persistent=False)

    @property
    def size(self) -> int:
        """H."""
        return self.new.rows.shape[1]

    def vectors(self) -> list[Tensor]:
        """Return of each level its prefixes (M_l, D): their last codes' rows, as read and, where that differs, said."""
        rows = self._rows()
        return [rows[getattr(self, f"codes_{level}") + first] for level, first in enumerate(self.first)]

    def vectors_of(self, level: int, codes: Tensor, rows: Tensor) -> Tensor:
        """Return prefixes (M, D) by their last codes (M,), whether training saw them or not."""
        return self._rows()[codes + self.first[level]]

    def targets(self, vectors: Tensor) -> Tensor:
        """Return prefixes (M, H) as they are said."""
        return vectors[:, -self.size :]

    def say(
        self, packed: Packed, places: Tensor, targets: Tensor, prefixes: Tensor, vectors: Sequence[Tensor]
    ) -> Tensor:
        """Return what is said (T, S, H) after the flat places (T,) of histories, where the items `targets` come next.

        Behind the last item of a history stand all codes but one of what comes next: after them, its last code is said.
        """
        levels, length = len(vectors), packed.items.shape[1]
        target = torch.zeros_like(packed.items).flatten().index_put((places,), targets).view_as(packed.items)
        counts = (levels + (levels - 1) * (packed.ages == 0)) * (packed.segments >= 0)  # (R, L)
        owner, within = owners(counts)
        place = owner.clamp(min=0)
        item = torch.where(within < levels, packed.items.gather(1, place), target.gather(1, place))
        level = within.clamp(min=0) % levels
        begins = torch.tensor([0, *accumulate(len(table) for table in vectors)][:-1], device=item.device)
        everything = torch.cat([table[:, : self.size] for table in vectors])
        inputs = everything[begins[level] + prefixes[item, level]]
        segments = torch.where(owner >= 0, packed.segments.gather(1, place), -1)
        visible = (segments[:, :, None] == segments[:, None, :]).tril()
        hidden = self.tuned.hidden(inputs, visible, positions(segments))  # (R, M, H)
        said_after = (counts.cumsum(1) - counts + levels - 1).flatten()[places]  # The last code of the item there.
        steps = torch.arange(levels, device=item.device)
        found = hidden[(places // length)[:, None], said_after[:, None] + steps]
        return found.float()

    def read(self, histories: Interactions, prefixes: Tensor, vectors: Sequence[Tensor]) -> tuple[Tensor, Told]:
        """Return what is expected after each history (B, H), none of them empty, and what is kept of them."""
        device, levels = prefixes.device, len(vectors)
        row = torch.from_numpy(histories.row_of_event).to(device)
        within = np.arange(histories.num_events) - histories.offsets[:-1][histories.row_of_event]
        place = torch.from_numpy(within).to(device) * levels
        nodes = prefixes[torch.from_numpy(histories.item_rows).to(device).long()]
        lengths = torch.from_numpy(histories.lengths).to(device) * levels
        longest = int(lengths.max())
        inputs = torch.zeros(len(histories), longest, self.size, device=device)
        for level, table in enumerate(vectors):
            inputs[row, place + level] = table[nodes[:, level], : self.size]
        visible = torch.ones(len(histories), longest, longest, dtype=torch.bool, device=device).tril()
        at = torch.arange(longest, device=device).expand(len(histories), longest)
        cache = self.tuned.new_cache()
        hidden = self.tuned.hidden(inputs, visible, at, cache)
        every = torch.arange(len(histories), device=device)
        return hidden[every, lengths - 1], Told(cache, lengths, every, every.new_zeros(len(every), 0))

    def step(self, level: int, inputs: Tensor, rows: Tensor, memory: Told) -> tuple[Tensor, Told]:
        """Say one code: return what is compared with prefixes (N, H), and the memory for the next step.

        Args:
            level: From 0.
            inputs: (N, H) what is expected, at level 0; the prefixes (N, D) said so far, at the others.
            rows: (N,) which row of the step before each goes on from; which history, at level 0.
            memory: Of the steps before, whose cache is written on.
        """
        history, path = memory.history[rows], memory.path[rows]
        if level == 0 or not len(rows):
            return inputs[:, : self.size], replace(memory, history=history, path=path)
        counts = torch.bincount(history, minlength=len(memory.lengths))
        place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[history]
        shape, held = (len(counts), int(counts.max())), memory.cache.get_seq_length()
        path = torch.cat([path, (held + place)[:, None]], dim=1)
        beams = inputs.new_zeros(*shape, self.size)
        beams[history, place] = inputs[:, : self.size]
        visible = torch.zeros(*shape, held + shape[1], dtype=torch.bool, device=rows.device)
        read = torch.arange(memory.width, device=rows.device) < memory.lengths[:, None]
        visible[:, :, : memory.width] = read[:, None]
        visible[history[:, None], place[:, None], path] = True
        at = (memory.lengths + level - 1)[:, None].expand(shape)
        hidden = self.tuned.hidden(beams, visible, at, memory.cache)
        return hidden[history, place], replace(memory, history=history, path=path)

    def layer_of(self, name: str) -> int | None:
        """Return how many layers lie between a weight and the output."""
        return self.tuned.layer_of(name)

    def disturbed(self) -> list[nn.Parameter]:
        """Return the rows of the new tokens."""
        return [self.new.rows]

    def _rows(self) -> Tensor:
        """Return all codes (K, D)."""
        new = self.new
        return new.said if new.tied and new.scale == 1 else torch.cat([new.read, new.said], dim=1)


@torch.no_grad()
def begin_with_words(tuned: TunedModel, words: Sequence[list[int]], codes: Tensor, sizes: Sequence[int]) -> None:
    """Let each code begin as what its items say, so that the model has read something like it before.

    Of a table of the model's own tokens, a row is its mean and, as far from that as its rows are, the direction in
    which the words of the code's items lie from those of all; with a little noise, which alone tells codes without
    words apart.

    Args:
        tuned: The language model, with a new token for each code.
        words: Tokens of each item's text (I); none of an item without codes.
        codes: (I, S) of each item.
        sizes: Of each level, how many codes there are.
    """
    new, causal = tuned.new_tokens, tuned.causal
    tables = [causal.get_input_embeddings().weight[: new.first]]
    if not new.tied:
        tables.append(causal.get_output_embeddings().weight)
    new.rows.copy_(
        torch.cat([_begun(table.detach().float(), words, codes, _first(sizes), new.count) for table in tables])
    )


def _first(sizes: Sequence[int]) -> list[int]:
    """Return of each level the token of its first code, counted among the new ones."""
    return [0, *accumulate(sizes)][:-1]


def _begun(table: Tensor, words: Sequence[list[int]], codes: Tensor, first: Sequence[int], count: int) -> Tensor:
    """Return rows (K, H) that begin as the rows of a table (V, H) for the words of the items of each code."""
    device = table.device
    there = torch.tensor([len(tokens) > 0 for tokens in words], device=device)
    flat = torch.tensor([token for tokens in words for token in tokens], dtype=torch.long, device=device)
    starts = torch.tensor([0, *accumulate(map(len, words))][:-1], dtype=torch.long, device=device)
    noise = _NOISE * torch.randn(count, table.shape[1], device=device)
    found = torch.zeros_like(noise)
    if bool(there.any()):
        items = functional.embedding_bag(flat, table, starts, mode="mean")[there]
        items = items - items.mean(0)
        tokens = codes[there.cpu()].to(device) + torch.tensor(first, device=device)
        sums = found.index_add(0, tokens.flatten(), items.repeat_interleave(tokens.shape[1], 0))
        found = functional.normalize(sums, dim=1) * table.shape[1] ** 0.5
    return table.mean(0) + table.std(0).pow(2).mean().sqrt() * (found + noise)
