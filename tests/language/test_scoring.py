"""Scores of given texts: against sums by hand, in any company, with and without adapters."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from genre.language.base import Completion, Prompt, Sampling
from genre.language.decoding import LoadedModel
from genre.language.local import LocalGenerator, LocalGeneratorConfig, tokens_of
from genre.language.scoring import _cut, bits_and_bytes, divergences, evaluating, paths_of
from tests.language.models import write_tiny

TEXTS = ["a", "The cat sat on the mat, and nobody minded.", "", "流浪地球", "x" * 90, "half \ud800 a character"]
PROMPTS = [Prompt("a"), Prompt("Tell me of the red cat, please."), Prompt("流浪地球", system="Be kind.")]


def load(directory: Path, seed: int = 0) -> LoadedModel:
    write_tiny(directory, seed=seed)
    return LocalGeneratorConfig(model=str(directory), precision="fp32").build().load_own()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(tmp_path_factory.mktemp("other"), seed=1)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calculate in float32 on every machine, so that sums can be compared."""
    monkeypatch.setattr("genre.language.scoring.dtype_of", lambda *_: torch.float32)


def logits_of(loaded: LoadedModel, tokens: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = loaded.model(input_ids=torch.tensor([tokens])).logits[0].double()
    return logits


def test_bits_are_the_surprise_of_each_token(tiny: LoadedModel) -> None:
    found = bits_and_bytes(tiny, TEXTS, max_tokens=80)
    assert found[:, 1].tolist() == [1, 42, 0, 12, 80, len("half ? a character")]
    assert found[2, 0] == 0
    for text, (bits, _) in zip(TEXTS[:2], found[:2], strict=True):
        tokens = [0, *tiny.tokenizer(text, add_special_tokens=False)["input_ids"]]
        log_likely = torch.log_softmax(logits_of(tiny, tokens), -1)
        by_hand = -sum(float(log_likely[at, token]) for at, token in enumerate(tokens[1:])) / math.log(2)
        assert bits == pytest.approx(by_hand, rel=1e-5)


def test_company_and_order_do_not_matter(tiny: LoadedModel) -> None:
    together = bits_and_bytes(tiny, TEXTS, max_tokens=80)
    np.testing.assert_allclose(bits_and_bytes(tiny, TEXTS[::-1], max_tokens=80)[::-1], together, rtol=1e-5)
    alone = np.concatenate([bits_and_bytes(tiny, [text], max_tokens=80) for text in TEXTS])
    np.testing.assert_allclose(alone, together, rtol=1e-5)
    assert bits_and_bytes(tiny, [], max_tokens=80).shape == (0, 2)


def test_a_text_is_cut_between_characters(tiny: LoadedModel) -> None:
    # A character has three tokens of one byte each: five tokens hold one, and a part of the next.
    tokens, size = _cut(tiny, "流浪地球", 5)
    assert (len(tokens), size) == (3, 3)
    np.testing.assert_allclose(
        bits_and_bytes(tiny, ["流浪地球"], max_tokens=5), bits_and_bytes(tiny, ["流"], max_tokens=99), rtol=1e-6
    )


def test_no_text_is_longer_than_the_model_reads(tiny: LoadedModel) -> None:
    assert bits_and_bytes(tiny, ["x" * 1000], max_tokens=5000)[0, 1] == tiny.context - 1


def test_divergence_is_the_sum_over_the_vocabulary(tiny: LoadedModel, other: LoadedModel) -> None:
    answers = LocalGenerator.of(tiny, key="tiny").generate(PROMPTS, sampling=Sampling(max_tokens=12))
    paths = paths_of(tiny, PROMPTS, answers)
    found = divergences(other, tiny, paths)
    for path, (nats, places) in zip(paths, found, strict=True):
        base, model = (torch.log_softmax(logits_of(one, path.tokens), -1) for one in (tiny, other))
        by_hand = (base.exp() * (base - model)).sum(-1)[path.start : path.stop]
        assert places == len(by_hand)
        assert nats == pytest.approx(float(by_hand.sum()), rel=1e-4)
        assert nats > 0
    assert (divergences(tiny, tiny, paths)[:, 0] == 0).all()


def test_the_end_of_an_answer_is_looked_at_only_where_it_ended(tiny: LoadedModel) -> None:
    asked = len(tokens_of(tiny.tokenizer, PROMPTS[0]))
    ended, cut, silent = (
        paths_of(tiny, PROMPTS[:1], [answer])[0]
        for answer in (Completion("abc", 5, 3, "stop"), Completion("abc", 5, 3, "length"), Completion("", 5, 0, "stop"))
    )
    assert (ended.start, ended.stop) == (asked - 1, asked + 3)
    assert (cut.start, cut.stop) == (asked - 1, asked + 2)
    assert (silent.start, silent.stop) == (asked - 1, asked)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers so.
def test_adapters_are_measured_and_the_base_is_the_model_without(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = load(tmp_path)
    before = bits_and_bytes(base, TEXTS, max_tokens=80)
    answers = LocalGenerator.of(base, key="base").generate(PROMPTS, sampling=Sampling(max_tokens=8))
    adapted = LoadedModel(
        peft.get_peft_model(base.model, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])),
        base.tokenizer,
        base.context,
    )
    adapted.model.eval()
    assert adapted.accepted >= {"position_ids", "use_cache", "logits_to_keep"}
    paths = paths_of(adapted, PROMPTS, answers)
    np.testing.assert_allclose(bits_and_bytes(adapted, TEXTS, max_tokens=80), before, rtol=1e-5)
    np.testing.assert_allclose(divergences(adapted, None, paths)[:, 0], 0, atol=1e-6)
    assert LocalGenerator.of(adapted, key="b").generate(PROMPTS, sampling=Sampling(max_tokens=8)) == answers
    for name, weights in adapted.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.5, generator=torch.Generator().manual_seed(1))
    assert (divergences(adapted, None, paths)[:, 0] > 0.01).all()
    changed = LocalGenerator.of(adapted, key="c").generate(PROMPTS, sampling=Sampling(max_tokens=8))
    assert [one.text for one in changed] != [one.text for one in answers]
    with adapted.model.disable_adapter():
        np.testing.assert_allclose(bits_and_bytes(adapted, TEXTS, max_tokens=80), before, rtol=1e-5)


def test_a_model_in_training_gets_its_mode_back(tiny: LoadedModel) -> None:
    part = tiny.model.get_input_embeddings()
    tiny.model.train()
    part.eval()
    with evaluating(tiny.model):
        assert not any(one.training for one in tiny.model.modules())
    assert tiny.model.training
    assert not part.training
    tiny.model.eval()
