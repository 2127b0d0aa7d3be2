from __future__ import annotations

import torch

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.recommenders.code_transformer import CodeTransformer
from genre.training.packing import Packed

SIZES = (3, 4, 2)
PREFIXES = torch.tensor([[0, 1, 0], [3, 4, 2], [1, 0, 1], [2, 2, 2]])


def built(**settings: float) -> CodeTransformer:
    torch.manual_seed(0)
    codes = [torch.tensor(part) for part in ([0, 1, 1, 2], [0, 1, 2, 0, 3], [0, 1, 0])]
    network = CodeTransformer(
        codes, SIZES, size=8, num_blocks=2, num_decoder_blocks=2, num_heads=2, length=6, dropout=0.5, **settings
    )
    return network.eval()


def packed(rows: list[list[int]]) -> Packed:
    return Packed.of(Interactions.of(Ragged.of(rows)), 6)


def test_saying_code_by_code_is_saying_all_at_once() -> None:
    network = built()
    hidden, vectors = torch.randn(4, 8), network.vectors()
    whole = network(hidden, PREFIXES, vectors)
    said, memory = network.step(0, hidden, torch.arange(4), None)
    torch.testing.assert_close(said, whole[:, 0])
    path = torch.arange(4)
    for level, rows in ((1, torch.tensor([2, 0, 1, 3])), (2, torch.tensor([3, 1, 1]))):
        path = path[rows]  # Each goes on from a row of the step before.
        said, memory = network.step(level, vectors[level - 1][PREFIXES[path, level - 1]], rows, memory)
        torch.testing.assert_close(said, whole[path, level])


def test_a_code_does_not_depend_on_those_behind_it() -> None:
    network = built()
    hidden, vectors, other = torch.randn(4, 8), network.vectors(), PREFIXES.clone()
    other[:, 1:] = 0
    first, second = network(hidden, PREFIXES, vectors), network(hidden, other, vectors)
    torch.testing.assert_close(first[:, :2], second[:, :2])
    assert not torch.allclose(first[:, 2], second[:, 2])


def test_what_is_said_has_the_length_of_the_temperature() -> None:
    network = built(temperature=0.5)
    said = network(torch.randn(4, 8), PREFIXES, network.vectors())
    torch.testing.assert_close(said.norm(dim=-1), torch.full((4, 3), 2.0))
    torch.testing.assert_close(network.targets(network.vectors()[0]).norm(dim=1), torch.ones(4))


def test_a_prefix_is_its_last_code_and_itself_and_a_new_one_its_last_code() -> None:
    network = built()
    found = network.vectors_of(1, torch.tensor([3, 0]), torch.tensor([4, -1]))
    torch.testing.assert_close(found[0], network.vectors()[1][4])
    torch.testing.assert_close(found[1], network.shared[1].weight[0])


def test_in_training_some_prefixes_are_read_as_if_they_were_new() -> None:
    network = built(own_dropout=0.5).train()
    whole, alone = network.eval().vectors()[1], network.shared[1].weight[network.codes_1]
    network.train()
    seen = set()
    for _ in range(20):
        found = network.vectors()[1]
        new = torch.isclose(found, alone).all(1)
        torch.testing.assert_close(found, torch.where(new[:, None], alone, whole))
        seen |= set(new.tolist())
    assert seen == {True, False}


def test_histories_in_one_row_do_not_see_each_other() -> None:
    network = built()
    both, alone = packed([[0, 1, 2], [3, 1]]), packed([[3, 1]])
    vectors = network.vectors()
    whole = network.encode(both, PREFIXES, vectors).flatten(0, 1)[both.places]
    torch.testing.assert_close(whole[3:], network.encode(alone, PREFIXES, vectors).flatten(0, 1)[alone.places])


def test_what_comes_later_is_not_seen_but_for_the_age() -> None:
    network = built()
    network.positions.weight.data[:] = 0
    long, short = packed([[0, 1, 2]]), packed([[0, 1]])
    vectors = network.vectors()
    whole = network.encode(long, PREFIXES, vectors).flatten(0, 1)[long.places]
    torch.testing.assert_close(whole[:2], network.encode(short, PREFIXES, vectors).flatten(0, 1)[short.places])
