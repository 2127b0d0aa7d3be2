from __future__ import annotations

import numpy as np
import torch

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.recommenders.code_transformer import CodeTransformer
from genre.training.packing import Packed

SIZES = (4, 5, 3)
CODES = torch.tensor([[0, 1, 0], [3, 4, 2], [1, 0, 1], [2, 2, 2]])


def built() -> CodeTransformer:
    torch.manual_seed(0)
    return CodeTransformer(SIZES, size=8, num_blocks=2, num_decoder_blocks=2, num_heads=2, length=6, dropout=0.5).eval()


def packed(rows: list[list[int]]) -> Packed:
    return Packed.of(Interactions.of(Ragged.of(rows)), 6)


def test_saying_code_by_code_is_saying_all_at_once() -> None:
    network = built()
    hidden = torch.randn(4, 8)
    whole = [level.log_softmax(1) for level in network(hidden, CODES)]
    said, memory = network.step(0, hidden, None)
    torch.testing.assert_close(said, whole[0])
    for level in (1, 2):
        said, memory = network.step(level, CODES[:, level - 1], memory)
        torch.testing.assert_close(said, whole[level])


def test_a_code_does_not_depend_on_those_behind_it() -> None:
    network = built()
    hidden = torch.randn(4, 8)
    other = CODES.clone()
    other[:, 1:] = 0
    first, second = network(hidden, CODES), network(hidden, other)
    torch.testing.assert_close(first[1], second[1])
    assert not torch.allclose(first[2], second[2])


def test_histories_in_one_row_do_not_see_each_other() -> None:
    network = built()
    both, alone = packed([[0, 1, 2], [3, 1]]), packed([[3, 1]])
    whole = network.encode(both, CODES).flatten(0, 1)[both.places]
    torch.testing.assert_close(whole[3:], network.encode(alone, CODES).flatten(0, 1)[alone.places])


def test_what_comes_later_is_not_seen_but_for_the_age() -> None:
    network = built()
    network.positions.weight.data[:] = 0
    long, short = packed([[0, 1, 2]]), packed([[0, 1]])
    whole = network.encode(long, CODES).flatten(0, 1)[long.places]
    torch.testing.assert_close(whole[:2], network.encode(short, CODES).flatten(0, 1)[short.places])


def test_training_leaves_out_at_random() -> None:
    network = built().train()
    hidden = torch.randn(4, 8)
    assert not np.allclose(network(hidden, CODES)[0].detach(), network(hidden, CODES)[0].detach())
