"""A language model in few bits is written, loaded as any other, and says what its weights say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genre.core.errors import ArtifactError, ConfigError
from genre.core.files import atomic_directory
from genre.core.run import RunContext
from genre.language import loading
from genre.language.base import Prompt, Sampling
from genre.language.compressed import save_quantised
from genre.language.local import LocalGeneratorConfig
from genre.language.quantised import Int4Matrix, Int8Matrix, Int8Table, is_quantised, put, quantise_language
from genre.language.second_order import decoder_layers, quantise_by_texts
from genre.recommenders.learning_language import LearningLanguage
from genre.recommenders.llm_sequential import LlmSequentialConfig
from tests.language.models import write_tiny

TOKENS = torch.arange(2, 42)[None]


def loaded(directory: Path, precision: Any = "fp32") -> Any:
    return LocalGeneratorConfig(model=str(directory), precision=precision).build().load_own()


def compressed(tmp_path: Path, method: Any, *, tied: bool = False) -> tuple[Any, Path]:
    """Return the quantised model in memory, and where it was written."""
    write_tiny(tmp_path / "tiny", tied=tied)
    one = loaded(tmp_path / "tiny")
    quantise_language(one.model, method)
    with atomic_directory(tmp_path / method) as made:
        save_quantised(one.model, one.tokenizer, made)
    return one, tmp_path / method


def plainly(model: Any) -> Any:
    """Return the model with ordinary layers of the weights that few bits stand for."""
    for name, part in list(model.named_modules()):
        if isinstance(part, Int4Matrix | Int8Matrix) and not name.endswith(".matrix"):
            weight = part.expanded(torch.float32)
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            linear.weight.data = weight
            put(model, name, linear)
        elif isinstance(part, Int8Table):
            put(model, name, torch.nn.Embedding.from_pretrained(part.matrix.expanded(torch.float32)))
    return model


@pytest.mark.parametrize("method", ["int8", "int4"])
@pytest.mark.parametrize("tied", [True, False])
def test_what_is_loaded_is_what_was_written(
    tmp_path: Path, method: str, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, directory = compressed(tmp_path, method, tied=tied)
    again = loaded(directory)
    assert is_quantised(again.model)
    assert torch.equal(again.model(TOKENS).logits, one.model(TOKENS).logits)
    head = again.model.get_output_embeddings()
    assert (again.model.get_input_embeddings().weight.data_ptr() == head.weight.data_ptr()) == tied
    assert again.ends == one.ends
    assert again.constraints is not None
    # With neither the kernels' numbers nor products of 8 bits, a plain model with these weights says the same.
    monkeypatch.setattr("genre.language.quantised._FEW_INT4", 0)
    monkeypatch.setattr("genre.language.quantised.has_int8", lambda: False)
    found = again.model(TOKENS).logits
    torch.testing.assert_close(found, plainly(one.model)(TOKENS).logits, atol=1e-4, rtol=1e-4)


def test_it_is_a_fraction_of_the_size(tmp_path: Path) -> None:
    _, directory = compressed(tmp_path, "int4", tied=True)
    state = load_file(directory / "quantised.safetensors")
    assert state["model.layers.0.mlp.gate_proj.codes"].numel() == 64 * 32 / 2
    assert "lm_head.weight" not in state
    assert "model.embed_tokens.matrix.weight" in state


def test_it_writes_as_any_other(tmp_path: Path) -> None:
    _, directory = compressed(tmp_path, "int4")
    for precision in ("fp32", "bf16"):
        generator = LocalGeneratorConfig(model=str(directory), precision=precision).build()
        answers = generator.generate([Prompt("ab"), Prompt("cd")], sampling=Sampling(max_tokens=5))
        assert [answer.finish in ("stop", "length") for answer in answers] == [True, True]
    assert generator.key != LocalGeneratorConfig(model=str(tmp_path / "tiny")).build().key


def test_rounding_by_texts_meets_every_layer(tmp_path: Path) -> None:
    write_tiny(tmp_path / "tiny")
    exact, plain, careful = (loaded(tmp_path / "tiny").model for _ in range(3))
    torch.manual_seed(0)
    windows = torch.randint(2, 200, (9, 40))
    quantise_language(plain, "int4")
    quantise_by_texts(careful, windows)
    quantise_language(careful, "int4")
    assert sum(isinstance(part, Int4Matrix) for part in careful.modules()) == 14
    with torch.no_grad():
        wanted = exact(windows).logits
        errors = [float((model(windows).logits - wanted).square().mean()) for model in (plain, careful)]
    assert errors[1] < errors[0]


def test_nothing_is_learned_through_few_bits(tmp_path: Path) -> None:
    _, directory = compressed(tmp_path, "int4")
    settings = {"kind": "llm_sequential", "base": {"kind": "local", "model": str(directory)}}
    config = LlmSequentialConfig.model_validate(settings)
    assert config.learning is not None
    with pytest.raises(ConfigError, match=r"base: the language model's weights are in few bits.*compress what has"):
        LearningLanguage(config.learning, RunContext())


def test_damage_is_told(tmp_path: Path) -> None:
    _, directory = compressed(tmp_path, "int4")
    file = directory / loading.QUANTISED
    whole = load_file(file)
    del whole["model.norm.weight"]
    save_file(whole, file, metadata={"format": "1"})
    with pytest.raises(ArtifactError, match=r"the weights are not the model's.*norm"):
        loaded(directory)
    save_file(whole, file, metadata={"format": "2"})
    with pytest.raises(ArtifactError, match=r"have format '2', this version reads '1'"):
        loaded(directory)
    file.write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=r"cannot be read .* Make the directory again with `genre compress`"):
        loaded(directory)


def test_layers_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    write_tiny(tmp_path / "tiny")
    model = loaded(tmp_path / "tiny").model
    model.config.num_hidden_layers = 7
    with pytest.raises(ConfigError, match="the layers of a LlamaForCausalLM cannot be told apart"):
        decoder_layers(model)
