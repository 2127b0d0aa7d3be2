"""Beam search over the codes of a catalogue: every answer is an item, and one that may be answered. Needs torch.

Shapes: B queries, D numbers of a vector, W beams of a query, N beams in all, E ways to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre.core.queries import NO_ITEM
from genre.core.ragged import offsets_of
from genre.core.topn import top_n
from genre.recommenders.trie import Ints, Open, Trie

Floats = NDArray[np.float32]
_PAIRS = 1 << 11
"""Products that are worked out at once on a CPU: their vectors stay in a core's cache."""


class Speaker(Protocol):
    """Says items code by code."""

    def step(self, level: int, inputs: Tensor, rows: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Say one code: return what is compared with prefixes (N, D), and the memory for the next step.

        Args:
            level: From 0.
            inputs: (N, D) what is expected, at level 0; the prefixes said so far as they are read, at the others.
            rows: (N,) which row of the step before each goes on from; which history, at level 0.
            memory: Of the steps before; at level 0 of the histories.
        """


def search(
    network: Speaker,
    hidden: Tensor,
    read: Sequence[Tensor],
    said: Sequence[Tensor],
    trie: Trie,
    opened: Open,
    width: int,
    memory: Any = None,
) -> tuple[NDArray[np.int32], Floats]:
    """Return the items and their log-probabilities (B, W), best first; `NO_ITEM` and minus infinity behind the last.

    ``log P(item) = sum_l log P(c_l | history, c_1 ... c_{l-1})``, each a softmax over all children of a node, also
    those that are no answers: what a query hides does not change the others' scores. At each level, the W best prefixes
    of a query are kept among those that an answer lies below, so W answers are found wherever there are so many, and
    the answer is exact where W is no less than the prefixes of any level. Equal ones stand in the order of
    the trie.

    Args:
        network: Says the codes.
        hidden: (B, D) what is expected after each history.
        read: Of each level, the nodes (M_l, D) as they are read.
        said: The same as what is said is compared with them.
        trie: The catalogue.
        opened: What each query may be answered with.
        width: W.
        memory: What the network remembers of the histories beside that.
    """
    num_queries, device = len(hidden), hidden.device
    query = np.arange(num_queries if len(trie.items) else 0)
    query = query[opened.allows(0, query, np.zeros_like(query))]
    node, score, row = np.zeros_like(query), np.zeros(len(query), np.float32), query
    for level in range(trie.num_levels):
        # A prefix of one item alone is certain to go on as that item: nothing of it is asked of the network.
        going = np.flatnonzero(np.diff(trie.leaves[level])[node] > 1)
        kept_rows = torch.from_numpy(row[going]).to(device)
        inputs = read[level - 1][torch.from_numpy(node[going]).to(device)] if level else hidden[kept_rows]
        wanted, memory = network.step(level, inputs, kept_rows, memory)
        row = np.zeros_like(node)
        row[going] = np.arange(len(going))
        parent, child = trie.below(level, node)
        found = score[parent]
        split = np.flatnonzero(np.diff(trie.children[level])[node[parent]] > 1)
        if len(split):
            odds = _odds(wanted, said[level], row[parent[split]], child[split])
            found[split] += _log_shares(odds, parent[split])
        allowed = np.flatnonzero(opened.allows(level + 1, query[parent], child))
        best = allowed[_best_of_each(query[parent[allowed]], found[allowed], width)]
        parent, node, score = parent[best], child[best], found[best]
        query, row = query[parent], row[parent]
    items = np.full((num_queries, width), NO_ITEM, np.int32)
    scores = np.full((num_queries, width), -np.inf, np.float32)
    place = np.arange(len(query)) - offsets_of(np.bincount(query, minlength=num_queries))[query]
    items[query, place], scores[query, place] = trie.items[node], score
    return items, scores


def _odds(wanted: Tensor, said: Tensor, beams: Ints, nodes: Ints) -> Floats:
    """Return the products (E,) of what beams want (N, D) with nodes (M, D)."""
    if len(nodes) == len(wanted) * len(said):  # Every beam goes on everywhere: one product instead of many.
        return (wanted @ said.T).cpu().numpy().ravel()
    rows, columns = (torch.from_numpy(part).to(wanted.device) for part in (beams, nodes))
    size = _PAIRS if wanted.device.type == "cpu" else len(nodes)
    parts = [
        wanted[rows[at : at + size]].mul_(said[columns[at : at + size]]).sum(1) for at in range(0, len(nodes), size)
    ]
    return torch.cat(parts).cpu().numpy()


def _log_shares(logits: Floats, nodes: Ints) -> Floats:
    """Return the logarithms of the softmax (E,), E > 0, over the ways that leave the same node; `nodes` (E,) rise."""
    starts = np.flatnonzero(np.diff(nodes, prepend=-1))
    counts = np.diff(starts, append=len(nodes))
    shifted: Floats = logits - np.repeat(np.maximum.reduceat(logits, starts), counts)
    shifted -= np.repeat(np.log(np.add.reduceat(np.exp(shifted), starts)), counts)
    return shifted


def _best_of_each(queries: Ints, scores: Floats, width: int) -> Ints:
    """Return which of E ways are the `width` best of their query (rising), query after query, the best first."""
    counts = np.bincount(queries)
    starts = offsets_of(counts)
    table = np.full((len(counts), int(counts.max(initial=0))), -np.inf, np.float32)
    table[queries, np.arange(len(queries)) - starts[queries]] = scores
    columns, _ = top_n(table, width)
    row, place = np.nonzero(columns != NO_ITEM)
    return starts[row] + columns[row, place]
