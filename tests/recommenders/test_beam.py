"""Beam search against the scores of all items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from genre.core.queries import NO_ITEM, Candidates
from genre.core.ragged import Ragged
from genre.core.topn import top_n
from genre.recommenders.beam import search
from genre.recommenders.code_transformer import CodeTransformer
from genre.recommenders.trie import Open, Trie

SIZES, NUM_ITEMS, NUM_QUERIES = (4, 5, 3), 30, 6


@dataclass
class World:
    """A network that learned nothing, what it expects of six queries, and a catalogue."""

    network: CodeTransformer
    hidden: torch.Tensor
    codes: np.ndarray
    trie: Trie
    vectors: list[torch.Tensor]

    def search(self, candidates: Candidates, width: int) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            opened = Open(self.trie, candidates, len(self.hidden))
            said = [self.network.targets(table) for table in self.vectors]
            return search(self.network, self.hidden, self.vectors, said, self.trie, opened, width)

    def exact(self) -> np.ndarray:
        """Return the log-probability (B, I) of every item, each worked out alone, with all codes given at once."""
        with torch.inference_mode():
            return np.array(
                [[self._of_item(one, item) for item in range(NUM_ITEMS)] for one in self.hidden], np.float32
            )

    def _of_item(self, hidden: torch.Tensor, item: int) -> float:
        path = self.trie.nodes_of(np.array([item]))
        said = self.network(hidden[None], torch.from_numpy(path), self.vectors)[0]
        total, above = 0.0, ()
        for level, table in enumerate(self.vectors):
            odds = said[level] @ self.network.targets(table).T
            # The prefixes of this level that begin like the item's, found in the codes themselves.
            ways = [node for node in range(len(table)) if tuple(self._prefix(level, node)[:level]) == above]
            total += float(odds[path[0, level]] - odds[ways].logsumexp(0))
            above = tuple(self.codes[item, : level + 1].tolist())
        return total

    def _prefix(self, level: int, node: int) -> list[int]:
        return self.codes[self.trie.items[self.trie.leaves[level + 1][node]], : level + 1].tolist()


def world(seed: int = 0, known: np.ndarray | None = None, equal: tuple[int, ...] = ()) -> World:
    rng = np.random.default_rng(seed)
    distinct = rng.permutation(np.prod(SIZES))[:NUM_ITEMS]
    codes = np.stack(np.unravel_index(distinct, SIZES), axis=1)
    codes[list(equal)] = codes[0]
    trie = Trie.of(codes, np.ones(NUM_ITEMS, bool) if known is None else known)
    torch.manual_seed(seed)
    network = CodeTransformer(
        [torch.from_numpy(level) for level in trie.codes],
        SIZES,
        size=8,
        num_blocks=1,
        num_decoder_blocks=2,
        num_heads=2,
        length=4,
        dropout=0.3,
        own_dropout=0.3,
    ).eval()
    for level in range(len(SIZES)):  # Equal codes shall be equally likely.
        network.own[level].weight.data *= level + 1 < len(SIZES)
    return World(network, torch.randn(NUM_QUERIES, 8), codes, trie, [part.detach() for part in network.vectors()])


@pytest.mark.parametrize(
    "candidates",
    [
        Candidates(),
        Candidates(allowed=np.arange(NUM_ITEMS) % 3 != 0),
        Candidates(excluded=Ragged.of([[0, 1, 1], [], range(NUM_ITEMS), [5], range(25), [29]])),
        Candidates(only=Ragged.of([[3, 4], [], range(NUM_ITEMS), [7, 7], range(10), [0]])),
        Candidates(
            allowed=np.arange(NUM_ITEMS) % 2 == 0,
            excluded=Ragged.of([[2, 3]] * NUM_QUERIES),
            only=Ragged.of([range(9)] * NUM_QUERIES),
        ),
    ],
    ids=["all", "allowed", "excluded", "only", "all rules"],
)
def test_a_wide_beam_finds_the_exact_ranking(candidates: Candidates) -> None:
    made = world()
    exact = made.exact()
    np.testing.assert_allclose(np.exp(exact).sum(axis=1), 1, rtol=1e-4)
    items, scores = made.search(candidates, NUM_ITEMS)
    candidates.hide(exact)
    wanted, values = top_n(exact, NUM_ITEMS)
    np.testing.assert_array_equal(items, wanted)
    np.testing.assert_allclose(scores, values, rtol=1e-4)


@pytest.mark.parametrize("width", [1, 4, 12])
def test_a_narrow_beam_is_full_and_says_true_probabilities(width: int) -> None:
    made = world()
    hidden = Ragged.of([np.random.default_rng(row).permutation(NUM_ITEMS)[:18] for row in range(NUM_QUERIES)])
    candidates = Candidates(excluded=hidden)
    exact = made.exact()
    items, scores = made.search(candidates, width)
    candidates.hide(exact)
    assert (items != NO_ITEM).all()
    np.testing.assert_allclose(scores, np.take_along_axis(exact, items, 1), rtol=1e-4)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == width for row in items.tolist())


def test_items_with_equal_codes_are_all_found() -> None:
    items, scores = world(equal=(4, 9)).search(Candidates(), NUM_ITEMS)
    for row, said in zip(items, scores, strict=True):
        assert sorted(row) == list(range(NUM_ITEMS))
        place = int(np.flatnonzero(row == 0)[0])
        assert row[place : place + 3].tolist() == [0, 4, 9]
        assert said[place] == said[place + 2]


def test_a_catalogue_without_items_has_no_answers() -> None:
    items, scores = world(known=np.zeros(NUM_ITEMS, bool)).search(Candidates(), 3)
    assert (items == NO_ITEM).all()
    assert (scores == -np.inf).all()


def test_what_one_query_hides_is_open_to_others() -> None:
    made = world()
    most = Ragged.of([range(NUM_ITEMS - 1), *[[]] * (NUM_QUERIES - 1)])
    items, _ = made.search(Candidates(excluded=most), 5)
    free, _ = made.search(Candidates(), 5)
    assert items[0].tolist() == [NUM_ITEMS - 1] + [NO_ITEM] * 4
    np.testing.assert_array_equal(items[1:], free[1:])
