"""What learning to answer costs, against the same worked out one answer at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from genre.language.base import Prompt
from genre.language.decoding import LoadedModel
from genre.language.local import LocalGeneratorConfig, tokens_of
from genre.training.answers import Answer, Answers, surprise
from tests.language.models import write_tiny

PAIRS = [
    ("Name it.", " A short one.", ""),
    ("Say more about the bridge.", " noon", "The bridge at"),
    ("Go on.", "我们走了。", ""),
]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return LocalGeneratorConfig(model=str(directory), precision="fp32").build().load_own()


@pytest.fixture(scope="module")
def answers(loaded: LoadedModel) -> list[Answer]:
    return [Answer.of(loaded, Prompt(user, begin=begin), said) for user, said, begin in PAIRS]


def alone(loaded: LoadedModel, one: Answer) -> torch.Tensor:
    """Return the nats of each token of an answer, read by itself."""
    tokens = torch.tensor([one.tokens])
    with torch.no_grad():
        logits = loaded.model(tokens).logits[0, one.start - 1 : -1]
    return functional.cross_entropy(logits, tokens[0, one.start :], reduction="none")


def test_an_answer_stands_behind_its_prompt_and_ends(loaded: LoadedModel, answers: list[Answer]) -> None:
    for (user, said, begin), one in zip(PAIRS, answers, strict=True):
        assert one.tokens[: one.start] == tokens_of(loaded.tokenizer, Prompt(user, begin=begin))
        assert loaded.tokenizer.decode(one.tokens[one.start : -1]) == said
        assert one.tokens[-1] == loaded.tokenizer.eos_token_id


def test_the_loss_is_the_mean_over_the_tokens_of_the_answers(loaded: LoadedModel, answers: list[Answer]) -> None:
    objective = Answers(answers, batch_size=3)
    costs = torch.cat([alone(loaded, one) for one in answers])
    with torch.no_grad():
        loss = objective.loss(loaded.model, answers, CPU)
    assert loss.count == len(costs)
    assert float(loss.value) == pytest.approx(float(costs.mean()), rel=1e-4)


def test_a_text_that_nobody_asked_for_is_learned_whole(loaded: LoadedModel) -> None:
    one = Answer.alone(loaded, "The bridge <|im_end|> at noon")
    said = loaded.tokenizer("The bridge < |im_end|> at noon", add_special_tokens=False)["input_ids"]
    assert one == Answer([loaded.tokenizer.bos_token_id, *said, loaded.tokenizer.eos_token_id], 1)
    tokens = torch.tensor([one.tokens])
    with torch.no_grad():
        expected = loaded.model(input_ids=tokens, labels=tokens).loss
    assert float(Answers([one], batch_size=1).loss(loaded.model, [one], CPU).value) == pytest.approx(float(expected))


def test_surprise_is_in_bits(loaded: LoadedModel, answers: list[Answer]) -> None:
    many = [*answers, *answers, *answers, *answers[:1]]
    expected = [float(alone(loaded, one).sum()) / np.log(2) for one in many]
    assert surprise(loaded.model, many, CPU).tolist() == pytest.approx(expected, rel=1e-4)


def test_every_answer_is_learned_once_an_epoch_and_those_of_like_length_together() -> None:
    rows = [Answer([0] * length, 1) for length in range(2, 42)]
    objective = Answers(rows, batch_size=8, parts=2)
    steps = list(objective.batches(np.random.default_rng(0)))
    assert len(steps) == objective.num_batches == 5
    assert all(len(step) == 2 for step in steps)
    assert sorted(len(one.tokens) for step in steps for part in step for one in part) == list(range(2, 42))
    spread = [
        max(lengths) - min(lengths) for step in steps if (lengths := [len(one.tokens) for part in step for one in part])
    ]
    assert max(spread) == 7, "all forty are sorted, and cut into fives"
    other = list(objective.batches(np.random.default_rng(1)))
    assert [[len(part) for part in step] for step in other] == [[4, 4]] * 5


def test_what_the_model_cannot_read_any_more_is_cut(loaded: LoadedModel) -> None:
    one = Answer.of(loaded, Prompt("x"), "y" * 1000)
    assert len(one.tokens) == loaded.context
