"""The objective of generative retrieval: at every place of a history, say the codes of the item that comes next.

Rajput et al.: Recommender Systems with Generative Retrieval. NeurIPS 2023.

Shapes: T targets, R rows, L places of a row, D numbers of a vector, I items, S levels of codes, M_l prefixes of l
codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre.core.interactions import Interactions
from genre.core.ragged import positions_of
from genre.training.contracts import Loss
from genre.training.next_item import NextItem, Steps
from genre.training.packing import Packed

Ints = NDArray[np.int64]


class CodeModel(Protocol):
    """Reads histories, and says items code by code."""

    def vectors(self) -> list[Tensor]:
        """Return of each level its prefixes (M_l, D) as they are read; in training, drawn anew at every step."""

    def targets(self, vectors: Tensor) -> Tensor:
        """Return prefixes (M, D) as they are said."""

    def say(
        self, packed: Packed, places: Tensor, targets: Tensor, prefixes: Tensor, vectors: Sequence[Tensor]
    ) -> Tensor:
        """Return what is said at each step (T, S, D); its product with a prefix is the log-odds of the last code.

        Args:
            packed: Histories (R, L).
            places: (T,) flat places of them, all that are filled, after each of which an item is said.
            targets: (T,) the right items, whose codes are given to the steps that follow them.
            prefixes: (I, S) which prefix of each level an item has.
            vectors: What `vectors` returned.
        """


@dataclass(frozen=True, eq=False)
class Prefixes:
    """The codes of a catalogue. The prefixes of a level that go on from the same one stand together."""

    of_items: Ints
    """(I, S) which prefix of each level an item has."""
    children: Sequence[Ints]
    """Of each level, (M_{l-1} + 1,): prefix m of the level before goes on as `children[m]:children[m + 1]`."""


class NextCodes:
    """``-sum_l log P(c_l | history, c_1 ... c_{l-1})`` of the next item at every place, each code given the right ones.

    Minus the logarithm of the item's probability, since an item is its codes. A code competes with those that follow
    the same prefix in the catalogue, not with all: nothing is spent on learning which codes exist, and where only one
    follows, there is nothing to learn. A target costs some hundred products, where a softmax over items costs I (Morin,
    Bengio: Hierarchical Probabilistic Neural Network Language Model. AISTATS 2005). Windows are those of `NextItem`.
    """

    def __init__(self, log: Interactions, prefixes: Prefixes, *, length: int, batch_size: int, parts: int = 1) -> None:
        """Cut the log.

        Args:
            log: Histories; those with fewer than two likes teach nothing.
            prefixes: Of the items in it.
            length: Places of a window.
            batch_size: Windows of a step.
            parts: Of a step, worked through one after the other to save memory.
        """
        self.windows = NextItem(log, length=length, batch_size=batch_size, parts=parts)
        self.prefixes = prefixes

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""
        return self.windows.num_batches

    def batches(self, rng: np.random.Generator) -> Iterator[list[Steps]]:
        """Yield the windows in random order."""
        return self.windows.batches(rng)

    def loss(self, model: nn.Module, batch: Steps, device: torch.device) -> Loss:
        """Return the mean loss over the targets."""
        speaker: CodeModel = model  # type: ignore[assignment]
        vectors = speaker.vectors()
        of_items = torch.from_numpy(self.prefixes.of_items).to(device)
        said = speaker.say(
            batch.inputs.to(device), batch.places.to(device), batch.targets.to(device), of_items, vectors
        )
        right = self.prefixes.of_items[batch.targets.numpy()]
        above = np.zeros(len(right), np.int64)
        parts = []
        for level, table in enumerate(vectors):
            parts.append(
                _level_loss(
                    said[:, level], speaker.targets(table), self.prefixes.children[level], above, right[:, level]
                )
            )
            above = right[:, level]
        return Loss(torch.stack(parts).sum(), len(right))


def _level_loss(said: Tensor, targets: Tensor, children: Ints, above: Ints, right: Ints) -> Tensor:
    """Return the mean cross-entropy of the right prefixes (T,) among all that go on from those above (T,)."""
    device = said.device
    if len(children) == 2:  # All go on from nothing: one product instead of many.
        return functional.cross_entropy(said @ targets.T, torch.from_numpy(right).to(device))
    counts = children[above + 1] - children[above]
    open_ = np.flatnonzero(counts > 1)  # Where only one goes on, it is certain.
    if not len(open_):
        return said.sum() * 0
    counts = counts[open_]
    row = np.repeat(np.arange(len(open_)), counts)
    child = positions_of(children, above[open_])
    place = child - np.repeat(children[above[open_]], counts)
    odds = (said[torch.from_numpy(open_[row]).to(device)] * targets[torch.from_numpy(child).to(device)]).sum(1)
    table = torch.full((len(open_), int(counts.max())), -torch.inf, device=device)
    table = table.index_put((torch.from_numpy(row).to(device), torch.from_numpy(place).to(device)), odds)
    answers = torch.from_numpy(right[open_] - children[above[open_]]).to(device)
    return functional.cross_entropy(table, answers, reduction="sum") / len(said)
