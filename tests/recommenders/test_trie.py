"""The trie against lists of prefixes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genre.core.queries import Candidates
from genre.core.ragged import Ragged
from genre.recommenders.trie import Open, Trie

CODES = st.integers(1, 3).flatmap(
    lambda levels: st.lists(st.tuples(*[st.integers(0, 2)] * levels), min_size=1, max_size=12)
)


def prefixes(codes: np.ndarray, known: np.ndarray, level: int) -> list[tuple[int, ...]]:
    """Return the nodes of a level as prefixes, in order; leaves as codes and item."""
    if level == codes.shape[1]:
        return sorted((*codes[item].tolist(), item) for item in np.flatnonzero(known))
    return sorted({tuple(codes[item, :level].tolist()) for item in np.flatnonzero(known)})


def items_below(codes: np.ndarray, known: np.ndarray, level: int, node: int) -> set[int]:
    prefix = prefixes(codes, known, level)[node]
    if level == codes.shape[1]:
        return {prefix[-1]}
    return {item for item in np.flatnonzero(known) if tuple(codes[item, :level].tolist()) == prefix}


@given(CODES, st.integers(0, 2**12 - 1))
def test_it_is_the_prefixes_of_the_known_items(given_codes: list[tuple[int, ...]], mask: int) -> None:
    codes = np.array(given_codes)
    known = (mask >> np.arange(len(codes))) & 1 == 1
    trie = Trie.of(codes, known)
    levels = codes.shape[1]
    assert trie.num_levels == levels
    assert trie.items.tolist() == [leaf[-1] for leaf in prefixes(codes, known, levels)]
    assert all(
        trie.places[item] == (trie.items.tolist().index(item) if known[item] else -1) for item in range(len(codes))
    )
    for level in range(levels):
        above, below = prefixes(codes, known, level), prefixes(codes, known, level + 1)
        parent, child = trie.below(level, np.arange(len(above)))
        assert child.tolist() == list(range(len(below)))
        assert [above[at] for at in parent] == [prefix[:level] for prefix in below]
        assert trie.codes[level].tolist() == [prefix[level] for prefix in below]
        leaf = np.arange(len(trie.items))
        assert [above[at] for at in trie.nodes_above(level, leaf)] == [
            tuple(codes[item, :level].tolist()) for item in trie.items
        ]


@given(CODES, st.data())
def test_a_node_is_open_if_an_answer_lies_below(given_codes: list[tuple[int, ...]], data: st.DataObject) -> None:
    codes = np.array(given_codes)
    size = len(codes)
    flags = st.lists(st.booleans(), min_size=size, max_size=size).map(np.array)
    lists = st.lists(st.lists(st.integers(0, size - 1), max_size=2 * size), min_size=3, max_size=3)
    known = data.draw(flags)
    allowed = data.draw(st.none() | flags)
    excluded, only = data.draw(st.none() | lists), data.draw(st.none() | lists)
    candidates = Candidates(
        allowed, None if excluded is None else Ragged.of(excluded), None if only is None else Ragged.of(only)
    )
    trie = Trie.of(codes, known)
    opened = Open(trie, candidates, 3)
    scores = np.zeros((3, size), np.float32)
    candidates.hide(scores)
    for level in range(codes.shape[1] + 1):
        nodes = len(prefixes(codes, known, level))
        for query in range(3):
            found = opened.allows(level, np.full(nodes, query), np.arange(nodes))
            wanted = [
                any(scores[query, item] == 0 for item in items_below(codes, known, level, node))
                for node in range(nodes)
            ]
            assert found.tolist() == wanted
