"""The objective of two towers: a history and the item that came next are close, other items far. Needs torch.

Shapes: B pairs of a batch, E events of their histories, C different items of the batch, H hard negatives of a pair, I
items, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.data.sequences import before
from genre.training.contracts import Loss, Others


class Towers(Protocol):
    """Two networks whose outputs are compared."""

    def items(self, rows: Tensor | None = None) -> Tensor:
        """Return what items (C,) are read as (C, D), or all of them (I, D)."""

    def of_histories(self, vectors: Tensor, histories: Histories) -> Tensor:
        """Return histories (B, D) of length 1, whose items are rows of `vectors`."""

    def of_items(self, vectors: Tensor) -> Tensor:
        """Return items (C, D) of length 1."""


@dataclass(frozen=True, eq=False)
class Histories:
    """B histories side by side."""

    items: Tensor
    """(E,) rows of some table of vectors."""
    offsets: Tensor
    """(B,) where each history begins."""
    ages: Tensor
    """(E,) 0 for the newest event of a history."""
    last: Tensor
    """(B,) where each history's newest event stands."""

    @classmethod
    def of(cls, log: Interactions, items: NDArray[np.integer]) -> Histories:
        """Build from histories, none of them empty, whose items are named anew (E,)."""
        return cls(
            torch.from_numpy(items.astype(np.int64)),
            torch.from_numpy(log.offsets[:-1].copy()),
            torch.from_numpy(log.steps_from_end),
            torch.from_numpy(log.offsets[1:] - 1),
        )

    def to(self, device: torch.device) -> Histories:
        """Return the same on another device."""
        return Histories(*(part.to(device) for part in (self.items, self.offsets, self.ages, self.last)))


@dataclass(frozen=True, eq=False)
class Choices:
    """What somebody chose after a history, among what others chose and what is like it."""

    rows: Tensor
    """(C,) the different items of the batch."""
    histories: Histories
    """Items are places in `rows`."""
    targets: Tensor
    """(B,) places in `candidates`."""
    candidates: Tensor
    """Places in `rows` of the different items that were chosen in the batch."""
    hard: Tensor
    """(B, H) places in `rows`; -1 where there is none."""


class InBatch:
    """``-log softmax`` of the chosen item among those chosen in the batch, and some that are like it.

    Popular items are in most batches, and would be pushed away for that alone: the logarithm of an item's chance to be
    in a batch is taken from its score, where it is not the target (logQ correction; Yi et al.: Sampling-Bias-Corrected
    Neural Modeling for Large Corpus Item Recommendations. RecSys 2019).
    """

    def __init__(
        self,
        log: Interactions,
        num_items: int,
        *,
        length: int,
        batch_size: int,
        parts: int = 1,
        temperature: float,
        neighbours: NDArray[np.int32] | None = None,
        num_hard: int = 0,
        others: Others | None = None,
    ) -> None:
        """Take the log.

        Args:
            log: Histories of likes; every like but the first of a row is a choice.
            num_items: I.
            length: Newest likes of a history that are read.
            batch_size: Choices of a step.
            parts: Of a step, worked through one after the other to save memory.
            temperature: Cosines are divided by it.
            neighbours: (I, K) items that are like each item, -1 where there are fewer; the source of hard negatives.
            num_hard: H, drawn from the neighbours of each target.
            others: Items of another catalogue that stand in the log too, and are no choices.
        """
        self.others = others
        self.log, self.length, self.batch_size, self.parts = log, length, batch_size, parts
        self.temperature, self.neighbours, self.num_hard = temperature, neighbours, num_hard
        first = np.zeros(log.num_events, bool)
        first[log.offsets[:-1][log.lengths > 0]] = True
        self.events = np.flatnonzero(~first & (log.item_rows < num_items))
        counts = np.bincount(log.item_rows[self.events], minlength=num_items)
        share = counts / max(1, len(self.events))
        size = max(1, batch_size // max(1, parts))
        with np.errstate(divide="ignore"):
            self.log_chance = torch.from_numpy(np.log(1 - (1 - share) ** size)).float()

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""
        return -(-len(self.events) // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[list[Choices]]:
        """Yield every choice once, in random order."""
        order = rng.permutation(self.events)
        for start in range(0, len(order), self.batch_size):
            step = order[start : start + self.batch_size]
            yield [self._choices(part, rng) for part in np.array_split(step, self.parts) if len(part)]

    def loss(self, model: nn.Module, batch: Choices, device: torch.device) -> Loss:
        """Return the mean over the choices."""
        towers: Towers = model  # type: ignore[assignment]
        rows = batch.rows.to(device)
        vectors = self._read(towers, rows)
        asked = towers.of_histories(vectors, batch.histories.to(device)).float() / self.temperature
        found = towers.of_items(vectors).float()
        targets, candidates, hard = (part.to(device) for part in (batch.targets, batch.candidates, batch.hard))
        scores = asked @ found[candidates].T
        own = scores.gather(1, targets[:, None])
        scores = (scores - self.log_chance.to(device)[rows[candidates]]).scatter(1, targets[:, None], own)
        if hard.shape[1]:
            near = (asked[:, None] * found[hard.clamp(min=0)]).sum(2)
            scores = torch.cat([scores, near.masked_fill(hard < 0, -torch.inf)], 1)
        return Loss(functional.cross_entropy(scores, targets), len(targets))

    def _read(self, towers: Towers, rows: Tensor) -> Tensor:
        """Return what the items `rows` (C,), which rise, are read as."""
        if self.others is None:
            return towers.items(rows)
        own = rows < self.others.num_items
        others = self.others.vectors(cast(nn.Module, towers))
        return torch.cat([towers.items(rows[own]), others[rows[~own] - self.others.num_items]])

    def _choices(self, events: NDArray[np.int64], rng: np.random.Generator) -> Choices:
        log = self.log
        histories = before(log, events, self.length)
        targets = log.item_rows[events]
        hard = self._hard(events, targets, rng)
        rows = np.unique(np.concatenate([histories.item_rows, targets, hard[hard >= 0]]))
        candidates, place = np.unique(np.searchsorted(rows, targets), return_inverse=True)
        return Choices(
            torch.from_numpy(rows.astype(np.int64)),
            Histories.of(histories, np.searchsorted(rows, histories.item_rows)),
            torch.from_numpy(place.astype(np.int64)),
            torch.from_numpy(candidates.astype(np.int64)),
            torch.from_numpy(np.where(hard >= 0, np.searchsorted(rows, hard), -1).astype(np.int64)),
        )

    def _hard(
        self, events: NDArray[np.int64], targets: NDArray[np.int32], rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """Draw neighbours (B, H) of the targets that the same person does not like; -1 for one that they do."""
        if self.neighbours is None or not self.num_hard:
            return np.full((len(events), 0), -1, np.int32)
        drawn = rng.integers(0, self.neighbours.shape[1], (len(events), self.num_hard))
        hard = self.neighbours[targets[:, None], drawn]
        people = np.searchsorted(self.log.offsets, events, side="right") - 1
        lengths = self.log.lengths[people]
        mine = self.log.take(people)
        asker = np.repeat(np.arange(len(events)), lengths)
        size = int(max(self.log.item_rows.max(initial=0), hard.max(initial=0))) + 1
        liked = asker * size + mine.item_rows
        hit = np.isin(np.arange(len(events))[:, None] * size + hard, liked)
        return np.where(hit, -1, hard).astype(np.int32)
