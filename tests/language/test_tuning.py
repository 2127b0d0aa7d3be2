"""What learns of a language model, and that it can be undone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genre.core.errors import ConfigError, ModelError
from genre.language.tuning import TunedModel, TuningConfig
from tests.language.models import write_tiny

METHODS = ["full", "last_layers", "lora", "adalora", "prefix", "ia3"]
TOKENS = torch.arange(2, 12)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return directory


def causal(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def logits(tuned: TunedModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = tuned.language.eval()(TOKENS).logits
    return found


def stepped(base: Path, method: str, steps: int = 3, **settings: Any) -> TunedModel:
    """Return a model that learned to write the tokens."""
    tuned = TunedModel(causal(base), TuningConfig(method=method, rank=4, **settings), total_steps=20)
    optimizer = torch.optim.Adam([weight for _, weight in tuned.learned()], 0.01)
    for _ in range(steps):
        tuned.language.train()
        tuned.language(TOKENS, labels=TOKENS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return tuned


@pytest.mark.parametrize("method", METHODS)
def test_switched_off_the_base_answers_bit_for_bit(base: Path, method: str) -> None:
    with torch.no_grad():
        expected = causal(base).eval()(TOKENS).logits
    tuned = stepped(base, method)
    after = logits(tuned)
    assert not torch.equal(after, expected)
    with tuned.base_switched_on():
        assert torch.equal(logits(tuned), expected)
    assert torch.equal(logits(tuned), after), "and on again"


@pytest.mark.parametrize("method", ["full", "last_layers", "lora", "adalora", "ia3"])
def test_a_share_of_what_was_learned_lies_between(base: Path, method: str) -> None:
    tuned = stepped(base, method)
    learned = {name: weight.detach().clone() for name, weight in tuned.learned()}
    whole = logits(tuned)
    with tuned.interpolated(1.0):
        assert torch.equal(logits(tuned), whole)
    with tuned.base_switched_on():
        nothing = logits(tuned)
    with tuned.interpolated(0.0):
        assert torch.equal(logits(tuned), nothing)
    with tuned.interpolated(0.5):
        half = logits(tuned)
    assert 0 < (half - nothing).norm() < (whole - nothing).norm()
    assert all(torch.equal(weight, learned[name]) for name, weight in tuned.learned())
    tuned.settle(0.5)
    torch.testing.assert_close(logits(tuned), half)


def test_the_share_of_a_low_rank_update_is_exact(base: Path) -> None:
    tuned = stepped(base, "lora", modules=("q_proj",))
    layer = tuned.causal.model.layers[0].self_attn.q_proj
    update = layer.get_delta_weight("default").detach().clone()
    with tuned.interpolated(0.25):
        torch.testing.assert_close(layer.get_delta_weight("default"), update / 4)


def test_a_prefix_has_no_half(base: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"a share of 0\.5 of a prefix means nothing"),
        stepped(base, "prefix").interpolated(0.5),
    ):
        pass


@pytest.mark.parametrize("method", METHODS)
def test_what_was_learned_is_all_that_is_kept(base: Path, method: str) -> None:
    tuned = stepped(base, method)
    state = tuned.state()
    assert sum(value.size for value in state.values()) == tuned.num_learned
    again = TunedModel(causal(base), tuned.config, total_steps=20)
    again.restore(state)
    torch.testing.assert_close(logits(again), logits(tuned))
    with pytest.raises(ModelError, match="does not fit this language model"):
        again.restore({"other": np.zeros(3)})


def test_frozen_learns_nothing_and_the_last_layers_are_the_last(base: Path) -> None:
    assert TunedModel(causal(base), TuningConfig(method="frozen")).num_learned == 0
    names = [name for name, _ in TunedModel(causal(base), TuningConfig(method="last_layers", layers=1)).learned()]
    assert names[-1] == "model.norm.weight"
    assert all(".layers.1." in name for name in names[:-1])
    assert len(names) > 5


def test_modules_that_are_not_there_are_an_error_that_lists_those_that_are(base: Path) -> None:
    with pytest.raises(ConfigError, match=r"no linear layers named 'query'\. Choose from \['down_proj', 'gate_proj'"):
        TunedModel(causal(base), TuningConfig(modules=("query",)))


@pytest.mark.parametrize("method", ["frozen", "lora", "prefix"])
def test_hidden_states_see_what_they_may(base: Path, method: str) -> None:
    tuned = TunedModel(causal(base), TuningConfig(method=method, tokens=3))
    tuned.language.eval()
    vectors = tuned.causal.get_input_embeddings()(TOKENS).detach()
    places = torch.arange(10)[None]
    alone = torch.ones(1, 10, 10, dtype=torch.bool).tril()
    with torch.no_grad():
        whole = tuned.hidden(vectors, alone, places)
        # Two sequences side by side in one row are read as each by itself.
        apart = alone & (places[:, :, None] // 5 == places[:, None, :] // 5)
        both = tuned.hidden(vectors, apart, places % 5)
        second = tuned.hidden(vectors[:, 5:], alone[:, :5, :5], places[:, :5])
        if method != "prefix":
            torch.testing.assert_close(tuned.causal.lm_head(whole), logits(tuned))
    torch.testing.assert_close(both[:, 5:], second)
    torch.testing.assert_close(both[:, :5], whole[:, :5])


def test_layers_are_counted_from_the_output(base: Path) -> None:
    tuned = TunedModel(causal(base), TuningConfig(method="full"))
    found = {name: tuned.layer_of(name) for name, _ in tuned.learned()}
    assert found["model.layers.1.mlp.up_proj.weight"] == 0
    assert found["model.layers.0.mlp.up_proj.weight"] == 1
    assert found["model.embed_tokens.weight"] == 2
    assert found["model.norm.weight"] is None
