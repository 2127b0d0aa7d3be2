"""What people of this catalogue liked in another one: it stands in their histories, and is never an answer.

Shapes: U users of this catalogue, B histories, I items of this catalogue, F items of the other one, T numbers of a
text's vector, D of an item's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from genre.core.interactions import Interactions
from genre.core.parts import below, with_prefix
from genre.data.sequences import merged
from genre.recommenders.base import State

if TYPE_CHECKING:
    from torch import Tensor

    from genre.recommenders.item_vectors import ItemVectors
    from genre.training.contracts import Others

Floats = NDArray[np.float32]
_PREFIX = "elsewhere."
_LOG = ("offsets", "item_rows", "timestamps", "weights")


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """Histories in another catalogue, and what its items are read by.

    An item there is what it was in its own model: the vector that it had of its own, and what its text says by now.
    """

    likes: Interactions
    """U rows, oldest first, most of them empty as a rule; items are counted among the F."""
    text: Floats
    """(F, T) vectors of the texts; zeros for an item without."""
    own: Floats | None
    """(F, D) vectors of the items' own, zeros for an item without; None where items have none."""

    @classmethod
    def of(cls, model: Any, log: Interactions, rows: NDArray[np.integer]) -> Self:
        """Gather what people liked there, as far as it can be read.

        Args:
            model: Of the other catalogue, one that reads texts.
            log: Of the other catalogue.
            rows: (U,) where each user of this catalogue stands in that log, -1 for those who are not in it.
        """
        from genre.recommenders.item_vectors import ItemVectors

        likes = _rows_of(log.liked(), rows)
        likes = likes.where(model.scorable[likes.item_rows])
        items, place = np.unique(likes.item_rows, return_inverse=True)
        vectors = next(part for part in model.network.modules() if isinstance(part, ItemVectors))
        own = None
        if vectors.own is not None:
            weights = vectors.own.weight.detach().float().cpu().numpy()
            own = np.zeros((len(items), weights.shape[1]), np.float32)
            known = model.known[items]
            own[known] = weights[(np.cumsum(model.known) - 1)[items[known]]]
        return cls(replace(likes, item_rows=place.astype(np.int32)), model.text[items], own)

    @property
    def people(self) -> NDArray[np.bool_]:
        """(U,) users who liked something there."""
        return np.asarray(self.likes.lengths > 0)

    def joined(
        self, here: Interactions, user_rows: NDArray[np.integer], times: NDArray[np.int64], num_items: int
    ) -> Interactions:
        """Return histories with what was liked there before, in the order of time; nothing that came later.

        Where a history has no time, what was liked there comes first.

        Args:
            here: B histories; they come back as they are where nobody of them liked anything there.
            user_rows: (B,) whose they are, `UNKNOWN_USER` for others.
            times: (B,) of the question, 0 where nothing has a time.
            num_items: Rows of this catalogue, behind which those of the other stand.
        """
        there = _rows_of(self.likes, np.where(user_rows < len(self.likes), user_rows, -1))
        asked = np.repeat(times, there.lengths)
        there = replace(there, timestamps=np.where(asked > 0, there.timestamps, 0))
        there = there.where((there.timestamps < asked) | (asked == 0))
        if not there.num_events:
            return here
        return merged(replace(there, item_rows=(there.item_rows + num_items).astype(np.int32)), here)

    def in_training(
        self, log: Interactions, num_items: int, items_of: Callable[[Any], ItemVectors]
    ) -> tuple[Interactions, Others]:
        """Return what is learned from: the log (U rows) with what was liked there, and how that is read.

        Args:
            log: Items are counted among those that are learned of.
            num_items: How many these are.
            items_of: Returns the part of the network that reads items.
        """
        from genre.training.contracts import Others

        joined = self.joined(log, np.arange(len(log)), log.end_times, num_items)
        return joined, Others(num_items, lambda network: self.vectors(items_of(network)))

    def vectors(self, items: ItemVectors) -> Tensor:
        """Return the items of the other catalogue (F, D) as this module reads them."""
        import torch

        layer = next(items.parameters())
        found = items.of_text(torch.from_numpy(self.text).to(layer.device))
        if self.own is not None:
            found = found + torch.from_numpy(self.own).to(found)
        return found

    def table(self, table: Tensor, items: ItemVectors) -> Tensor:
        """Return the items of both catalogues (I + F, D) as they are read.

        Args:
            table: (I, D) those of this catalogue.
            items: Reads them.
        """
        import torch

        with torch.inference_mode():
            return torch.cat([table, self.vectors(items).float()])

    def without(self, user_rows: NDArray[np.integer]) -> Self:
        """Return the same without what some people liked, and without the items that nobody else did."""
        lengths = self.likes.lengths
        gone = np.zeros(len(self.likes), bool)
        gone[user_rows[(user_rows >= 0) & (user_rows < len(self.likes))]] = True
        likes = self.likes.where(np.repeat(~gone, lengths))
        items, place = np.unique(likes.item_rows, return_inverse=True)
        own = None if self.own is None else self.own[items]
        return type(self)(replace(likes, item_rows=place.astype(np.int32)), self.text[items], own)

    def dealt(self, rng: np.random.Generator) -> Self:
        """Return the same with everybody's likes given to somebody else of these people, drawn at random."""
        people = rng.permutation(np.flatnonzero(self.people))
        rows = np.full(len(self.likes), -1)
        rows[people] = np.roll(people, 1)
        return replace(self, likes=_rows_of(self.likes, rows))

    def state(self) -> State:
        """Return all of it as arrays."""
        parts = {name: getattr(self.likes, name) for name in _LOG} | {"text": self.text}
        return with_prefix(_PREFIX, parts if self.own is None else parts | {"own": self.own})


def elsewhere_of(state: State) -> Elsewhere | None:
    """Return what `Elsewhere.state` returned, if it is there."""
    parts = below(_PREFIX, state)
    if not parts:
        return None
    return Elsewhere(Interactions(*(parts[name] for name in _LOG)), parts["text"], parts.get("own"))


def _rows_of(log: Interactions, rows: NDArray[np.integer]) -> Interactions:
    """Return some rows of a log, an empty one for -1."""
    longer = Interactions(np.append(log.offsets, log.offsets[-1]), log.item_rows, log.timestamps, log.weights)
    return longer.take(np.where(rows < 0, len(log), rows))
