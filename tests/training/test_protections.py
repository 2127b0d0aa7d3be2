"""What holds a tiny language model to what it wrote before, against the same worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from genre.core.errors import ConfigError
from genre.evaluation._writing_prompts import instructions, tasks
from genre.language.base import Prompt
from genre.language.decoding import LoadedModel
from genre.language.local import tokens_of
from genre.language.tuning import TunedModel, TuningConfig
from genre.training.passages import requests
from genre.training.protection_config import ProtectionConfig
from genre.training.protections import (
    AdaptiveRanks,
    ElasticWeights,
    HeldBudget,
    KeepWriting,
    StopInTime,
    Texts,
    Watched,
    answers_of,
    loss_on,
    protections_of,
)
from tests.language.models import write_tiny

GENERAL = ["The bridge was closed at noon.", "Stir the flour in slowly, then rest.", "我们走了。"]
HELD_OUT = "The bridge is open at noon."
RNG = np.random.default_rng
TOKENS = torch.arange(2, 12)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model that has learned to write the texts, so that it has something to forget."""
    from transformers import AutoModelForCausalLM

    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    pieces = Texts([*GENERAL, HELD_OUT], tokenizer(directory)).pieces
    for _ in range(40):
        for piece in pieces:
            tokens = torch.from_numpy(piece)[None]
            model(tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(directory)
    return directory


def tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


def tuned_model(base: Path, method: str = "lora", **settings: Any) -> TunedModel:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    causal = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return TunedModel(causal, TuningConfig(method=method, dropout=0.0, **{"rank": 4, **settings}), total_steps=20)


def learn(tuned: TunedModel, *protections: Any, steps: int = 30, rate: float = 0.01) -> TunedModel:
    """Learn to write some tokens again and again, which is not writing."""
    optimizer = torch.optim.Adam([weight for _, weight in tuned.learned()], rate)
    for step in range(steps):
        tuned.language.train()
        loss = tuned.language(TOKENS, labels=TOKENS).loss
        for at, protection in enumerate(protections):
            loss = loss + protection.penalty(tuned.language, None, RNG([step, at]))
        loss.backward()
        optimizer.step()
        for protection in protections:
            protection.after_step(tuned.language, step)
        optimizer.zero_grad()
    return tuned


def rise(tuned: TunedModel, texts: Texts) -> float:
    with tuned.base_switched_on():
        before = loss_on(tuned, texts)
    return loss_on(tuned, texts) / before - 1


def test_texts_are_cut_and_drawn_within_the_budget(base: Path) -> None:
    texts = Texts(["x" * 300, *GENERAL, ""], tokenizer(base))
    assert sorted(map(len, texts.pieces))[-2:] == [128, 128]
    tokens, there = texts.drawn(RNG(0), 200)
    assert 200 <= int(there.sum()) < 200 + 128
    assert (tokens[~there] == 0).all()
    assert sum(int(mask.sum()) for _, mask in texts.all()) == sum(map(len, texts.pieces))
    with pytest.raises(ConfigError, match="there are 2 texts to protect writing with, and none has two tokens"):
        Texts(["", ""], tokenizer(base))


@pytest.mark.parametrize("method", ["lora", "full", "prefix"])
def test_divergence_and_loss_are_those_of_the_texts(base: Path, method: str) -> None:
    tuned = learn(tuned_model(base, method), steps=5)
    texts = Texts(GENERAL[:1], tokenizer(base))
    both = KeepWriting(tuned, texts, kl=2.0, replay=3.0, num_tokens=1)
    tokens = torch.from_numpy(texts.pieces[0])[None]
    tuned.language.eval()

    def expected() -> torch.Tensor:
        with torch.no_grad():
            return tuned.language(tokens).logits[0, -tokens.shape[1] :][:-1].log_softmax(-1)

    found = expected()
    with tuned.base_switched_on():
        before = expected()
    kl = (before.exp() * (before - found)).sum(-1).mean()
    loss = -found[torch.arange(len(found)), tokens[0, 1:]].mean()
    penalty = both.penalty(tuned.language, None, RNG(0))
    torch.testing.assert_close(penalty.detach(), 2 * kl + 3 * loss, rtol=1e-4, atol=1e-5)
    assert kl > 0
    penalty.backward()
    assert all(weight.grad is not None for _, weight in tuned.learned())
    assert loss_on(tuned, texts) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("method", ["lora", "full", "last_layers"])
def test_in_mixed_precision_the_base_is_asked_with_its_own_weights_and_the_model_with_its_own(
    base: Path, method: str
) -> None:
    tuned = learn(tuned_model(base, method, layers=1), steps=5)
    tuned.language.eval()
    both = KeepWriting(tuned, Texts(GENERAL[:1], tokenizer(base)), kl=2.0, replay=3.0, num_tokens=1)

    def gradients(*, mixed: bool) -> tuple[float, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            penalty = both.penalty(tuned.language, None, RNG(0))
        tuned.language.zero_grad()
        penalty.backward()
        return penalty.item(), torch.cat([weight.grad.flatten() for _, weight in tuned.learned()])  # type: ignore[union-attr]

    exact, exact_gradient = gradients(mixed=False)
    rounded, rounded_gradient = gradients(mixed=True)
    assert rounded == pytest.approx(exact, rel=0.2)
    assert functional.cosine_similarity(rounded_gradient, exact_gradient, dim=0) > 0.9


def test_before_anything_is_learned_nothing_diverges(base: Path) -> None:
    tuned = tuned_model(base)
    penalty = KeepWriting(tuned, Texts(GENERAL, tokenizer(base)), kl=1.0, replay=0.0, num_tokens=64)
    assert abs(penalty.penalty(tuned.language, None, RNG(0)).item()) < 1e-6


@pytest.mark.parametrize("settings", [{"kl": 3.0, "replay": 0.0}, {"kl": 0.0, "replay": 3.0}])
@pytest.mark.slow
def test_who_is_protected_forgets_less(base: Path, settings: dict[str, float]) -> None:
    texts = Texts(GENERAL, tokenizer(base))
    forgetful = rise(learn(tuned_model(base)), texts)
    tuned = tuned_model(base)
    kept = rise(learn(tuned, KeepWriting(tuned, texts, num_tokens=64, **settings)), texts)
    assert forgetful > 0.02
    assert kept < forgetful / 2


def test_weights_that_matter_are_held(base: Path) -> None:
    texts = Texts(GENERAL, tokenizer(base))
    tuned = tuned_model(base, "last_layers", layers=1)
    elastic = ElasticWeights(tuned, texts, weight=2.0)
    assert elastic.penalty(tuned.language, None, RNG(0)).item() == 0
    means = [value.mean().item() * value.numel() for value in elastic.matters.values()]
    assert sum(means) / tuned.num_learned == pytest.approx(1, rel=1e-3)
    name, weight = next(iter(tuned.learned()))
    with torch.no_grad():
        weight[0, 0] += 0.5
    expected = elastic.matters[name][0, 0].item() * 0.25
    assert elastic.penalty(tuned.language, None, RNG(0)).item() == pytest.approx(expected, rel=1e-4)
    # By hand: the mean of the squared gradients, text by text.
    fresh = tuned_model(base, "last_layers", layers=1)
    squares = 0.0
    for piece in texts.pieces:
        tokens = torch.from_numpy(piece)[None]
        found = fresh.language(tokens).logits[0, :-1].log_softmax(-1)
        gradient = torch.autograd.grad(functional.nll_loss(found, tokens[0, 1:]), dict(fresh.learned())[name])[0]
        squares += gradient[0, 1].item() ** 2
    other = elastic.matters[name][0, 1] / elastic.matters[name][0, 0]
    assert other.item() > 0
    assert squares > 0


@pytest.mark.slow
def test_the_budget_is_held_by_a_weight_that_rises_and_falls(base: Path) -> None:
    texts, held_out = Texts(GENERAL[:2], tokenizer(base)), Texts([HELD_OUT], tokenizer(base))
    forgetful = rise(learn(tuned_model(base), steps=60), held_out)
    tuned = tuned_model(base)
    inner = KeepWriting(tuned, texts, kl=1.0, replay=0.0, num_tokens=64)
    held = HeldBudget(inner, held_out, budget=0.01, every=5)
    learn(tuned, held, steps=60)
    assert forgetful > 0.03
    assert rise(tuned, held_out) < forgetful / 2
    assert held.multiplier > 1
    again = HeldBudget(inner, held_out, budget=0.01, every=5)
    again.restore(held.state())
    assert again.state() == held.state()
    # Where all is well, it falls until it costs nothing, and from there rises as soon as all is not.
    easy = HeldBudget(inner, held_out, budget=1000.0, every=1)
    for step in range(10):
        easy.after_step(tuned.language, step)
    assert easy.penalty(tuned.language, None, RNG(0)).item() == 0
    easy.budget = 0.001
    easy.after_step(tuned.language, 10)
    assert easy.penalty(tuned.language, None, RNG(0)).item() > 0


def test_learning_ends_in_time(base: Path) -> None:
    held_out = Texts([HELD_OUT], tokenizer(base))
    tuned = tuned_model(base)
    stop = StopInTime(tuned, held_out, budget=0.03, every=5)
    steps = 0
    while not stop.ends:
        assert rise(tuned, held_out) <= 0.03 or steps % 5
        learn(tuned, steps=1, rate=0.01)
        stop.after_step(tuned.language, steps)
        steps += 1
    assert steps % 5 == 0
    assert rise(tuned, held_out) > 0.03
    again = StopInTime(tuned, held_out, budget=0.03)
    again.restore(stop.state())
    assert again.ends
    assert stop.penalty(tuned.language, None, RNG(0)).item() == 0


def test_what_is_watched_is_seen_after_each_epoch(base: Path) -> None:
    held_out = Texts([HELD_OUT], tokenizer(base))
    tuned = tuned_model(base)
    watched = Watched(tuned, held_out)
    watched.after_epoch(1)
    assert watched.rises == [pytest.approx(0, abs=1e-6)]
    learn(tuned, watched)
    watched.after_epoch(2)
    assert watched.rises[1] == pytest.approx(rise(tuned, held_out))
    again = Watched(tuned, held_out)
    again.restore(watched.state())
    assert again.rises == watched.rises
    assert watched.penalty(tuned.language, None, RNG(0)).item() == 0


def test_the_base_answers_before_it_learns_and_is_held_to_that(base: Path) -> None:
    tuned, words = tuned_model(base), tokenizer(base)
    loaded = LoadedModel(tuned.causal, words, 128)
    for _, weight in tuned.learned():
        torch.nn.init.normal_(weight, std=1.0)
    found = answers_of(tuned, loaded, ["zh"])
    with tuned.base_switched_on():
        assert found == answers_of(tuned, loaded, ["zh"]), "the base's, whatever was learned by now"
    begun = [tokens_of(words, Prompt(request)) for request in requests("zh")]
    assert [one[: len(start)] for one, start in zip(found, begun, strict=True)] == begun
    assert all(len(one) > len(start) for one, start in zip(found, begun, strict=True))
    config = ProtectionConfig(kl=1.0, answers=True, languages=("zh",), catalogue=0)
    (kept,) = protections_of(config, tuned, loaded, [])
    (plain,) = protections_of(config.model_copy(update={"answers": False}), tuned, loaded, [])
    assert isinstance(kept, KeepWriting)
    assert isinstance(plain, KeepWriting)
    assert len(kept.texts.pieces) == len(plain.texts.pieces) + 24
    assert all(np.array_equal(piece, one) for piece, one in zip(kept.texts.pieces, found, strict=False))
    tokens, there = kept.texts.drawn(RNG(0), 20_000)
    rows = [tuple(row[seen].tolist()) for row, seen in zip(tokens, there, strict=True)]
    assert np.isclose(np.mean([row in set(map(tuple, found)) for row in rows]), 0.5, atol=0.1)


def test_no_request_is_one_that_writing_is_measured_by() -> None:
    measured = {*tasks(["en", "zh"]), *(one.prompt for one in instructions(["en", "zh"]))}
    asked = [request for lang in ("en", "zh") for request in requests(lang)]
    assert len(set(asked)) == len(asked) == 159
    assert not measured & set(asked)


def test_a_budget_without_anything_to_turn_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"`hold` 0\.02 turns the weights of `kl` and `replay`, and both are 0"):
        ProtectionConfig(hold=0.02)
    assert not ProtectionConfig().is_on
    assert ProtectionConfig(elastic=1.0).is_on
    assert ProtectionConfig(stop=0.02).is_on


def test_ranks_go_where_they_matter_and_factors_stay_orthogonal(base: Path) -> None:
    tuned = tuned_model(base, "adalora", rank=2)
    ranks = AdaptiveRanks(tuned, weight=1.0)
    optimizer = torch.optim.Adam([weight for _, weight in tuned.learned()], 0.01)
    before = ranks.penalty(tuned.language, None, np.random.default_rng(0)).item()
    for step in range(20):
        loss = tuned.language(TOKENS, labels=TOKENS).loss + ranks.penalty(
            tuned.language, None, np.random.default_rng(0)
        )
        loss.backward()
        optimizer.step()
        ranks.after_step(tuned.language, step)
        optimizer.zero_grad()
    assert ranks.penalty(tuned.language, None, np.random.default_rng(0)).item() < before
    kept = [int((weight != 0).sum()) for name, weight in tuned.learned() if ".lora_E." in name]
    assert sum(kept) == 2 * len(kept), "two for each layer on average"
    assert len(set(kept)) > 1


def test_rows_of_new_tokens_are_not_held(base: Path) -> None:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    causal = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tuned = TunedModel(causal, TuningConfig(rank=4, dropout=0.0), new_tokens=3)
    held = ElasticWeights(tuned, Texts(GENERAL, tokenizer(base)), weight=1.0)
    assert set(held.matters) == {name for name, _ in tuned.updates()}
    mean = sum(float(value.sum()) for value in held.matters.values()) / sum(map(torch.numel, held.matters.values()))
    assert mean == pytest.approx(1, rel=1e-3), "relative to the weights that writing depends on"
    assert all(weight.grad is None for _, weight in tuned.learned())
    learn(tuned, held, KeepWriting(tuned, Texts(GENERAL, tokenizer(base)), kl=1.0, replay=0.5, num_tokens=16), steps=2)
