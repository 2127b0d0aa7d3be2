"""What keeps a language model able to write while it learns to recommend.

Shapes: R texts of a step, L tokens of the longest, V tokens of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genre.core.errors import ConfigError
from genre.language.base import Prompt, Sampling
from genre.language.decoding import LoadedModel
from genre.language.local import LocalGenerator, LocalSettings
from genre.language.scoring import evaluating, paths_of
from genre.language.tuning import TunedModel
from genre.training.contracts import Protection
from genre.training.passages import held_out_passages, passages, requests
from genre.training.protection_config import ProtectionConfig

_LONGEST = 128
"""Tokens of a text that are learned from at once: what follows is cut into another text."""
_LEAST = 0.05
"""Multiplier below which a protection is not worth its time; from here it can rise again."""
_ANSWER = 64
"""Tokens of an answer at most that the base writes to be held to."""
_FISHER_TEXTS = 64
"""Texts whose gradients say which weights matter for writing."""


class Texts:
    """Texts as tokens, drawn a few at a time."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, answers: Sequence[list[int]] = ()) -> None:
        """Cut the texts into pieces of at most 128 tokens; beside them stand answers, with what was asked, as tokens.

        Raises:
            ConfigError: No text has two tokens.
        """
        end = tokenizer.eos_token_id
        pieces = list(answers)
        for text in texts:
            tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] + [end]
            pieces += [tokens[start : start + _LONGEST] for start in range(0, len(tokens), _LONGEST)]
        self.pieces = [np.array(piece, np.int64) for piece in pieces if len(piece) > 1]
        self.num_answers = sum(len(one) > 1 for one in answers)
        if not self.pieces:
            raise ConfigError(
                f"there are {len(texts)} texts to protect writing with, and none has two tokens",
                place="protect",
                remedy="Give texts of whole sentences, or leave `texts` out.",
            )

    def drawn(self, rng: np.random.Generator, num_tokens: int) -> tuple[Tensor, Tensor]:
        """Return tokens (R, L) of some texts, about `num_tokens` together, and which are there (R, L).

        Half are answers where there are any: they are what is lost first, and pieces of long texts are many.
        """
        rows, left = [], num_tokens
        while left > 0:
            low, high = 0, len(self.pieces)
            if 0 < self.num_answers < high:
                low, high = (0, self.num_answers) if rng.random() < 0.5 else (self.num_answers, high)
            rows.append(self.pieces[int(rng.integers(low, high))])
            left -= len(rows[-1])
        return _padded(rows)

    def all(self, at_once: int = 8) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all texts, those of like length together."""
        ordered = sorted(self.pieces, key=len)
        for start in range(0, len(ordered), at_once):
            yield _padded(ordered[start : start + at_once])


class KeepWriting(Protection):
    """Kullback-Leibler divergence from the base on texts, and the loss of writing them again, in one pass.

    ``kl * KL(P_base || P) + replay * -log P(text)``, both as means over tokens, in nats. The first holds on to all that
    the base would have said, not only to the words that stand in the texts (Li and Hoiem: Learning without Forgetting,
    ECCV 2016); the second is rehearsal (Robins, Connection Science 1995).
    """

    def __init__(self, tuned: TunedModel, texts: Texts, *, kl: float, replay: float, num_tokens: int) -> None:
        """Take the model, the texts, both weights, and the tokens of a step."""
        self.tuned, self.texts, self.kl, self.replay, self.num_tokens = tuned, texts, kl, replay, num_tokens

    def penalty(self, model: nn.Module, batch: Any, rng: np.random.Generator) -> Tensor:
        """Return the weighted sum for texts drawn anew."""
        device = next(self.tuned.language.parameters()).device
        tokens, there = (part.to(device) for part in self.texts.drawn(rng, self.num_tokens))
        counted = there[:, 1:]
        base = _base_log_probabilities(self.tuned, tokens, there)[counted] if self.kl else None
        found = _log_probabilities(self.tuned, tokens, there)[counted]
        value = found.new_zeros(())
        if base is not None:
            value = value + self.kl * functional.kl_div(found, base, reduction="batchmean", log_target=True)
        if self.replay:
            value = value + self.replay * functional.nll_loss(found, tokens[:, 1:][counted])
        return value


class ElasticWeights(Protection):
    """Weights that matter for writing are held where they were: ``weight / 2 * sum F (w - w_0)^2``.

    F is the mean square of the gradients of the base's loss on texts, one text at a time, relative to its mean over the
    weights. Kirkpatrick et al.: Overcoming catastrophic forgetting in neural networks. PNAS 2017.
    """

    def __init__(self, tuned: TunedModel, texts: Texts, *, weight: float) -> None:
        """Look which weights matter; the model must be as it is before training."""
        self.tuned, self.weight = tuned, weight
        self.start = {name: value.detach().clone() for name, value in tuned.updates()}
        matters = {name: torch.zeros_like(value) for name, value in self.start.items()}
        device = next(iter(self.start.values())).device
        chosen = np.random.default_rng(0).permutation(len(texts.pieces))[:_FISHER_TEXTS]
        with evaluating(tuned.language):
            for at in chosen:
                tokens, there = (part.to(device) for part in _padded([texts.pieces[int(at)]]))
                found = _log_probabilities(tuned, tokens, there)[0]
                torch.autograd.backward(functional.nll_loss(found, tokens[0, 1:]))
                for name, value in tuned.updates():
                    if value.grad is not None:
                        matters[name] += value.grad**2
                tuned.language.zero_grad()
        total = sum(float(value.sum()) for value in matters.values())
        mean = total / max(1, sum(value.numel() for value in matters.values()))
        self.matters = {name: value / max(mean, torch.finfo(torch.float32).tiny) for name, value in matters.items()}

    def penalty(self, model: nn.Module, batch: Any, rng: np.random.Generator) -> Tensor:
        """Return how far the weights have gone."""
        parts = [(self.matters[name] * (value - self.start[name]) ** 2).sum() for name, value in self.tuned.updates()]
        found: Tensor = self.weight / 2 * torch.stack(parts).sum()
        return found


class HeldBudget(Protection):
    """Another protection, whose weight rises while writing gets worse than allowed, and falls while it does not.

    Dual ascent on ``min loss such that rise <= budget``, where the rise is that of the loss on texts which nothing is
    learned from, relative to the base's; the protection counts u times (Bertsekas: Nonlinear Programming, section 6.3).
    Now and then ``u <- u * exp(rate * (rise / budget - 1))``, the exponentiated gradient (Kivinen and Warmuth,
    Information and Computation 1997): a training has few looks, and in equal steps u would not get far within them.
    """

    def __init__(
        self,
        inner: KeepWriting,
        held_out: Texts,
        *,
        budget: float,
        every: int = 5,
        rate: float = 0.7,
        most: float = 100.0,
    ) -> None:
        """Measure the base.

        Args:
            inner: What counts more or less.
            held_out: Texts that `inner` does not have.
            budget: Share by which their loss may rise.
            every: Steps between two looks.
            rate: Of the ascent. As it is, u at most halves from one look to the next, and at most becomes fourfold.
            most: Bound of the multiplier, so that one bad look does not end all learning.
        """
        self.inner, self.held_out, self.budget = inner, held_out, budget
        self.every, self.rate, self.most = every, rate, most
        self.multiplier, self.rise = 1.0, 0.0
        with inner.tuned.base_switched_on():
            self.base = loss_on(inner.tuned, held_out)

    def penalty(self, model: nn.Module, batch: Any, rng: np.random.Generator) -> Tensor:
        """Return the inner penalty, so many times."""
        if self.multiplier <= _LEAST:
            return torch.zeros(())
        return self.multiplier * self.inner.penalty(model, batch, rng)

    def after_step(self, model: nn.Module, step: int) -> None:
        """Look how much worse it writes by now."""
        if (step + 1) % self.every:
            return
        self.rise = loss_on(self.inner.tuned, self.held_out) / self.base - 1
        pressure = min(max(self.rise / self.budget - 1, -1.0), 2.0)
        self.multiplier = min(max(self.multiplier * math.exp(self.rate * pressure), _LEAST), self.most)

    def state(self) -> dict[str, float]:
        """Return the multiplier, and the last look."""
        return {"multiplier": self.multiplier, "rise": self.rise}

    def restore(self, state: Mapping[str, float]) -> None:
        """Take both back."""
        self.multiplier, self.rise = state["multiplier"], state["rise"]


class StopInTime(Protection):
    """Learning ends when writing has got worse than allowed: early stopping, on what learning costs.

    Looks are some steps apart, so that the last one may be over by a little; a share of what was learned brings it
    back (see `TunedModel.interpolated`).
    """

    def __init__(self, tuned: TunedModel, held_out: Texts, *, budget: float, every: int = 10) -> None:
        """Look how well the base writes; see `HeldBudget`."""
        self.tuned, self.held_out, self.budget, self.every = tuned, held_out, budget, every
        self.ends = False
        with tuned.base_switched_on():
            self.base = loss_on(tuned, held_out)

    def penalty(self, model: nn.Module, batch: Any, rng: np.random.Generator) -> Tensor:
        """Return 0: it costs nothing until it ends all."""
        return torch.zeros(())

    def after_step(self, model: nn.Module, step: int) -> None:
        """Look how much worse it writes by now."""
        if (step + 1) % self.every == 0:
            self.ends = loss_on(self.tuned, self.held_out) > self.base * (1 + self.budget)

    def state(self) -> dict[str, float]:
        """Return whether it has ended."""
        return {"ends": float(self.ends)}

    def restore(self, state: Mapping[str, float]) -> None:
        """Take it back."""
        self.ends = bool(state["ends"])


class Watched(Protection):
    """Nothing is protected, and after each epoch it is seen how much worse writing has got."""

    def __init__(self, tuned: TunedModel, held_out: Texts) -> None:
        """Look how well the base writes."""
        self.tuned, self.held_out = tuned, held_out
        self.rises: list[float] = []
        """Of the loss after each epoch, relative to the base's."""
        with tuned.base_switched_on():
            self.base = loss_on(tuned, held_out)

    def penalty(self, model: nn.Module, batch: Any, rng: np.random.Generator) -> Tensor:
        """Return 0."""
        return torch.zeros(())

    def after_epoch(self, epoch: int) -> None:
        """Look."""
        self.rises.append(loss_on(self.tuned, self.held_out) / self.base - 1)

    def state(self) -> dict[str, float]:
        """Return what was seen, by epoch."""
        return {str(epoch): rise for epoch, rise in enumerate(self.rises, 1)}

    def restore(self, state: Mapping[str, float]) -> None:
        """Take it back."""
        self.rises = list(state.values())


