"""The objective of sequence models: at every place of a history, say what comes next.

Wang-Cheng Kang, Julian McAuley: Self-Attentive Sequential Recommendation. ICDM 2018.

Shapes: B sequences, T targets, R rows, L places of a row, D numbers of a vector, I items, K sampled items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.data.sequences import windows
from genre.training.contracts import Loss, Others
from genre.training.loss import ItemLoss, softmax_loss
from genre.training.packing import Packed

Augmentation = Callable[[Interactions, np.random.Generator], Interactions]


class SequenceModel(Protocol):
    """Reads histories and has a vector for each item; the product of both is the item's score."""

    def __call__(self, packed: Packed, vectors: Tensor) -> Tensor:
        """Return what is expected after each place (R, L, D), where the items of `packed` are rows of `vectors`."""

    def item_vectors(self) -> Tensor:
        """Return the items (I, D) as they are read; in training, drawn anew at every step."""

    def targets(self, vectors: Tensor) -> Tensor:
        """Return the items (I, D) as they are scored."""


@dataclass(frozen=True, eq=False)
class Steps:
    """Histories, and what came next in them."""

    inputs: Packed
    places: Tensor
    """(T,) flat places of `inputs` that have a next item."""
    targets: Tensor
    """(T,)"""
    views: tuple[Packed, Packed] | None = None
    """Two altered copies of each history, for the contrastive term."""

    @classmethod
    def of(
        cls,
        sequences: Interactions,
        length: int,
        views: tuple[Packed, Packed] | None = None,
        *,
        num_items: int | None = None,
    ) -> Steps:
        """Build from B sequences of at most `length + 1` events, each with two at least.

        Args:
            sequences: What is learned from.
            length: Places of a row.
            views: Two altered copies.
            num_items: Items from this row on stand in histories, and are nothing that came next.
        """
        inputs = sequences.where(sequences.steps_from_end > 0)
        packed = Packed.of(inputs, length)
        first = np.zeros(sequences.num_events, bool)
        first[sequences.offsets[:-1][sequences.lengths > 0]] = True
        targets, places = torch.from_numpy(sequences.item_rows[~first].astype(np.int64)), packed.places
        if num_items is not None:
            own = targets < num_items
            targets, places = targets[own], places[own]
        return cls(packed, places, targets, views)


class NextItem:
    """Cuts histories into windows, alters them as told, packs them, and compares what is expected with what came."""

    def __init__(
        self,
        log: Interactions,
        *,
        length: int,
        batch_size: int,
        parts: int = 1,
        loss: ItemLoss = softmax_loss,
        augmentations: Sequence[Augmentation] = (),
        contrastive: float = 0.0,
        most: int | None = None,
        others: Others | None = None,
    ) -> None:
        """Cut the log.

        Args:
            log: Histories; those with fewer than two likes teach nothing.
            length: Places of a window.
            batch_size: Windows of a step.
            parts: Of a step, worked through one after the other to save memory.
            loss: Over the item vocabulary.
            augmentations: One of them, chosen at random, alters each batch; with `contrastive`, each view of it.
            contrastive: Weight of the term that draws two altered copies of a history together (Xie et al., ICDE 2022).
            most: Windows of an epoch, drawn anew for each; by default all.
            others: Items of another catalogue that stand in the log too.
        """
        self.others = others
        self.sequences = windows(log, length)
        if others is not None:
            self.sequences = _with_target(self.sequences, others.num_items)
        self.length, self.batch_size, self.parts = length, batch_size, parts
        self.item_loss, self.augmentations, self.contrastive = loss, tuple(augmentations), contrastive
        self.most = len(self.sequences) if most is None else min(most, len(self.sequences))

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""
        return -(-self.most // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[list[Steps]]:
        """Yield the windows in random order."""
        order = rng.permutation(len(self.sequences))[: self.most]
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield [
                self._steps(self.sequences.take(part), rng) for part in np.array_split(rows, self.parts) if len(part)
            ]

    def loss(self, model: nn.Module, batch: Steps, device: torch.device) -> Loss:
        """Return the mean loss over the targets."""
        reader: SequenceModel = model  # type: ignore[assignment]
        own = reader.item_vectors()
        vectors = own if self.others is None else torch.cat([own, self.others.vectors(model)])
        hidden = reader(batch.inputs.to(device), vectors).flatten(0, 1)[batch.places.to(device)].float()
        targets = batch.targets.to(device)
        if not len(targets):  # An altered history may have lost all that can come next.
            return Loss(hidden.sum(), 0)
        value = self.item_loss(hidden, reader.targets(own).float(), targets)
        if batch.views is not None:
            first, second = (ends(reader, view.to(device), vectors) for view in batch.views)
            value = value + self.contrastive * _agreement(first, second)
        return Loss(value, len(targets))

    def _steps(self, sequences: Interactions, rng: np.random.Generator) -> Steps:
        num_items = None if self.others is None else self.others.num_items
        if self.contrastive:
            pair = [self._altered(sequences, rng).last(self.length) for _ in range(2)]
            views = Packed.of(pair[0], self.length), Packed.of(pair[1], self.length)
            return Steps.of(sequences, self.length, views, num_items=num_items)
        return Steps.of(self._altered(sequences, rng), self.length, num_items=num_items)

    def _altered(self, sequences: Interactions, rng: np.random.Generator) -> Interactions:
        if not self.augmentations:
            return sequences
        return self.augmentations[int(rng.integers(len(self.augmentations)))](sequences, rng)


def _with_target(sequences: Interactions, num_items: int) -> Interactions:
    """Return the sequences in which an item below a row came next at least once."""
    own = sequences.item_rows < num_items
    own[sequences.offsets[:-1][sequences.lengths > 0]] = False
    return sequences.take(np.flatnonzero(np.bincount(sequences.row_of_event[own], minlength=len(sequences))))


def ends(model: SequenceModel, packed: Packed, vectors: Tensor) -> Tensor:
    """Return what is expected after each sequence (B, D)."""
    ages = packed.ages.flatten()[packed.places]
    return model(packed, vectors).flatten(0, 1)[packed.places[ages == 0]].float()


def _agreement(first: Tensor, second: Tensor, temperature: float = 0.1) -> Tensor:
    """Return how hard it is to tell which two of the views (B, D) are of one history: InfoNCE over the batch."""
    scores = functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T / temperature
    own = torch.arange(len(first), device=first.device)
    return (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2


def last_hidden(model: nn.Module, histories: Interactions, length: int, vectors: Tensor) -> Tensor:
    """Return what is expected after each history (B, D), on the device of `vectors`; zeros for an empty one.

    The items of the histories are rows of `vectors` (I, D).
    """
    reader: SequenceModel = model  # type: ignore[assignment]
    recent = histories.last(length)
    filled = recent.lengths > 0
    # The rows of a few short histories need not be as long as those of many: there would be nothing in them.
    packed = Packed.of(recent, min(length, max(1, recent.num_events))).to(vectors.device)
    ends = packed.places[torch.from_numpy(recent.offsets[1:][filled] - 1)]
    found = torch.zeros(len(recent), vectors.shape[1], device=vectors.device)
    with torch.inference_mode():
        if len(ends):
            found[torch.from_numpy(filled)] = reader(packed, vectors).flatten(0, 1)[ends].float()
    return found
