"""Language models for tests: a tiny one with random weights, and the embedded one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from genre.language.local import LocalGenerator, LocalGeneratorConfig, base_key
from genre.language.smollm import SmolLmConfig
from genre.language.tuning import TunedModel, TuningConfig

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@cache
def smollm() -> LocalGenerator:
    """Return the embedded model in fp32, loaded once for all tests."""
    return SmolLmConfig(precision="fp32", batch_size=4).build()


def write_tiny(
    directory: Path, *, template: str | None = TEMPLATE, context: int = 256, seed: int = 0, tied: bool = False
) -> None:
    """Write a model of two layers with random weights, which babbles, and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|im_start|>", "<|im_end|>"]
    words = ["Ġthe", "ing", "Ġa"]
    vocabulary = {token: at for at, token in enumerate([*special, *alphabet, *words])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[1], pad_token=special[1]
    )
    if template is not None:
        fast.chat_template = template
    fast.save_pretrained(directory)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary) + 5,  # Padded, as many are.
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=tied,
    )
    LlamaForCausalLM(config).save_pretrained(directory)


def learn(base: Path, directory: Path, seed: int, **settings: Any) -> TunedModel:
    """Write an adapter of a model that has learned something at random, and return the model with it."""
    import torch

    from genre.language.adapters import save_adapter

    config = LocalGeneratorConfig(model=str(base), precision="fp32")
    tuned = TunedModel(config.build().load_own().model, TuningConfig(**{"rank": 4, "dropout": 0.0, **settings}))
    torch.manual_seed(seed)
    with torch.no_grad():
        for _, weight in tuned.learned():
            weight.add_(0.2 * torch.randn_like(weight))
    save_adapter(tuned, directory, base_key(config))
    return tuned
