"""What a teacher adds to a student's loss: its lists, and the vectors that it has of items. Needs torch.

Shapes: N histories, B of a step, k places of a list, I items of the student, D numbers of an item's vector, n items
that student and teacher both have a vector of, E numbers of the teacher's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM
from genre.training.contracts import Term
from genre.training.loss import softmax_loss
from genre.training.next_item import SequenceModel, ends
from genre.training.packing import Packed
from genre.training.towers import Histories, Towers

Reading: TypeAlias = Callable[[nn.Module, Interactions, torch.device], tuple[Tensor, Tensor]]
"""From a student and histories, none of them empty, to what it expects after each (B, D) and its items (I, D), whose
products are its scores."""
_ALIGNED = 8192
"""Items at most whose vectors are compared in a step."""
_RIDGE = 1e-3
"""Of the map between vectors, relative to their mean square, so that it exists where some numbers say the same."""


def reads_sequences(length: int) -> Reading:
    """Return how a sequence model is asked for what it expects after a history's newest `length` likes."""

    def read(model: nn.Module, histories: Interactions, device: torch.device) -> tuple[Tensor, Tensor]:
        reader: SequenceModel = model  # type: ignore[assignment]
        vectors = reader.item_vectors()
        expected = ends(reader, Packed.of(histories.last(length), length).to(device), vectors)
        return expected, reader.targets(vectors).float()

    return read


def reads_towers(length: int, temperature: float) -> Reading:
    """Return how two towers are asked for the same; their cosines are divided by `temperature`."""

    def read(model: nn.Module, histories: Interactions, device: torch.device) -> tuple[Tensor, Tensor]:
        towers: Towers = model  # type: ignore[assignment]
        vectors = towers.items(None)
        recent = histories.last(length)
        asked = towers.of_histories(vectors, Histories.of(recent, recent.item_rows).to(device))
        return asked.float() / temperature, towers.of_items(vectors).float()

    return read


@dataclass(frozen=True, eq=False)
class SoftLists:
    """What a teacher would recommend after some histories, and how much of each place a student shall learn.

    ``w_r = exp(-r / decay) * softmax(z / temperature)_r`` for the place r from 0, where z are the teacher's scores less
    their mean over the list, divided by their standard deviation there: scores of different teachers have different
    scales. High places count more, since they are what is shown (Tang and Wang: Ranking Distillation. KDD 2018), and so
    do those that the teacher is sure of (Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015).
    """

    histories: Interactions
    """N rows, none of them empty; items are those of the student."""
    items: NDArray[np.int32]
    """(N, k) best first, none of the rows empty; `NO_ITEM` in the places that are left."""
    shares: NDArray[np.float32]
    """(N, k) ``w / sum w``, 0 where there is no item."""
    sure: NDArray[np.float64]
    """(N,) ``sum w``: how much the whole list counts."""

    @classmethod
    def of(
        cls,
        histories: Interactions,
        items: NDArray[np.int32],
        scores: NDArray[np.float32],
        *,
        temperature: float,
        decay: float,
    ) -> Self:
        """Weigh lists (N, k) by their scores (N, k); histories and lists that are empty are left out."""
        kept = np.flatnonzero((histories.lengths > 0) & (items != NO_ITEM).any(axis=1))
        items, scores = items[kept], scores[kept].astype(np.float64)
        there = items != NO_ITEM
        count = there.sum(axis=1, keepdims=True)
        centred = scores - np.where(there, scores, 0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
        centred[~there] = 0
        spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / np.maximum(count, 1))
        z = centred / np.where(spread > 0, spread, 1) / temperature
        weights = np.exp(z - z.max(axis=1, keepdims=True, initial=0)) * there
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        # An item that the student does not have leaves its place to nobody: those behind keep theirs.
        weights *= np.exp(-np.arange(items.shape[1]) / decay)
        sure = weights.sum(axis=1)
        return cls(histories.take(kept), items, (weights / sure[:, None]).astype(np.float32), sure)

    def __len__(self) -> int:
        """Return N."""
        return len(self.items)


def list_loss(hidden: Tensor, items: Tensor, lists: Tensor, shares: Tensor) -> Tensor:
    """Return the mean over B of ``sum_r share_r * -log softmax(hidden V')[list_r]``.

    As shares add up to 1, that is ``logsumexp(h V') - h . (sum_r share_r v_r)``: the loss of one target, which never
    holds all scores, and what one target differs from their mean.

    Args:
        hidden: (B, D) what the student expects.
        items: (I, D) its items, V.
        lists: (B, k) items; any item stands where the share is 0, and a real one in the first place.
        shares: (B, k) 0 or more, of sum 1.
    """
    wanted = (shares[:, :, None] * items[lists]).sum(1)
    first = lists[:, 0]
    return softmax_loss(hidden, items, first) + (hidden * (items[first] - wanted)).sum(1).mean()


