"""Vectors of items that learning begins with, where another model has learned them before.

Shapes: I items, D numbers of an item's vector, T of its text's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ConfigError
from genre.features.vectors import VectorsConfig
from genre.recommenders.moving import keep_own

if TYPE_CHECKING:
    from genre.recommenders.item_vectors import ItemVectors

_APART = 1e-3
"""Numbers of two texts' vectors that differ by less are the same: vectors have length 1, and machines round."""


def check_start(begin: Any, name: str, size: int, place: str) -> None:
    """Make sure that a model has vectors that can be begun with.

    Args:
        begin: The model.
        name: Of it, for the message.
        size: Numbers of a vector that are wanted.
        place: Of the setting.

    Raises:
        ConfigError: It has none, or longer or shorter ones.
    """
    table = getattr(begin, "table", None)
    if table is None or table.shape[1] != size:
        have = "has none" if table is None else f"has {table.shape[1]}"
        raise ConfigError(
            f"vectors of {size} numbers are wanted from {name!r}, which {have}",
            place=place,
            remedy="Name a `sasrec` of the same `embedding_size`, or leave it out.",
        )


def start_items(
    items: ItemVectors, known: NDArray[np.bool_], text: NDArray[np.float32], reads: VectorsConfig, begin: Any
) -> None:
    """Let items be those of another model of the same catalogue, and new ones be read as it reads them.

    Where both read the same texts by the same encoder through layers of the same form, the items' own vectors and the
    layers are the other's. Where they do not, what it makes of each item becomes the item's own vector, and its text
    says nothing at first.

    Args:
        items: Vectors of their own and layers that read texts, changed in place.
        known: (I,) items that `items` has, in this order.
        text: (I, T) vectors of all items' texts.
        reads: How they were made.
        begin: The other model.
    """
    import torch

    if items.own is None or items.read is None:
        return
    given = _that_reads_alike(items, known, text, reads, begin)
    with torch.no_grad():
        if given is None or given.read is None:
            items.own.weight.copy_(begin.table[torch.from_numpy(known)])
            for layer in items.read.parameters():
                layer.zero_()
            return
        items.own.weight.zero_()  # Some may have none there, and are what their texts say.
        items.read.load_state_dict(given.read.state_dict())
    keep_own(items, known, given, begin.known, np.arange(len(known)))


def _that_reads_alike(
    items: ItemVectors, known: NDArray[np.bool_], text: NDArray[np.float32], reads: VectorsConfig, begin: Any
) -> ItemVectors | None:
    """Return the other model's items if its layers say of these texts what they say there; None if they do not."""
    given: ItemVectors | None = getattr(begin.network, "items", None)
    if given is None or given.read is None or items.read is None or begin.text is None or begin.config.reads != reads:
        return None
    own, other = ({name: value.shape for name, value in read.state_dict().items()} for read in (items.read, given.read))
    if own != other or begin.text.shape != text.shape:
        return None
    # The same settings make other vectors of other items, on which whitening, or an encoder, was fitted.
    return given if np.allclose(begin.text[known], text[known], rtol=0, atol=_APART) else None
