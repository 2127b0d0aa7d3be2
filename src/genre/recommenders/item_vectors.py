"""A vector for each item, of the item's own and of its text: what `sasrec` and `two_tower` read and score. Needs torch.

Shapes: I items, T numbers of a text vector, D numbers of an item vector, V versions of a text.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class ItemVectors(nn.Module):
    """``v_i = u_i + g(t_i)``: u is learned for each item, g is learned for all, t is the text's vector and stays.

    An item without likes has no u and is ``g(t_i)``. For that to be worth something, a training step leaves out the u
    of some items, as if they were new. The u begin small, so that an item is what its text says until its likes say
    more. Of some items, a training step may read another version of the text, drawn anew each time.
    """

    def __init__(
        self,
        num_items: int,
        size: int,
        text: Tensor | None = None,
        *,
        own: bool = True,
        own_dropout: float = 0.0,
        hidden: int = 0,
        dropout: float = 0.0,
        versions: Tensor | None = None,
        versions_share: float = 0.0,
    ) -> None:
        """Build the parts.

        Args:
            num_items: Items with a vector of their own.
            size: D.
            text: (num_items, T) vectors of their texts.
            own: Whether items have vectors of their own; without, text decides alone.
            own_dropout: Share of the items whose own vectors a training step leaves out.
            hidden: Width of the layer between text and vector; 0 for none.
            dropout: Share of the numbers of that layer that a training step leaves out.
            versions: (V, num_items, T) vectors of other versions of the texts, which are read in training alone.
            versions_share: Share of the items that a training step reads in one of these.
        """
        super().__init__()
        if text is None and not own:
            raise ValueError("an item needs a vector of its own or a text")
        self.num_items, self.size, self.own_dropout = num_items, size, own_dropout
        self.versions_share = versions_share if versions is not None and len(versions) else 0.0
        self.own = nn.Embedding(num_items, size) if own else None
        if self.own is not None:
            nn.init.xavier_normal_(self.own.weight)
        # Not part of the state: it does not change, and whoever builds this has it.
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("versions", versions if self.versions_share else None, persistent=False)
        self.read: nn.Module | None = None
        if text is not None:
            wide = hidden or size
            layers: list[nn.Module] = [nn.Linear(text.shape[1], wide)]
            if hidden:
                layers += [nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, size)]
            self.read = nn.Sequential(*layers)

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """Return all items (I, D), or those of some rows; in training, some of them as if they were new."""
        own = None if self.own is None else self.own.weight if rows is None else self.own(rows)
        if self.read is None:
            return cast(Tensor, own)
        found = self.of_text(self._read_text(rows))
        if own is None:
            return found
        if self.training and self.own_dropout:
            own = own * (torch.rand(len(own), 1, device=own.device) >= self.own_dropout)
        return own + found

    def table(self, known: NDArray[np.bool_], readable: NDArray[np.bool_], text: NDArray[np.float32] | None) -> Tensor:
        """Return all items of a catalogue as they are read (I, D), zeros for those that cannot be.

        Args:
            known: (I,) the items of this module, in this order.
            readable: (I,) known ones, and those of which a text is enough.
            text: (I, T) vectors of the texts.
        """
        with torch.inference_mode():
            own = self().float()
            found = torch.zeros(len(known), self.size, device=own.device)
            found[torch.from_numpy(known)] = own
            new = np.flatnonzero(readable & ~known)
            if text is not None and len(new):
                found[torch.from_numpy(new)] = self.of_text(torch.from_numpy(text[new]).to(own.device)).float()
            found[torch.from_numpy(~readable)] = 0
        return found

    def of_text(self, text: Tensor) -> Tensor:
        """Return what texts (I, T) say of items that have nothing else (I, D)."""
        found: Tensor = cast(nn.Module, self.read)(text)
        return found

    def _read_text(self, rows: Tensor | None) -> Tensor:
        """Return what is read (I, T); in training, of some items another version than the real one."""
        text = cast(Tensor, self.text)
        real = text if rows is None else text[rows]
        if not (self.training and self.versions_share):
            return real
        versions = cast(Tensor, self.versions)
        at = torch.arange(len(text), device=text.device) if rows is None else rows
        drawn = torch.randint(len(versions), (len(at),), device=text.device)
        other = torch.rand(len(at), 1, device=text.device) < self.versions_share
        return torch.where(other, versions[drawn, at], real)
