"""The codes of a catalogue as a trie, and which of its branches a query may enter.

Shapes: I items, S levels of codes, N leaves (items with codes), M_l nodes that l codes lead to, B queries, E pairs of a
query and a node.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import Candidates
from genre.core.ragged import Ragged, offsets_of, positions_of

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Trie:
    """Every prefix of an item's codes is a node; nodes of a level stand by their codes, so children stand together.

    A list for each level in place of an object for each node: all of it is 8 * N * (S + 3) bytes at most for each of
    three kinds of array, and a million nodes are entered with one line of numpy. The root is level 0. Each leaf, in
    level S, is one item: items that share all codes have leaves of their own, reached by the same code.
    """

    codes: tuple[Ints, ...]
    """Of levels 1 to S, (M_l,) the code that leads to the node."""
    children: tuple[Ints, ...]
    """Of levels 0 to S - 1, (M_l + 1,) node m has the nodes `children[m]:children[m + 1]` of the next level."""
    leaves: tuple[Ints, ...]
    """Of levels 0 to S, (M_l + 1,) below node m are the leaves `leaves[m]:leaves[m + 1]`."""
    items: NDArray[np.int32]
    """(N,) the item of each leaf."""
    places: Ints
    """(I,) the leaf of each item; -1 for one without."""

    @classmethod
    def of(cls, codes: Ints, known: NDArray[np.bool_]) -> Self:
        """Build from the codes (I, S) of those items that are `known` (I,)."""
        rows = np.flatnonzero(known)
        order = np.lexsort((rows, *codes[rows].T[::-1]))
        items = rows[order]
        sorted_codes = codes[items]
        num_levels = codes.shape[1]
        new = np.zeros(len(items), bool)
        new[:1] = True
        starts = [np.flatnonzero(new)]  # The first leaf of every node, level by level.
        for level in range(num_levels):
            column = sorted_codes[:, level]
            new[1:] |= column[1:] != column[:-1]
            starts.append(np.flatnonzero(new) if level + 1 < num_levels else np.arange(len(items)))
        leaves = tuple(np.append(first, len(items)) for first in starts)
        children = tuple(np.searchsorted(below, above) for above, below in pairwise(leaves))
        places = np.full(len(codes), -1, np.int64)
        places[items] = np.arange(len(items))
        reached = tuple(sorted_codes[first, level] for level, first in enumerate(starts[1:]))
        return cls(reached, children, leaves, items.astype(np.int32), places)

    @property
    def num_levels(self) -> int:
        """S."""
        return len(self.codes)

    def below(self, level: int, nodes: Ints) -> tuple[Ints, Ints]:
        """Return all children of some nodes of `level`: which of `nodes` each belongs to, and the child."""
        offsets = self.children[level]
        lengths = offsets[nodes + 1] - offsets[nodes]
        return np.repeat(np.arange(len(nodes)), lengths), positions_of(offsets, nodes)

    def nodes_above(self, level: int, leaves: Ints) -> Ints:
        """Return the nodes of `level` that some leaves are below."""
        return np.searchsorted(self.leaves[level], leaves, side="right") - 1

    def nodes_of(self, items: Ints) -> Ints:
        """Return the nodes (len(items), S) of levels 1 to S on the way to some items, all of which have codes."""
        leaves = self.places[items]
        return np.stack([self.nodes_above(level, leaves) for level in range(1, self.num_levels + 1)], axis=1)


class Open:
    """Which nodes have a leaf below that a query may be answered with.

    A query hides few items or allows few, so what is kept is sparse: where it names what it allows, the nodes above
    those; otherwise the nodes all of whose leaves it hides.
    """

    def __init__(self, trie: Trie, candidates: Candidates, num_queries: int) -> None:
        """Follow what is allowed (B queries) from the leaves up to the root."""
        allowed = np.ones(len(trie.items), bool) if candidates.allowed is None else candidates.allowed[trie.items]
        before = offsets_of(allowed.astype(np.int64))
        hidden = _pairs(trie, candidates.excluded, allowed)
        self._sizes = [len(leaves) - 1 for leaves in trie.leaves]
        self._counts = [before[leaves[1:]] - before[leaves[:-1]] for leaves in trie.leaves]
        self._only = candidates.only is not None
        """Whether a node must be among `_named` to be open; if not, one among them is closed."""
        self._named: list[Ints] = []
        if self._only:
            named = np.setdiff1d(_pairs(trie, candidates.only, allowed), hidden)
        for level in range(trie.num_levels + 1):
            query, leaf = np.divmod(named if self._only else hidden, len(trie.items) or 1)
            key = query * self._sizes[level] + trie.nodes_above(level, leaf)
            nodes, count = np.unique(key, return_counts=True)
            if not self._only:
                nodes = nodes[count == self._counts[level][nodes % max(1, self._sizes[level])]]
            self._named.append(nodes)

    def allows(self, level: int, queries: Ints, nodes: Ints) -> NDArray[np.bool_]:
        """Return for each of E pairs whether the query may enter the node of `level`."""
        named = self._named[level]
        key = queries * self._sizes[level] + nodes
        is_named: NDArray[np.bool_] = np.append(named, -1)[np.searchsorted(named, key)] == key
        return is_named if self._only else (self._counts[level][nodes] > 0) & ~is_named


def _pairs(trie: Trie, items: Ragged | None, allowed: NDArray[np.bool_]) -> Ints:
    """Return each query and allowed leaf once, as query * N + leaf."""
    if items is None:
        return np.empty(0, np.int64)
    leaf = trie.places[items.values]
    kept = leaf >= 0
    kept[kept] = allowed[leaf[kept]]
    return np.unique(items.row_of_value[kept] * len(trie.items) + leaf[kept])
