"""Histories as tokens of a language model, against the same laid out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.language.tuning import TunedModel, TuningConfig
from genre.recommenders.item_vectors import ItemVectors
from genre.recommenders.language_reader import ItemTokens, LanguageReader
from genre.training.packing import Packed
from tests.language.models import write_tiny

TITLES = [[5, 6], [7], [8, 9, 10], [11, 12]]
END = 1


def reader(directory: Path, tokens: ItemTokens) -> LanguageReader:
    from transformers import AutoModelForCausalLM

    write_tiny(directory)
    torch.manual_seed(0)
    causal = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    tuned = TunedModel(causal, TuningConfig(method="frozen"))
    found = LanguageReader(ItemVectors(4, 8), tuned, tokens, np.ones(4, bool), temperature=0.5)
    torch.nn.init.normal_(found.out.weight)
    return found.eval()


def expected(model: LanguageReader, history: list[int], titles: bool) -> Tensor:
    """Return what comes next after the whole history, one history at a time."""
    vectors = model.item_vectors()
    embed = model.tuned.causal.get_input_embeddings()
    rows, ends = [], []
    for item in history:
        if titles:
            rows += [embed(torch.tensor(token)) for token in TITLES[item]]
        soft = model.into(vectors[item])
        rows.append(soft * model.scale / soft.pow(2).mean().sqrt())
        ends.append(len(rows) - 1)
    hidden = model.tuned.causal.model(inputs_embeds=torch.stack(rows)[None]).last_hidden_state[0, ends[-1]]
    found = model.out(hidden) + vectors[history[-1]]
    return found / found.norm() / 0.5


@pytest.mark.parametrize("titles", [False, True])
def test_histories_side_by_side_are_read_as_each_by_itself(tmp_path: Path, titles: bool) -> None:
    model = reader(tmp_path, ItemTokens.of(TITLES, END, 5) if titles else ItemTokens.places_alone(4))
    histories = [[0, 2, 1], [3], [1, 1], [2, 0, 3, 1]]
    packed = Packed.of(Interactions.of(Ragged.of(histories)), 4)
    assert packed.items.shape[0] == 3, "some share a row"
    with torch.no_grad():
        found = model(packed, model.item_vectors()).flatten(0, 1)
        at = 0
        for history in histories:
            at += len(history)
            torch.testing.assert_close(found[packed.places[at - 1]], expected(model, history, titles))


def test_titles_are_cut_and_ended() -> None:
    tokens = ItemTokens.of([*TITLES, []], END, 3)
    assert tokens.tokens.tolist() == [[5, 6, 1], [7, 1, 0], [8, 9, 1], [11, 12, 1], [1, 0, 0]]
    assert tokens.lengths.tolist() == [3, 2, 3, 3, 1]


def test_while_it_learns_items_are_counted_among_the_known(tmp_path: Path) -> None:
    tokens = ItemTokens.of([[3], *TITLES], END, 5)
    model = reader(tmp_path, tokens)
    model.known_rows = torch.tensor([1, 2, 3, 4])
    plain = reader(tmp_path, ItemTokens.of(TITLES, END, 5))
    plain.load_state_dict(model.state_dict())
    packed = Packed.of(Interactions.of(Ragged.of([[0, 2, 1]])), 3)
    model.items.eval()
    model.tuned.language.eval()
    model.training = True
    with torch.no_grad():
        torch.testing.assert_close(model(packed, model.item_vectors()), plain(packed, plain.item_vectors()))
