"""Beam search against the scores of all items."""

from __future__ import annotations

from dataclasses import replace

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


def world(seed: int = 0) -> tuple[CodeTransformer, torch.Tensor, np.ndarray]:
    """Return a network that learned nothing, what it expects, and the codes of a catalogue."""
    torch.manual_seed(seed)
    network = CodeTransformer(
        SIZES, size=8, num_blocks=1, num_decoder_blocks=2, num_heads=2, length=4, dropout=0.3
    ).eval()
    rng = np.random.default_rng(seed)
    distinct = rng.permutation(np.prod(SIZES))[:NUM_ITEMS]
    return network, torch.randn(NUM_QUERIES, 8), np.stack(np.unravel_index(distinct, SIZES), axis=1)


def scores_of_all(network: CodeTransformer, hidden: torch.Tensor, codes: np.ndarray) -> np.ndarray:
    """Return the log-probability (B, I) of every item, each worked out alone and whole."""
    rows = []
    for one in hidden:
        logits = network(one.expand(len(codes), -1), torch.from_numpy(codes))
        parts = [level.log_softmax(1)[torch.arange(len(codes)), codes[:, at]] for at, level in enumerate(logits)]
        rows.append(torch.stack(parts).sum(0))
    return torch.stack(rows).numpy()


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
    network, hidden, codes = world()
    trie = Trie.of(codes, np.ones(NUM_ITEMS, bool))
    with torch.inference_mode():
        exact = scores_of_all(network, hidden, codes)
        items, scores = search(network, hidden, trie, Open(trie, candidates, NUM_QUERIES), NUM_ITEMS)
    candidates.hide(exact)
    wanted, values = top_n(exact, NUM_ITEMS)
    np.testing.assert_array_equal(items, wanted)
    np.testing.assert_allclose(scores, values, rtol=1e-5)


@pytest.mark.parametrize("width", [1, 4, 12])
def test_a_narrow_beam_is_full_and_says_true_probabilities(width: int) -> None:
    network, hidden, codes = world()
    trie = Trie.of(codes, np.ones(NUM_ITEMS, bool))
    hidden_items = Ragged.of([np.random.default_rng(row).permutation(NUM_ITEMS)[:18] for row in range(NUM_QUERIES)])
    candidates = Candidates(excluded=hidden_items)
    with torch.inference_mode():
        exact = scores_of_all(network, hidden, codes)
        items, scores = search(network, hidden, trie, Open(trie, candidates, NUM_QUERIES), width)
    candidates.hide(exact)
    assert (items != NO_ITEM).all()
    np.testing.assert_allclose(scores, np.take_along_axis(exact, items, 1), rtol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == width for row in items.tolist())


def test_items_with_equal_codes_are_all_found() -> None:
    network, hidden, codes = world()
    codes[[4, 9]] = codes[2]
    trie = Trie.of(codes, np.ones(NUM_ITEMS, bool))
    with torch.inference_mode():
        items, scores = search(network, hidden, trie, Open(trie, Candidates(), NUM_QUERIES), NUM_ITEMS)
    for row, said in zip(items, scores, strict=True):
        assert sorted(row) == list(range(NUM_ITEMS))
        place = int(np.flatnonzero(row == 2)[0])
        assert row[place : place + 3].tolist() == [2, 4, 9]
        assert said[place] == said[place + 2]


def test_a_catalogue_without_items_has_no_answers() -> None:
    network, hidden, codes = world()
    trie = Trie.of(codes, np.zeros(NUM_ITEMS, bool))
    with torch.inference_mode():
        items, scores = search(network, hidden, trie, Open(trie, Candidates(), NUM_QUERIES), 3)
    assert (items == NO_ITEM).all()
    assert (scores == -np.inf).all()


def test_what_one_query_hides_is_open_to_others() -> None:
    network, hidden, codes = world()
    trie = Trie.of(codes, np.ones(NUM_ITEMS, bool))
    alone = Candidates(excluded=Ragged.of([range(NUM_ITEMS - 1), []]))
    with torch.inference_mode():
        items, _ = search(network, hidden[:2], trie, Open(trie, alone, 2), 5)
        free, _ = search(network, hidden[:2], trie, Open(trie, replace(alone, excluded=None), 2), 5)
    assert items[0].tolist() == [NUM_ITEMS - 1] + [NO_ITEM] * 4
    np.testing.assert_array_equal(items[1], free[1])
