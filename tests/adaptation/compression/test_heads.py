"""Attention heads that matter least are found, and a model without them is an ordinary one."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from genre.adaptation.compression.heads import heads_of, importance_of, without_heads
from genre.core.errors import ConfigError
from genre.language.second_order import decoder_layers

WINDOWS = torch.randint(2, 90, (5, 12), generator=torch.Generator().manual_seed(0))
SIZES = {
    "vocab_size": 96, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3, "initializer_range": 0.4,
    "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
}  # fmt: skip
MODELS: dict[str, Any] = {
    "shared": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, num_attention_heads=6, num_key_value_heads=3)),
    "alone": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, num_attention_heads=3, tie_word_embeddings=True)),
    "all with biases": lambda: LlamaForCausalLM(
        LlamaConfig(**SIZES, num_attention_heads=6, num_key_value_heads=3, head_dim=6, attention_bias=True)
    ),
    "read with biases": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES, num_attention_heads=6, num_key_value_heads=3)),
}


def model_of(name: str) -> Any:
    torch.manual_seed(3)
    model = MODELS[name]().eval().requires_grad_(False)
    for key, value in model.state_dict().items():
        if key.endswith("bias"):
            torch.nn.init.normal_(value)
    return model


def said_by(layer: Any, group: int, groups: int) -> torch.Tensor:
    """Return the columns of the output layer that read one group, as a view."""
    weight: torch.Tensor = layer.self_attn.o_proj.weight
    width = weight.shape[1] // groups
    return weight[:, group * width : (group + 1) * width]


@pytest.mark.parametrize("name", MODELS)
def test_without_heads_it_says_what_it_says_when_they_are_not_heard(name: str, tmp_path: Path) -> None:
    whole = model_of(name)
    silent = deepcopy(whole)
    gone = [[1], [0], [2]]
    for layer, lost in zip(decoder_layers(silent), gone, strict=True):
        said_by(layer, lost[0], 3).zero_()
    smaller = without_heads(whole, gone)
    before, size = heads_of(whole), heads_of(smaller)
    assert (size.groups, size.shared, size.size) == (2, before.shared, before.size)
    with torch.no_grad():
        expected = silent(WINDOWS).logits
        assert not torch.allclose(expected, whole(WINDOWS).logits, atol=0.1)
        torch.testing.assert_close(smaller(WINDOWS).logits, expected)
    smaller.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert (again.config.num_attention_heads, again.config.num_key_value_heads, again.config.head_dim) == (
        2 * before.shared,
        2,
        before.size,
    )
    with torch.no_grad():
        torch.testing.assert_close(again(WINDOWS).logits, expected)
        # What it remembers of a prompt is of the heads that are left.
        tokens = again.generate(WINDOWS[:1], max_new_tokens=4, do_sample=False, eos_token_id=None)
        for at in range(WINDOWS.shape[1], tokens.shape[1]):
            assert silent(tokens[:, :at]).logits[0, -1].argmax() == tokens[0, at]
    assert heads_of(whole) == before


def test_tied_tables_stay_tied_and_nothing_is_shared_with_the_whole() -> None:
    whole = model_of("alone")
    smaller = without_heads(whole, [[0, 1], [0, 2], [1, 2]])
    assert smaller.lm_head.weight is smaller.model.embed_tokens.weight
    theirs = {value.data_ptr() for value in whole.state_dict().values()}
    assert theirs.isdisjoint(value.data_ptr() for value in smaller.state_dict().values())
    assert not any(weight.requires_grad for weight in smaller.parameters())


@pytest.mark.parametrize("name", ["shared", "alone"])
def test_a_group_is_worth_what_the_loss_of_each_text_owes_it(name: str) -> None:
    whole = model_of(name)
    weights = [layer.self_attn.o_proj.weight for layer in decoder_layers(whole)]
    expected = torch.zeros(3, 3)
    for text in WINDOWS:
        for weight in weights:
            weight.requires_grad_()
        logits = whole(text[None]).logits[0, :-1]
        slopes = torch.autograd.grad(functional.cross_entropy(logits, text[1:]), weights)
        for at, (weight, slope) in enumerate(zip(weights, slopes, strict=True)):
            # What a group says counts m times where the columns that read it do.
            expected[at] += (weight * slope).detach().sum(0).view(3, -1).sum(1).abs() / len(WINDOWS)
            weight.requires_grad_(False)
    found = importance_of(whole, WINDOWS)
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():  # Nothing is left in the model.
        assert not whole(WINDOWS).logits.requires_grad


def test_a_group_that_is_not_heard_is_worth_nothing() -> None:
    whole = model_of("shared")
    said_by(decoder_layers(whole)[1], 2, 3).zero_()
    found = importance_of(whole, WINDOWS)
    assert found[1, 2] == 0
    assert (found > 0).sum() == 8


def test_other_ways_to_attend_are_explained() -> None:
    small = GPT2Config(vocab_size=96, n_embd=24, n_layer=2, n_head=3, bos_token_id=0, eos_token_id=1)
    with pytest.raises(ConfigError, match=r"heads of a GPT2LMHeadModel cannot .* 'q_proj', 'k_proj', 'v_proj' and"):
        heads_of(GPT2LMHeadModel(small))
    normed = Olmo2ForCausalLM(Olmo2Config(**SIZES, num_attention_heads=3))
    with pytest.raises(ConfigError, match=r"nothing else for each head\. Take a model of the Llama family, or"):
        without_heads(normed, [[0], [1], [2]])
