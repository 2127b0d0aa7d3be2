"""Text encoders for tests: tiny ones with random weights, and the embedded one."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genre.language.minilm import MiniLmConfig
from genre.language.sentence import Precision, SentenceEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SIZE = 64


@cache
def minilm(precision: Precision = "fp32") -> SentenceEncoder:
    """Return the embedded model, loaded once for all tests."""
    return MiniLmConfig(precision=precision).build()


def write_sentence(directory: Path, *, prompts: dict[str, str] | None = None) -> None:
    """Write a model of two layers with random weights in the form of sentence-transformers; it reads bytes."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = _byte_tokenizer()
    tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=SIZE,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * SIZE,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(directory)
    names = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{name}"}
        for at, (name, path) in enumerate(names.items())
    ]
    for file, content in {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 128},
        "config_sentence_transformers.json": {"prompts": prompts or {}},
        "1_Pooling/config.json": {"word_embedding_dimension": SIZE, "pooling_mode_mean_tokens": True},
    }.items():
        path = directory / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")


def write_graph(directory: Path, *, output: str = "last_hidden_state", extra_input: str | None = None) -> None:
    """Write a graph that looks each byte up in a table of random numbers, and gives their mean where it is asked to."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = _byte_tokenizer()
    tokenizer.backend_tokenizer.save(str(directory / "tokenizer.json"))
    weights = np.random.default_rng(0).standard_normal((len(tokenizer), SIZE)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    if output == "sentence_embedding":
        nodes.append(helper.make_node("ReduceMax", ["last_hidden_state"], [output], axes=[1], keepdims=0))
    inputs = ["input_ids", "attention_mask", *([extra_input] if extra_input else [])]
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, directory / "model.onnx")


def _byte_tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {"pad_token": special[0], "cls_token": special[1], "sep_token": special[2]}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names)
