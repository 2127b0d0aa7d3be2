"""A language model that reads and says codes, against the same laid out by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from genre.core.interactions import Interactions
from genre.core.queries import Candidates
from genre.core.ragged import Ragged
from genre.core.topn import top_n
from genre.language.tuning import TunedModel, TuningConfig
from genre.recommenders.beam import search
from genre.recommenders.code_language import CodeLanguage, begin_with_words
from genre.recommenders.trie import Open, Trie
from genre.training.packing import Packed
from tests.language.models import write_tiny

SIZES, NUM_ITEMS, LENGTH = (3, 4, 2), 14, 5
HISTORIES = [[0, 2, 1], [3], [1, 1, 5, 6, 7], [2, 13]]


@dataclass
class World:
    """A network that learned nothing, and a catalogue."""

    network: CodeLanguage
    trie: Trie
    prefixes: Tensor
    vectors: list[Tensor]

    def expected(self, history: list[int], item: int) -> Tensor:
        """Return what is said at each step (S, H) of an item after a history, read alone."""
        path = [self.prefixes[one] for one in history]
        size = self.network.size
        rows = [self.vectors[level][node[level], :size] for node in path for level in range(len(SIZES))]
        rows += [self.vectors[level][self.prefixes[item][level], :size] for level in range(len(SIZES) - 1)]
        hidden = self.network.tuned.causal.model(inputs_embeds=torch.stack(rows)[None]).last_hidden_state[0]
        return hidden[-len(SIZES) :]

    def log_probability(self, history: list[int], item: int) -> float:
        said, total, above = self.expected(history, item), 0.0, 0
        for level, table in enumerate(self.vectors):
            ways = range(*self.trie.children[level][above : above + 2])
            odds = said[level] @ self.network.targets(table).T
            above = int(self.prefixes[item][level])
            total += float(odds[above] - odds[list(ways)].logsumexp(0))
        return total


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    from transformers import AutoModelForCausalLM

    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory, tied=request.param)
    torch.manual_seed(0)
    causal = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    tuned = TunedModel(causal, TuningConfig(rank=2), new_tokens=sum(SIZES))
    distinct = np.random.default_rng(0).permutation(np.prod(SIZES))[:NUM_ITEMS]
    codes = np.stack(np.unravel_index(distinct, SIZES), axis=1)
    trie = Trie.of(codes, np.ones(NUM_ITEMS, bool))
    network = CodeLanguage(tuned, [torch.from_numpy(part) for part in trie.codes], SIZES).eval()
    prefixes = torch.from_numpy(trie.nodes_of(np.arange(NUM_ITEMS)))
    return World(network, trie, prefixes, [part.detach() for part in network.vectors()])


def histories(rows: list[list[int]]) -> Interactions:
    return Interactions.of(Ragged.of(rows))


def test_a_prefix_is_the_token_of_its_last_code(world: World) -> None:
    new = world.network.new
    for level, first in enumerate((0, 3, 7)):
        codes = torch.from_numpy(world.trie.codes[level])
        torch.testing.assert_close(world.vectors[level][:, : world.network.size], new.read[codes + first].detach())
        torch.testing.assert_close(world.network.targets(world.vectors[level]), new.said[codes + first].detach())
        other = world.network.vectors_of(level, codes, torch.full_like(codes, -1))
        torch.testing.assert_close(other.detach(), world.vectors[level])


def test_one_pass_says_every_next_item_as_each_by_itself(world: World) -> None:
    packed = Packed.of(histories(HISTORIES), LENGTH)
    assert len(packed.items) == 3, "some share a row"
    last = [4, 8, 9, 0]
    targets = [[*row[1:], end] for row, end in zip(HISTORIES, last, strict=True)]
    flat = torch.tensor([item for row in targets for item in row])
    with torch.no_grad():
        found = world.network.say(packed, packed.places, flat, world.prefixes, world.vectors)
        at = 0
        for row, following in zip(HISTORIES, targets, strict=True):
            for place, item in enumerate(following):
                torch.testing.assert_close(found[at], world.expected(row[: place + 1], item), rtol=1e-4, atol=1e-4)
                at += 1
    assert at == len(found)


@pytest.mark.parametrize("width", [4, NUM_ITEMS])
def test_a_beam_says_true_probabilities_and_a_wide_one_the_exact_ranking(world: World, width: int) -> None:
    candidates = Candidates(excluded=Ragged.of([[0, 2, 1], [3, 4, 5, 6], [], range(10)]))
    with torch.inference_mode():
        exact = np.array([[world.log_probability(row, item) for item in range(NUM_ITEMS)] for row in HISTORIES])
        np.testing.assert_allclose(np.exp(exact).sum(axis=1), 1, rtol=1e-4)
        hidden, memory = world.network.read(histories(HISTORIES), world.prefixes, world.vectors)
        opened = Open(world.trie, candidates, len(HISTORIES))
        said = [world.network.targets(table) for table in world.vectors]
        items, scores = search(world.network, hidden, world.vectors, said, world.trie, opened, width, memory)
    exact = exact.astype(np.float32)
    for row, found in enumerate(items):
        there = found >= 0
        np.testing.assert_allclose(scores[row, there], exact[row, found[there]], rtol=1e-3, atol=1e-4)
    candidates.hide(exact)
    assert ((items >= 0).sum(axis=1) == np.minimum(width, np.isfinite(exact).sum(axis=1))).all()
    if width == NUM_ITEMS:
        np.testing.assert_array_equal(items, top_n(exact, NUM_ITEMS)[0])


def test_codes_begin_as_what_their_items_say(world: World) -> None:
    new = world.network.new
    before = new.rows.detach().clone()
    codes = torch.tensor([[0, 0, 0], [0, 1, 0], [1, 2, 1], [2, 3, 0]])
    begin_with_words(world.network.tuned, [[40, 41], [40, 42], [90, 91, 92], []], codes, SIZES)
    after = new.read.detach().clone()
    table = world.network.tuned.causal.get_input_embeddings().weight.detach()[: new.first]
    unit = torch.nn.functional.normalize(after - table.mean(0), dim=1)
    words = torch.stack([table[[40, 41]].mean(0), table[[40, 42]].mean(0), table[[90, 91, 92]].mean(0)])
    words = words - words.mean(0)
    aim = torch.nn.functional.normalize(torch.stack([words[:2].sum(0), words[2]]), dim=1)
    assert ((unit[:2] * aim).sum(1) > 0.9).all()
    spread = (after - table.mean(0)).pow(2).mean(1).sqrt() / table.std()
    assert ((spread[:2] > 0.7) & (spread[:2] < 1.3)).all(), "as far from the mean as other tokens"
    assert spread[2] < 0.3, "a code whose items say nothing is near the mean"
    assert len(torch.unique(after, dim=0)) == len(after)
    with torch.no_grad():
        new.rows.copy_(before)
