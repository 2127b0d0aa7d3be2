"""The objective of a language model that learns to answer: of each answer, token by token, behind its prompt.

Shapes: R rows of a part, L tokens of the longest, S places whose next token is learned, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre.language.base import Prompt
from genre.language.decoding import LoadedModel
from genre.language.local import tokens_of
from genre.language.texts import without_control
from genre.training.contracts import Loss

_AT_ONCE = 8
"""Rows that are read together where nothing is learned."""
_SORTED = 8
"""Steps whose rows are put together by their length, so that little of a step is padding."""


@dataclass(frozen=True)
class Answer:
    """A prompt and what is said to it, as tokens."""

    tokens: list[int]
    """With the one that ends the answer."""
    start: int
    """Where the answer begins."""

    @classmethod
    def of(cls, loaded: LoadedModel, prompt: Prompt, text: str) -> Answer:
        """Read one as the model does; what it cannot read any more is cut."""
        return cls._behind(tokens_of(loaded.tokenizer, prompt), loaded, text)

    @classmethod
    def alone(cls, loaded: LoadedModel, text: str) -> Answer:
        """Read a text that nobody asked for, behind the token that texts begin with, or else end with."""
        words = loaded.tokenizer
        begin = words.eos_token_id if words.bos_token_id is None else words.bos_token_id
        return cls._behind([min(loaded.ends) if begin is None else begin], loaded, text)

    @classmethod
    def _behind(cls, asked: list[int], loaded: LoadedModel, text: str) -> Answer:
        words = loaded.tokenizer
        said = words(without_control(text, words.all_special_tokens), add_special_tokens=False, verbose=False)
        end = words.eos_token_id if words.eos_token_id is not None else min(loaded.ends)
        return cls([*asked, *said["input_ids"], end][: loaded.context], len(asked))


class Answers:
    """``-log P(answer | prompt)``, the mean over the tokens of the answers; what is asked is read and not learned."""

    def __init__(self, answers: Sequence[Answer], *, batch_size: int, parts: int = 1) -> None:
        """Keep the answers.

        Args:
            answers: What is learned.
            batch_size: Answers of a step.
            parts: Of a step, worked through one after the other to save memory.
        """
        self.answers, self.batch_size, self.parts = list(answers), batch_size, parts

    @property
    def num_batches(self) -> int:
        """Return the steps of an epoch."""
        return -(-len(self.answers) // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[list[list[Answer]]]:
        """Yield the answers in random order, those of like length together."""
        order, steps = rng.permutation(len(self.answers)), list[list[Answer]]()
        for start in range(0, len(order), self.batch_size * _SORTED):
            some = sorted((self.answers[at] for at in order[start : start + self.batch_size * _SORTED]), key=_length)
            steps += [some[first : first + self.batch_size] for first in range(0, len(some), self.batch_size)]
        for at in rng.permutation(len(steps)):
            size = -(-len(steps[at]) // self.parts)
            yield [steps[at][first : first + size] for first in range(0, len(steps[at]), size)]

    def loss(self, model: nn.Module, batch: Sequence[Answer], device: torch.device) -> Loss:
        """Return the mean loss over the answers' tokens."""
        costs, there = costs_of(model, batch, device)
        return Loss(costs[there].mean(), int(there.sum()))


def surprise(model: nn.Module, answers: Sequence[Answer], device: torch.device) -> NDArray[np.float64]:
    """Return how many bits the model needs for each answer behind its prompt."""
    found = np.zeros(len(answers))
    order = sorted(range(len(answers)), key=lambda at: len(answers[at].tokens))
    with torch.no_grad():
        for start in range(0, len(order), _AT_ONCE):
            rows = order[start : start + _AT_ONCE]
            costs, there = costs_of(model, [answers[at] for at in rows], device)
            found[rows] = (costs * there).sum(1).double().cpu().numpy() / np.log(2)
    return found


def costs_of(model: Any, answers: Sequence[Answer], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (R, S) what each token of the answers costs, in nats, and (R, S) which there are."""
    longest = max(map(_length, answers))
    said = max(len(one.tokens) - one.start for one in answers)
    tokens, visible = np.zeros((len(answers), longest), np.int64), np.zeros((len(answers), longest), bool)
    wanted = np.zeros((len(answers), said), bool)
    for at, one in enumerate(answers):  # At the end of the rows, where the model is asked what comes next.
        tokens[at, longest - len(one.tokens) :] = one.tokens
        visible[at, longest - len(one.tokens) :] = True
        wanted[at, said - (len(one.tokens) - one.start) :] = True
    given, seen = torch.from_numpy(tokens).to(device), torch.from_numpy(visible).to(device)
    logits = model(
        input_ids=given,
        attention_mask=seen.long(),
        position_ids=(seen.cumsum(1) - 1).clamp(min=0),
        logits_to_keep=said + 1,
        use_cache=False,
    ).logits[:, :-1]
    costs = functional.cross_entropy(logits.float().transpose(1, 2), given[:, longest - said :], reduction="none")
    return costs, torch.from_numpy(wanted).to(device)


def _length(one: Answer) -> int:
    return len(one.tokens)
