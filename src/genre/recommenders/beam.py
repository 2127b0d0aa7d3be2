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
from genre.recommenders.code_transformer import CodeTransformer, Vectors
from genre.recommenders.trie import Ints, Open, Trie

Floats = NDArray[np.float32]


def search(
    network: CodeTransformer, hidden: Tensor, vectors: Vectors, trie: Trie, opened: Open, width: int
) -> tuple[NDArray[np.int32], Floats]:
    """Return the items and their log-probabilities (B, W), best first; `NO_ITEM` and minus infinity behind the last.

    ``log P(item) = sum_l log P(c_l | history, c_1 ... c_{l-1})``, each a softmax over all children of a node, also those
    that are no answers: what a query hides does not change the others' scores. At each level, the W best prefixes of a query are
    kept among those that an answer lies below, so W answers are found wherever there are so many, and the answer is
    exact where W is no less than the prefixes of any level. Equal ones stand by their codes.

    Args:
        network: Says the codes.
        hidden: (B, D) what is expected after each history.
        vectors: Of each level, its nodes (M_l, D) as they are read.
        trie: The catalogue.
        opened: What each query may be answered with.
        width: W.
    """
    num_queries = len(hidden)
    query = np.arange(num_queries if len(trie.items) else 0)
    query = query[opened.allows(0, query, np.zeros_like(query))]
    node, score = np.zeros_like(query), np.zeros(len(query), np.float32)
    inputs, memory = hidden[torch.from_numpy(query).to(hidden.device)], None
    for level, table in enumerate(vectors):
        said, memory = network.step(level, inputs, memory)
        parent, child = trie.below(level, node)
        odds = _odds(said, network.targets(table), parent, child)
        found = score[parent] + _log_shares(odds, parent)
        kept = np.flatnonzero(opened.allows(level + 1, query[parent], child))
        parent, child, found = parent[kept], child[kept], found[kept]
        best = _best_of_each(query[parent], found, child, width)
        parent, node, score = parent[best], child[best], found[best]
        query = query[parent]
        rows = torch.from_numpy(parent).to(hidden.device)
        memory = tuple((key[rows], value[rows]) for key, value in memory)
        inputs = table[torch.from_numpy(node).to(hidden.device)]
    items = np.full((num_queries, width), NO_ITEM, np.int32)
    scores = np.full((num_queries, width), -np.inf, np.float32)
    place = np.arange(len(query)) - offsets_of(np.bincount(query, minlength=num_queries))[query]
    items[query, place], scores[query, place] = trie.items[node], score
    return items, scores


def _odds(said: Tensor, targets: Tensor, beams: Ints, nodes: Ints) -> Floats:
    """Return the products (E,) of what beams say (N, D) with nodes (M, D)."""
    if len(nodes) == len(said) * len(targets):  # Every beam goes on everywhere: one product instead of many.
        return (said @ targets.T).cpu().numpy().ravel()
    rows, columns = (torch.from_numpy(part).to(said.device) for part in (beams, nodes))
    return torch.einsum("ed,ed->e", said[rows], targets[columns]).cpu().numpy()


def _log_shares(logits: Floats, nodes: Ints) -> Floats:
    """Return the logarithms of the softmax (E,) over the ways that leave the same node; `nodes` (E,) rise."""
    starts = np.flatnonzero(np.diff(nodes, prepend=-1))
    counts = np.diff(starts, append=len(nodes))
    shifted = logits - np.repeat(np.maximum.reduceat(logits, starts), counts) if len(nodes) else logits
    sums = np.add.reduceat(np.exp(shifted), starts) if len(nodes) else shifted
    return shifted - np.repeat(np.log(sums), counts)


def _best_of_each(queries: Ints, scores: Floats, nodes: Ints, width: int) -> Ints:
    """Return which of E ways are the `width` best of their query, query after query, the best first."""
    order = np.lexsort((nodes, -scores, queries))
    starts = offsets_of(np.bincount(queries))
    return order[np.arange(len(order)) - starts[queries[order]] < width]