class AdaptiveRanks(Protection):
    """What AdaLoRA asks of a training: factors that stay orthogonal, and ranks that are moved to where they matter."""

    def __init__(self, tuned: TunedModel, weight: float = 0.1) -> None:
        """Take the model, and how much orthogonality counts."""
        self.tuned, self.weight = tuned, weight

    def penalty(self, model: nn.Module, batch: Any, rng: np.random.Generator) -> Tensor:
        """Return how far the factors are from orthogonal ones: ``|P' P - 1|`` as the paper has it."""
        found = []
        for name, weight in self.tuned.learned():
            if ".lora_A." in name or ".lora_B." in name:
                product = weight @ weight.T if ".lora_A." in name else weight.T @ weight
                found.append((product - torch.eye(len(product), device=weight.device)).norm())
        value: Tensor = self.weight * torch.stack(found).mean()
        return value

    def after_step(self, model: nn.Module, step: int) -> None:
        """Weigh the ranks by their gradients, and take those away that matter least."""
        self.tuned.language.base_model.update_and_allocate(step)


def protections_of(
    config: ProtectionConfig, tuned: TunedModel, loaded: LoadedModel, catalogue: Sequence[str]
) -> list[Protection]:
    """Return what the config says, on the passages that come with Genre and on the catalogue's texts.

    Args:
        config: Which, and how much.
        tuned: The model, as it is before training.
        loaded: The same, as it was loaded.
        catalogue: Texts of the items.
    """
    general = [text for language in config.languages for text in passages(language)]
    count = min(len(catalogue), round(len(general) * config.catalogue / max(1e-9, 1 - config.catalogue)))
    chosen = np.random.default_rng(0).permutation(len(catalogue))[:count]
    own = [catalogue[int(at)] for at in chosen]
    answers = answers_of(tuned, loaded, config.languages) if config.answers else []
    texts = Texts([*own, *general] if config.catalogue < 1 else own, loaded.tokenizer, answers)
    other = [passage.text for language in config.languages for passage in held_out_passages(language)]
    held_out = Texts(other, loaded.tokenizer)
    found: list[Protection] = []
    if config.kl or config.replay:
        kept = KeepWriting(tuned, texts, kl=config.kl, replay=config.replay, num_tokens=config.tokens)
        found.append(kept if config.hold is None else HeldBudget(kept, held_out, budget=config.hold))
    if config.stop is not None:
        found.append(StopInTime(tuned, held_out, budget=config.stop))
    if config.watch:
        found.append(Watched(tuned, held_out))
    if config.elastic:
        found.append(ElasticWeights(tuned, texts, weight=config.elastic))
    return found


