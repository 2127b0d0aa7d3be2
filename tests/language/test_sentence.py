"""Models of sentence-transformers: prompts, precisions, keys, and models that are not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from genre.core.errors import ConfigError, DependencyError
from genre.language import _int8
from genre.language.sentence import SentenceEncoderConfig
from tests.language.encoders import write_sentence

TEXTS = ["red lipstick", "a film about the sea", "流浪地球", "rain " * 20]
needs_int8 = pytest.mark.skipif(not _int8.has_int8(), reason="this processor has no instructions for 8 bits")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sentence")
    write_sentence(path, prompts={"query": "query: ", "document": ""})
    return str(path)


def config(directory: str, **settings: object) -> SentenceEncoderConfig:
    return SentenceEncoderConfig.model_validate({"model": directory, "precision": "fp32", **settings})


def test_vectors_are_those_of_the_library(directory: str) -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(directory, device="cpu").encode(TEXTS)
    np.testing.assert_allclose(config(directory).build().encode(TEXTS), expected, atol=1e-5)


def test_prompts_stand_before_the_texts_of_their_role(directory: str) -> None:
    plain = config(directory, prompts={}).build()
    own = config(directory).build()
    given = config(directory, prompts={"item": "passage: "}).build()
    np.testing.assert_allclose(own.encode(["rain"], role="query"), plain.encode(["query: rain"]), atol=1e-5)
    np.testing.assert_allclose(own.encode(["rain"]), plain.encode(["rain"]), atol=1e-5)
    np.testing.assert_allclose(given.encode(["rain"]), plain.encode(["passage: rain"]), atol=1e-5)
    np.testing.assert_allclose(given.encode(["rain"], role="query"), plain.encode(["rain"]), atol=1e-5)
    assert own.prompts == {"query": "query: "}


def test_only_the_first_tokens_are_read(directory: str) -> None:
    encoder = config(directory, max_tokens=6).build()
    same, head, other = encoder.encode(["rainy day", "rain", "snow"])
    np.testing.assert_allclose(same, head, atol=1e-5)
    assert head @ other < 0.99


def test_more_tokens_than_the_model_can_read_are_refused(directory: str) -> None:
    with pytest.raises(ConfigError, match=r"max_tokens 129 is more than the 128 that the model can read\. Lower it"):
        config(directory, max_tokens=129).build().encode(["a"])


@pytest.mark.parametrize("precision", ["bf16", pytest.param("int8", marks=needs_int8)])
def test_fewer_bits_give_nearly_the_same(directory: str, precision: str) -> None:
    exact = config(directory).build().encode(TEXTS)
    found = config(directory, precision=precision).build().encode(TEXTS)
    assert found.dtype == np.float32
    assert (found * exact).sum(axis=1).min() > 0.99
    assert np.abs(found - exact).max() > 1e-5


@needs_int8
@pytest.mark.parametrize("tiles", [False, True])
def test_auto_is_what_the_processor_is_fastest_with(
    directory: str, monkeypatch: pytest.MonkeyPatch, *, tiles: bool
) -> None:
    monkeypatch.setattr("genre.language.sentence.has_tiles", lambda: tiles)
    monkeypatch.setattr("genre.language.sentence.dtype_of", lambda *_: torch.bfloat16)
    expected = "bf16" if tiles else "int8"
    auto, same = (config(directory, precision=name).build().load_own().encode(TEXTS) for name in ("auto", expected))
    np.testing.assert_array_equal(auto, same)


def test_int8_without_its_instructions_is_refused(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_int8, "has_int8", lambda: False)
    with pytest.raises(ConfigError, match=r"precision 'int8' needs a processor with VNNI .* Take precision 'auto'"):
        config(directory, precision="int8").build().load_own()
    assert np.isfinite(config(directory, precision="auto").build().load_own().encode(TEXTS)).all()


@needs_int8
def test_products_of_8_bits_do_not_overflow() -> None:
    linear = nn.Linear(512, 8)
    nn.init.constant_(linear.weight, -127.0)
    nn.init.constant_(linear.bias, 0.5)
    model = nn.Sequential(linear)
    _int8.quantise(model)
    inputs = torch.tensor([[127.0] * 512, [-127.0] * 512, [0.0] * 512])
    sums = 127.0 * 127.0 * 512
    expected = torch.tensor([-sums, sums, 0.0]).add(0.5)[:, None].expand(3, 8)
    torch.testing.assert_close(model(inputs), expected)


@needs_int8
def test_an_int8_layer_is_within_half_a_step_of_the_exact_one() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(96, 40, bias=False)
    inputs = torch.randn(3, 5, 96) * torch.logspace(-3, 3, 5)[:, None]
    exact = linear(inputs)
    model = nn.Sequential(linear)
    _int8.quantise(model)
    found = model(inputs)
    # Rows of a thousandth of another's size keep their own precision.
    errors = (found - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert errors.max() < 0.02


def test_layers_that_share_an_input_do_not_mix_it_with_the_next() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(16, 4), nn.Linear(16, 4)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.first(inputs) + self.second(inputs)

    model = Two()
    inputs = torch.randn(2, 6, 16)
    exact = [model(one) for one in inputs]
    _int8.quantise(model)
    for one, expected in zip(inputs, exact, strict=True):
        torch.testing.assert_close(model(one), expected, atol=0.05, rtol=0.05)


def test_the_key_follows_weights_and_settings(directory: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    first = config(directory).build().key
    assert config(str(copy)).build().key == first
    settings = [{"prompts": {"item": "a"}}, {"max_tokens": 9}, {"precision": "int8"}]
    keys = {config(directory, **one).build().key for one in settings}
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    keys.add(config(str(copy)).build().key)
    hub = [config("intfloat/multilingual-e5-small", revision=name).build().key for name in (None, "abc")]
    assert len({first, *keys, *hub}) == 7
    assert config(directory, batch_tokens=7).build().key == first


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    encoder = config(str(tmp_path / "nothing")).build()
    with pytest.raises(DependencyError, match=r"there is no directory '.*nothing'.*kind: minilm.*kind: hashing"):
        encoder.encode(["a"])


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DependencyError, match=r"the model in '.*' cannot be loaded"):
        config(str(tmp_path)).build().encode(["a"])


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: object, **__: object) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(DependencyError, match=r"'intfloat/multilingual-e5-small' is not a directory.*no route to host"):
        config("intfloat/multilingual-e5-small").build().encode(["a"])


def test_a_model_of_the_hub_is_fetched_once(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def snapshot(name: str, *, local_files_only: bool, revision: str | None, **_: object) -> str:
        asked.append((name, revision, local_files_only))
        if local_files_only and len(asked) == 1:
            raise FileNotFoundError("not in the cache")
        return directory

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    for _ in range(2):
        found = config("someone/tiny", revision="abc").build().load_own().encode(TEXTS)
        np.testing.assert_array_equal(found, config(directory).build().load_own().encode(TEXTS))
    assert [here for _, _, here in asked] == [True, False, True]
    assert {asked[0][:2], asked[1][:2]} == {("someone/tiny", "abc")}


def test_encoders_of_the_same_settings_have_one_model(directory: str) -> None:
    first, second = (SentenceEncoderConfig(model=directory).build() for _ in range(2))
    assert first.model is second.model
    assert first.load_own() is not first.model
    assert SentenceEncoderConfig(model=directory, max_tokens=4).build().model is not first.model