@dataclass(frozen=True, eq=False)
class Alignment:
    """Vectors of a teacher that the student's shall tell, up to a linear map.

    ``min over A, b of mean |A v_i + b - t_i|^2 / mean |t_i - mean t|^2``: 0 where all that the teacher's vectors t say
    can be read from the student's v, 1 where nothing can. The map is the least squares one of the moment (with a little
    ridge), so that it need not be learned, saved or of any size.
    """

    rows: NDArray[np.int64]
    """(n,) items of the student that the teacher has a vector of."""
    vectors: Tensor
    """(n, E) the teacher's."""
    weight: float

    def loss(self, items: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the weighted loss of the student's items (I, D), on some that are drawn where there are many."""
        drawn = rng.choice(len(self.rows), _ALIGNED, replace=False) if len(self.rows) > _ALIGNED else slice(None)
        with torch.autocast(items.device.type, enabled=False):
            own = items[torch.from_numpy(self.rows[drawn]).to(items.device)].float()
            theirs = self.vectors[drawn].to(items.device).float()
            own, theirs = own - own.mean(0), theirs - theirs.mean(0)
            with torch.no_grad():  # Where the map is the best one, the loss does not change with it.
                square = own.T @ own
                ridge = _RIDGE * square.diagonal().mean() + torch.finfo(torch.float32).tiny
                best = torch.linalg.solve(square + ridge * torch.eye(len(square), device=items.device), own.T @ theirs)
            missed = (own @ best - theirs).pow(2).sum()
            found: Tensor = self.weight * missed / theirs.pow(2).sum().clamp(min=torch.finfo(torch.float32).tiny)
            return found


class Distillation(Term):
    """``weight * mean over lists of sum_r w_r * -log softmax(s)[item_r]``, s the student's scores; and the alignment.

    Lists are drawn in proportion to how much they count as a whole, in place of being weighted by it. Once the student
    is better than its teacher on the same questions, the teacher has nothing more to say: the weight goes to 0 and
    stays there.
    """

    def __init__(
        self,
        lists: SoftLists,
        reading: Reading,
        *,
        weight: float,
        batch_size: int,
        teacher: float | None = None,
        alignment: Alignment | None = None,
        items: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take what the teacher said.

        Args:
            lists: At least one.
            reading: How the student is asked.
            weight: Of the lists, beside the student's own loss.
            batch_size: Lists of a step.
            teacher: How good it is, as the student is told to be by `look`; None where nobody knows.
            alignment: With the teacher's vectors.
            items: (all items,) those that the student learns, where they are more than those of its log.
        """
        self.items, self.num_batches = items, -(-len(lists) // batch_size)
        self.lists, self.reading, self.weight, self.batch_size = lists, reading, weight, batch_size
        self.teacher, self.alignment = teacher, alignment
        self.ended: int | None = None
        """The epoch, from 1, after which the teacher was worse than the student."""
        self._student = -np.inf
        self._below = np.cumsum(lists.sure) / lists.sure.sum()

    def penalty(self, model: nn.Module, batch: Any, rng: np.random.Generator) -> Tensor:
        """Return what the student makes of some lists; 0 once it is better than the teacher."""
        if self.ended is not None:
            return torch.zeros(())
        device = next(model.parameters()).device
        drawn = np.minimum(np.searchsorted(self._below, rng.random(self.batch_size), side="right"), len(self.lists) - 1)
        hidden, items = self.reading(model, self.lists.histories.take(drawn), device)
        lists = torch.from_numpy(self.lists.items[drawn].astype(np.int64)).to(device)
        shares = torch.from_numpy(self.lists.shares[drawn]).to(device)
        value = self.weight * list_loss(hidden, items, *_filled_first(lists, shares))
        return value if self.alignment is None else value + self.alignment.loss(items, rng)

    def look(self, student: float) -> None:
        """Take note of how good the student is by now, on the questions that the teacher was judged by."""
        self._student = student

    def after_epoch(self, epoch: int) -> None:
        """See whether the teacher is still better."""
        if self.ended is None and self.teacher is not None and self._student > self.teacher:
            self.ended = epoch

    def state(self) -> dict[str, float]:
        """Return after which epoch the teacher was worse, 0 for none."""
        return {"ended": float(self.ended or 0)}

    def restore(self, state: Mapping[str, float]) -> None:
        """Take it back."""
        self.ended = int(state["ended"]) or None


def _filled_first(lists: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return lists and shares (B, k) in the order of their shares, a row's heaviest item in the places without one."""
    shares, order = shares.sort(dim=1, descending=True, stable=True)
    lists = lists.gather(1, order)
    return torch.where(lists == NO_ITEM, lists[:, :1], lists), shares
