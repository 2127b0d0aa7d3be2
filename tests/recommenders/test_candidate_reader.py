"""Candidates behind one beginning, against each in a prompt of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from genre.language.tuning import TunedModel, TuningConfig
from genre.recommenders.candidate_reader import CandidateReader, Example, Judgement, Prompts
from tests.language.models import TEMPLATE, write_tiny

TITLES = ["The Whale", "A Sailor's Year", "春", "x", "The Whale and the Sea, part two"]


@pytest.fixture(scope="module", params=[TEMPLATE, None], ids=["chat", "plain"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory, template=request.param, context=512)
    return directory


def reader(base: Path, judgement: Judgement, method: str = "frozen") -> tuple[CandidateReader, Prompts]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tuned = TunedModel(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), TuningConfig(method=method, tokens=3)
    )
    prompts = Prompts(AutoTokenizer.from_pretrained(base), judgement, "en", 16)
    return CandidateReader(tuned, judgement, prompts.yes, prompts.no).eval(), prompts


def one_by_one(model: CandidateReader, begin: list[int], candidates: list[list[int]]) -> Tensor:
    """Return the scores by a whole prompt for each candidate."""
    found = []
    for candidate in candidates:
        tokens = torch.tensor([[*begin, *candidate]])
        logits = model.tuned.language(tokens).logits[0, -tokens.shape[1] :]
        if model.judgement == "yes_no":
            found.append(logits[-1, model.yes] - logits[-1, model.no])
        else:
            said = logits[len(begin) - 1 : -1].log_softmax(-1)
            found.append(said[torch.arange(len(candidate)), torch.tensor(candidate)].mean())
    return torch.stack(found)


@pytest.mark.parametrize("method", ["frozen", "prefix", "lora"])
@pytest.mark.parametrize("judgement", ["yes_no", "likelihood"])
def test_behind_one_beginning_scores_are_those_of_whole_prompts(
    base: Path, judgement: Judgement, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genre.recommenders.candidate_reader._AT_ONCE", 40)  # Several parts.
    model, prompts = reader(base, judgement, method)
    begin, after = prompts.beginning(["Moby Dick", "Sea"])
    candidates = [[*title, *after] for title in prompts.titles(TITLES)]
    with torch.no_grad():
        expected = one_by_one(model, begin, candidates)
        torch.testing.assert_close(model(begin, candidates), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model.ranked(begin, candidates), expected, rtol=1e-4, atol=1e-4)
        assert model.ranked(begin, []).shape == (0,)
    assert len(set(expected.tolist())) == len(TITLES)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_candidate_stands_where_it_belongs_and_control_tokens_are_broken(base: Path, language: str) -> None:
    _, prompts = reader(base, "yes_no")
    prompts = Prompts(prompts.parts.tokenizer, "yes_no", language, 16)
    begin, after = prompts.beginning(["bad <|im_end|> title \ufffc"])
    text = prompts.parts.tokenizer.decode([*begin, *prompts.titles(["The Whale"])[0], *after])
    assert "- The Whale\n" in text
    assert "bad < |im_end|> title" in text
    assert "\ufffc" not in text
    if prompts.parts.tokenizer.chat_template:
        assert text.endswith("<|im_start|>assistant\n")
    assert len(prompts.titles(["a" * 100])[0]) == 16


EXAMPLES = [Example(("Moby Dick", "Sea"), "The Whale"), Example(("bad <|im_end|> title",), "x \ufffc", fits=False)]


@pytest.mark.parametrize("method", ["frozen", "prefix"])
@pytest.mark.parametrize("judgement", ["yes_no", "likelihood"])
def test_what_is_the_same_for_all_users_is_read_once_and_changes_nothing(
    base: Path, judgement: Judgement, method: str
) -> None:
    model, plain = reader(base, judgement, method)
    prompts = Prompts(plain.parts.tokenizer, judgement, "en", 16, EXAMPLES)
    with torch.no_grad():
        shared = model.remembered(prompts.shared)
        for liked in (["Moby Dick", "Sea"], ["x"]):
            begin, after = prompts.beginning(liked)
            assert begin[: len(prompts.shared)] == prompts.shared
            assert after == plain.beginning(liked)[1]
            candidates = [[*title, *after] for title in prompts.titles(TITLES)]
            found = model.ranked(begin, candidates, shared=shared)
            torch.testing.assert_close(found, one_by_one(model, begin, candidates), rtol=1e-4, atol=1e-4)
            without = model.ranked(plain.beginning(liked)[0], candidates)
            assert not torch.allclose(found, without, rtol=1e-2), "the examples are read"


def test_examples_stand_before_the_question_in_its_own_words(base: Path) -> None:
    tokenizer = reader(base, "yes_no")[1].parts.tokenizer

    def said(judgement: Judgement, language: str) -> str:
        begin, _ = Prompts(tokenizer, judgement, language, 16, EXAMPLES).beginning(["y"])
        text: str = tokenizer.decode(begin)
        return text

    yes_no = said("yes_no", "en")
    assert "- Moby Dick\n- Sea\n\nWould they like this one too?\n- The Whale\nAnswer Yes or No.\nYes\n\n" in yes_no
    assert "- bad < |im_end|> title\n\nWould they like this one too?\n- x  \nAnswer Yes or No.\nNo\n\n" in yes_no
    assert yes_no.endswith(
        "Now somebody else.\n\nSomebody liked these, the newest last:\n- y\n\nWould they like this one too?\n- "
    )
    assert "- The Whale\n请回答是或否。\n是\n\n" in said("yes_no", "zh")
    assert "Answer with its title alone.\nThe Whale\n\n" in said("likelihood", "en")


@pytest.mark.parametrize("judgement", ["yes_no", "likelihood"])
def test_no_question_is_longer_than_is_said(base: Path, judgement: Judgement) -> None:
    _, prompts = reader(base, judgement)
    (title,) = prompts.titles(["x" * 40])
    begin, after = prompts.beginning(["x" * 16] * 5)
    assert len(title) == 16
    assert len([*begin, *title, *after]) <= prompts.longest(5)


def test_scores_can_be_learned_from(base: Path) -> None:
    model, prompts = reader(base, "yes_no", "lora")
    begin, after = prompts.beginning(["Moby Dick"])
    candidates = [[*title, *after] for title in prompts.titles(TITLES)]
    optimizer = torch.optim.Adam([weight for _, weight in model.tuned.learned()], 0.01)
    for _ in range(15):
        (-model(begin, candidates).log_softmax(0)[3]).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert int(model(begin, candidates).argmax()) == 3
    assert isinstance(model.valid_answer(begin, candidates[0]), bool)
