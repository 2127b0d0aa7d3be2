"""Beam search over the codes of a catalogue: every answer is an item, and one that may be answered. Needs torch.

Shapes: B queries, D numbers of a vector, W beams of a query, N beams in all, E ways to go on.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre.core.queries import NO_ITEM
from genre.core.ragged import offsets_of
from genre.recommenders.code_transformer import CodeTransformer
from genre.recommenders.trie import Ints, Open, Trie

Floats = NDArray[np.float32]


def search(
    network: CodeTransformer, hidden: Tensor, trie: Trie, opened: Open, width: int
) -> tuple[NDArray[np.int32], Floats]:
    """Return the items and their log-probabilities (B, W), best first; `NO_ITEM` and minus infinity behind the last.

    ``log P(item) = sum_l log P(c_l | history, c_1 ... c_{l-1})``. At each level, the W best prefixes of a query are
    kept among those that an answer lies below, so W answers are found wherever there are so many, and the answer is
    exact where W is no less than the prefixes of any level. Equal ones stand by their codes.

    Args:
        network: Says the codes.
        hidden: (B, D) what is expected after each history.
        trie: The catalogue.
        opened: What each query may be answered with.
        width: W.
    """
    num_queries = len(hidden)
    query = np.arange(num_queries if len(trie.items) else 0)
    query = query[opened.allows(0, query, np.zeros_like(query))]
    node, score = np.zeros_like(query), np.zeros(len(query), np.float32)
    inputs, memory = hidden[torch.from_numpy(query).to(hidden.device)], None
    for level in range(trie.num_levels):
        said, memory = network.step(level, inputs, memory)
        parent, child = trie.below(level, node)
        kept = np.flatnonzero(opened.allows(level + 1, query[parent], child))
        parent, child = parent[kept], child[kept]
        code = trie.codes[level][child]
        found = score[parent] + said.cpu().numpy()[parent, code]
        best = _best_of_each(query[parent], found, child, width)
        parent, node, score = parent[best], child[best], found[best]
        query = query[parent]
        rows = torch.from_numpy(parent).to(hidden.device)
        memory = tuple((key[rows], value[rows]) for key, value in memory)
        inputs = torch.from_numpy(code[best]).to(hidden.device)
    items = np.full((num_queries, width), NO_ITEM, np.int32)
    scores = np.full((num_queries, width), -np.inf, np.float32)
    place = np.arange(len(query)) - offsets_of(np.bincount(query, minlength=num_queries))[query]
    items[query, place], scores[query, place] = trie.items[node], score
    return items, scores


def _best_of_each(queries: Ints, scores: Floats, nodes: Ints, width: int) -> Ints:
    """Return which of E ways are the `width` best of their query, query after query, the best first."""
    order = np.lexsort((nodes, -scores, queries))
    starts = offsets_of(np.bincount(queries))
    return order[np.arange(len(order)) - starts[queries[order]] < width]
