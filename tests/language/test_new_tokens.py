"""New tokens of a tiny language model: they learn, and the model writes as if they were not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genre.core.errors import ConfigError, ModelError
from genre.language.new_tokens import ROWS
from genre.language.tuning import TunedModel, TuningConfig
from tests.language.models import write_tiny

METHODS = ["frozen", "last_layers", "lora", "adalora"]
TOKENS = torch.arange(2, 12)[None]
NEW = 7


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory, tied=request.param)
    return directory


def causal(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(TOKENS).logits
    return found


def extended(base: Path, method: str = "lora", count: int = NEW) -> TunedModel:
    torch.manual_seed(0)
    config = TuningConfig.model_validate({"method": method, "rank": 4, "layers": 1, "dropout": 0.0})
    return TunedModel(causal(base), config, total_steps=20, new_tokens=count)


def new_loss(tuned: TunedModel) -> Tensor:
    """Return how badly each new token is told by the one before it."""
    new = tuned.new_tokens
    read = tuned.causal.get_input_embeddings()(torch.arange(new.first, new.first + NEW)[None])
    places = torch.arange(NEW)[None]
    hidden = tuned.hidden(read, torch.ones(1, NEW, NEW, dtype=torch.bool).tril(), places)[0]
    return torch.nn.functional.cross_entropy(hidden[:-1] @ new.said.T, torch.arange(1, NEW))


def learned(base: Path, method: str) -> TunedModel:
    tuned = extended(base, method)
    optimizer = torch.optim.Adam([weight for _, weight in tuned.learned()], 0.01)
    for _ in range(4):
        tuned.language.train()
        torch.autograd.backward(new_loss(tuned))
        optimizer.step()
        optimizer.zero_grad()
    tuned.language.eval()
    return tuned


@pytest.mark.parametrize("method", METHODS)
def test_new_tokens_learn_and_the_base_is_still_there_bit_for_bit(base: Path, method: str) -> None:
    plain = causal(base)
    expected = logits(plain)
    begun, tuned = extended(base, method), learned(base, method)
    with torch.no_grad():
        assert new_loss(tuned) < new_loss(begun) - 0.1
    old = slice(0, tuned.new_tokens.first)
    table = tuned.causal.get_input_embeddings().weight
    assert torch.equal(table[old], plain.get_input_embeddings().weight), "old rows do not move"
    assert torch.equal(tuned.causal.get_output_embeddings().weight, plain.get_output_embeddings().weight)
    after = logits(tuned.language)
    assert after.shape == expected.shape, "a new token is never written"
    assert torch.equal(after, expected) == (method == "frozen"), "rows of new tokens alone change no text"
    with tuned.base_switched_on():
        assert torch.equal(logits(tuned.language), expected)
        assert torch.equal(logits(tuned.causal), expected)
    assert torch.equal(logits(tuned.language), after), "and on again"


def test_a_new_token_is_read_and_said_by_rows_of_its_own(base: Path) -> None:
    tuned = extended(base)
    new, embedding = tuned.new_tokens, tuned.causal.get_input_embeddings()
    assert new.first == causal(base).config.vocab_size
    torch.testing.assert_close(embedding(torch.arange(new.first, new.first + NEW)), new.read)
    assert len(new.rows) == (NEW if new.tied else 2 * NEW)
    assert torch.equal(new.read, new.said) == new.tied
    table = embedding.weight[: new.first].detach()
    assert len(torch.unique(new.rows, dim=0)) == len(new.rows)
    assert 0.5 < float(new.read.detach().std() / table.std()) < 2, "they look like the others"


@pytest.mark.parametrize("method", ["frozen", "lora"])
def test_a_model_that_scales_its_vectors_scales_the_new_ones(method: str) -> None:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "head_dim": 8, "vocab_size": 50}
    model = Gemma3ForCausalLM(Gemma3TextConfig(**sizes, num_attention_heads=2, num_key_value_heads=1)).eval()
    expected = logits(model)
    new = (tuned := TunedModel(model, TuningConfig(method=method), new_tokens=NEW)).new_tokens  # type: ignore[arg-type]
    assert new.tied
    assert new.scale == pytest.approx(4)
    torch.testing.assert_close(tuned.causal.get_input_embeddings()(torch.arange(50, 50 + NEW)), new.read)
    torch.testing.assert_close(new.read, 4 * new.said)
    assert torch.equal(logits(tuned.language), expected)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_learned_is_the_new_rows_and_what_was_added(base: Path, method: str) -> None:
    tuned = learned(base, method)
    state = tuned.state()
    rows = [name for name in state if ROWS in name]
    assert len(rows) == 1
    np.testing.assert_array_equal(state[rows[0]], tuned.new_tokens.rows.detach())
    assert not [name for name in state if "embed" in name and name not in rows]
    assert sum(value.size for value in state.values()) == tuned.num_learned
    assert (len(state) == 1) == (method == "frozen")
    again = extended(base, method)
    again.restore(state)
    assert torch.equal(logits(again.language), logits(tuned.language))
    assert torch.equal(again.new_tokens.rows, tuned.new_tokens.rows)
    with pytest.raises(ModelError, match="does not fit this language model"):
        extended(base, method, NEW + 1).restore(state)


@pytest.mark.parametrize("method", METHODS)
def test_a_share_of_what_was_learned_keeps_the_new_rows(base: Path, method: str) -> None:
    tuned = learned(base, method)
    rows, whole = tuned.new_tokens.rows.detach().clone(), logits(tuned.language)
    with tuned.base_switched_on():
        nothing = logits(tuned.language)
    for share in (0.0, 0.5, 1.0):
        with tuned.interpolated(share):
            assert torch.equal(tuned.new_tokens.rows, rows)
            found = logits(tuned.language)
        if method == "frozen":
            assert torch.equal(found, nothing)
        elif share == 0.5:
            assert 0 < (found - nothing).norm() < (whole - nothing).norm()
        else:
            assert torch.equal(found, whole if share else nothing)
    tuned.settle(0.0)
    assert torch.equal(logits(tuned.language), nothing)
    assert torch.equal(tuned.new_tokens.rows, rows)


@pytest.mark.parametrize("method", ["prefix", "ia3", "full"])
def test_what_cannot_be_learned_beside_them_is_an_error(base: Path, method: str) -> None:
    with pytest.raises(ConfigError, match=rf"{method!r} cannot be learned beside new tokens.*with 'frozen', only the"):
        extended(base, method)


def test_without_new_tokens_there_are_none(base: Path) -> None:
    with pytest.raises(ModelError, match="it has no new tokens"):
        _ = extended(base, count=0).new_tokens


def test_new_rows_belong_to_no_layer(base: Path) -> None:
    tuned = extended(base, "last_layers")
    assert {tuned.layer_of(name) for name, _ in tuned.learned() if ROWS in name} == {None}
    assert {name for name, _ in tuned.learned()} - {name for name, _ in tuned.updates()} == {
        name for name, _ in tuned.learned() if ROWS in name
    }


def test_each_row_of_a_batch_sees_what_it_may_of_the_cache(base: Path) -> None:
    tuned = extended(base, "frozen")
    vectors = torch.randn(2, 6, 32)
    places = torch.arange(6).expand(2, 6)
    causal_mask = torch.ones(2, 6, 6, dtype=torch.bool).tril()
    causal_mask[1, :, 1] = False  # The second row must not see its second place.
    causal_mask[1, 1, 1] = True
    with torch.no_grad():
        whole = tuned.hidden(vectors, causal_mask, places)
        cache = tuned.new_cache()
        first = tuned.hidden(vectors[:, :4], causal_mask[:, :4, :4], places[:, :4], cache)
        second = tuned.hidden(vectors[:, 4:], causal_mask[:, 4:], places[:, 4:], cache)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
