"""Layers and heads that change nothing are taken away, and what is left learns to say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from genre.adaptation.compression.pruning import changes_of, prune, without_layers
from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.language.base import Prompt, Sampling
from genre.language.decoding import LoadedModel
from genre.language.local import LocalGenerator, LocalGeneratorConfig
from genre.language.second_order import decoder_layers
from genre.training.imitation import Imitation
from tests.language.models import write_tiny

WINDOWS = torch.randint(2, 200, (8, 24), generator=torch.Generator().manual_seed(0))


def loaded(directory: Path, idle: int | None = None) -> LoadedModel:
    """Return a model of four layers, one of which may change nothing."""
    write_tiny(directory)
    tiny = LocalGeneratorConfig(model=str(directory), precision="fp32").build().load_own()
    config = tiny.model.config
    config.num_hidden_layers = 4
    torch.manual_seed(1)
    tiny.model = LlamaForCausalLM(config).eval().requires_grad_(False)
    if idle is not None:
        layer = decoder_layers(tiny.model)[idle]
        for part in (layer.self_attn.o_proj, layer.mlp.down_proj):
            torch.nn.init.zeros_(part.weight)
    return tiny


def test_a_layer_that_changes_nothing_is_found_and_taken_away(tmp_path: Path) -> None:
    whole = loaded(tmp_path / "tiny", idle=2)
    changes = changes_of(whole.model, WINDOWS)
    assert changes.argmin() == 2
    assert changes[2] == pytest.approx(0.0, abs=1e-6)
    pruned = prune(whole, WINDOWS, layers=1, epochs=0, run=RunContext())
    assert pruned.account["taken_away"] == [2]
    smaller = pruned.tuned.language.merge_and_unload()
    with torch.no_grad():
        torch.testing.assert_close(smaller(WINDOWS).logits, whole.model(WINDOWS).logits)
    assert len(decoder_layers(whole.model)) == 4


def test_what_is_left_writes_with_what_it_remembers(tmp_path: Path) -> None:
    whole = loaded(tmp_path / "tiny")
    smaller = without_layers(whole.model, [0, 2])
    assert [layer.self_attn.layer_idx for layer in decoder_layers(smaller)] == [0, 1]
    assert smaller.config.num_hidden_layers == 2
    loaded_smaller = LoadedModel(smaller, whole.tokenizer, 64)
    (answer,) = LocalGenerator.of(loaded_smaller, key="x").generate([Prompt("ab")], sampling=Sampling(max_tokens=6))
    tokens = whole.tokenizer("<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n")["input_ids"]
    for _ in range(answer.completion_tokens):
        with torch.no_grad():
            tokens.append(int(smaller(torch.tensor([tokens])).logits[0, -1].argmax()))
    told = loaded_smaller.text_of(tokens[-answer.completion_tokens :] if answer.completion_tokens else [])
    assert answer.text.rstrip("�") == told.rstrip("�")


def test_heads_go_from_the_layers_that_are_left(tmp_path: Path) -> None:
    whole = loaded(tmp_path / "tiny", idle=2)
    layers = decoder_layers(whole.model)
    lost = {0: 1, 1: 0, 3: 1}
    for at, group in lost.items():
        torch.nn.init.zeros_(layers[at].self_attn.o_proj.weight[:, 16 * group : 16 * (group + 1)])
    pruned = prune(whole, WINDOWS, layers=1, heads=1, epochs=0, run=RunContext())
    assert pruned.account["taken_away"] == [2]
    assert pruned.account["heads_taken_away"] == [[1], [0], [1]]
    smaller = pruned.tuned.language.merge_and_unload()
    assert (smaller.config.num_hidden_layers, smaller.config.num_attention_heads) == (3, 2)
    with torch.no_grad():
        torch.testing.assert_close(smaller(WINDOWS).logits, whole.model(WINDOWS).logits)
    alone = prune(whole, WINDOWS, layers=0, heads=1, epochs=0, run=RunContext())
    assert "taken_away" not in alone.account
    assert len(alone.account["heads_taken_away"]) == len(decoder_layers(alone.tuned.causal)) == 4


def test_what_is_left_of_the_heads_learns(tmp_path: Path) -> None:
    whole = loaded(tmp_path / "tiny")
    losses = prune(whole, WINDOWS, layers=0, heads=1, epochs=6, run=RunContext()).account["losses"]
    assert losses[-1] < 0.9 * losses[0]


def test_it_learns_to_say_what_the_whole_one_says(tmp_path: Path) -> None:
    whole = loaded(tmp_path / "tiny")
    before = prune(whole, WINDOWS, layers=1, epochs=0, run=RunContext()).tuned
    after = prune(whole, WINDOWS, layers=1, epochs=6, run=RunContext())
    assert len(after.account["losses"]) == 6
    distilled = Imitation(whole.model, WINDOWS, batch_size=4)
    device = torch.device("cpu")
    with torch.no_grad():
        first, last = (float(distilled.loss(one.language, WINDOWS, device).value) for one in (before, after.tuned))
    assert last < 0.8 * first


def test_the_loss_is_the_divergence_of_each_token(tmp_path: Path) -> None:
    whole = loaded(tmp_path / "tiny")
    other = without_layers(whole.model, [1])
    distilled = Imitation(whole.model, WINDOWS, batch_size=3, parts=2)
    with torch.no_grad():
        wanted, found = (torch.softmax(one(WINDOWS).logits, -1).double() for one in (whole.model, other))
        loss = distilled.loss(other, WINDOWS, torch.device("cpu"))
        same = distilled.loss(whole.model, WINDOWS, torch.device("cpu"))
    expected = (wanted * (wanted.log() - found.log())).sum(-1).mean()
    assert float(loss.value) == pytest.approx(float(expected), rel=1e-4)
    assert loss.count == WINDOWS.numel()
    assert float(same.value) == pytest.approx(0.0, abs=1e-6)
    import numpy as np

    steps = list(distilled.batches(np.random.default_rng(0)))
    assert [sum(len(part) for part in step) for step in steps] == [3, 3, 2]
    assert len(steps) == distilled.num_batches


@pytest.mark.parametrize("layers", [0, 4])
def test_some_layers_must_be_left(tmp_path: Path, layers: int) -> None:
    with pytest.raises(ConfigError, match=rf"--layers: {layers} layers cannot be taken from 4. Choose from 1 to 3"):
        prune(loaded(tmp_path / "tiny"), WINDOWS, layers=layers, epochs=0, run=RunContext())


@pytest.mark.parametrize("heads", [-1, 2])
def test_some_heads_must_be_left(tmp_path: Path, heads: int) -> None:
    said = rf"--heads: {heads} cannot be taken from the 2 groups of 2 heads that share keys and values of a layer"
    with pytest.raises(ConfigError, match=said + r"\. Choose from 1 to 1"):
        prune(loaded(tmp_path / "tiny"), WINDOWS, layers=0, heads=heads, epochs=0, run=RunContext())
    whole = loaded(tmp_path / "alone")
    whole.model.config.num_key_value_heads = 4
    whole.model = LlamaForCausalLM(whole.model.config).eval().requires_grad_(False)
    with pytest.raises(ConfigError, match=r"4 cannot be taken from the 4 heads of a layer\. Choose from 1 to 3"):
        prune(whole, WINDOWS, layers=0, heads=4, epochs=0, run=RunContext())