def answers_of(tuned: TunedModel, loaded: LoadedModel, languages: Sequence[str]) -> list[list[int]]:
    """Return requests with what the base answers, as tokens.

    Along its own answers the base says most of how it takes a request, and general text says nothing of it (Huang et
    al.: Mitigating Catastrophic Forgetting with Self-Synthesized Rehearsal. ACL 2024).
    """
    asked = [Prompt(request) for language in languages for request in requests(language)]
    writer = LoadedModel(tuned.causal, loaded.tokenizer, loaded.context)
    with evaluating(tuned.language), tuned.base_switched_on():
        generator = LocalGenerator.of(writer, key="before", settings=LocalSettings(batch_size=len(asked)))
        answers = generator.generate(asked, sampling=Sampling(max_tokens=_ANSWER, temperature=0.7, top_p=0.95))
    return [path.tokens for path in paths_of(loaded, asked, answers)]


def loss_on(tuned: TunedModel, texts: Texts) -> float:
    """Return the mean loss over the tokens of texts, in nats, with what was learned."""
    device = next(tuned.language.parameters()).device
    total, count = 0.0, 0
    with evaluating(tuned.language), torch.no_grad():
        for tokens, there in texts.all():
            found = _log_probabilities(tuned, tokens.to(device), there.to(device))
            counted = there[:, 1:].to(device)
            total += float(functional.nll_loss(found[counted], tokens.to(device)[:, 1:][counted], reduction="sum"))
            count += int(counted.sum())
    return total / count


def _log_probabilities(tuned: TunedModel, tokens: Tensor, there: Tensor) -> Tensor:
    """Return (R, L - 1, V) what the model expects after each token but the last."""
    logits = tuned.language(input_ids=tokens, attention_mask=there.long(), use_cache=False).logits
    found: Tensor = logits[:, -tokens.shape[1] :][:, :-1].float().log_softmax(-1)
    return found


def _base_log_probabilities(tuned: TunedModel, tokens: Tensor, there: Tensor) -> Tensor:
    with torch.no_grad(), tuned.base_switched_on(), evaluating(tuned.language):
        return _log_probabilities(tuned, tokens, there)


def _padded(rows: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    tokens, there = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), bool)
    for at, row in enumerate(rows):
        tokens[at, : len(row)], there[at, : len(row)] = row, True
    return torch.from_numpy(tokens), torch.from_numpy(there)
