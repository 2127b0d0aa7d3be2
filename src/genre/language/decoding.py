"""How a batch of answers is written, token by token.

Rows that are done leave the batch at once, so that the time of a step follows the answers still being written. What a
row says does not depend on the others: each has its own random numbers, and places are counted without the padding.

Shapes: B rows still being written, P tokens of the longest prompt, V tokens of the vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from genre.language.base import Finish, Sampling
from genre.language.constraint import Constraints, Matcher
from genre.language.texts import cut_at_stop, held_back

if TYPE_CHECKING:
    from torch import Tensor

_LIKELY = 1024
"""Tokens that hold the share `top_p` almost always; all are sorted only where they do not."""


@dataclass(eq=False)
class LoadedModel:
    """A causal language model with its tokenizer."""

    model: Any
    tokenizer: Any
    context: int
    """Tokens of prompt and answer together at most."""

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer."""
        said = self.model.generation_config.eos_token_id
        found = said if isinstance(said, list) else [said, self.tokenizer.eos_token_id]
        return frozenset(token for token in found if token is not None)

    @cached_property
    def constraints(self) -> Constraints:
        """What holds answers to a schema."""
        return Constraints(self.tokenizer, self.model.get_output_embeddings().weight.shape[0], self.ends)

    @cached_property
    def accepted(self) -> frozenset[str]:
        """The arguments that the model knows: names differ between models and versions of the library."""
        # What peft wraps around a model takes anything and hands it on.
        inner = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return frozenset(inspect.signature(inner.forward).parameters)

    def text_of(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, which only grows with further tokens but for an unfinished character."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


@dataclass(eq=False)
class Row:
    """An answer in the making."""

    prompt: list[int]
    most: int
    """Tokens that it may still take."""
    rng: np.random.Generator
    matcher: Matcher | None = None
    tokens: list[int] = field(default_factory=list)
    """What has been written, without the token that ends it."""
    text: str = ""
    """Known once the row is done, and after each step where there are texts to stop at."""
    finish: Finish | None = None
    error: str | None = None

    def shown(self, stop: Sequence[str]) -> str:
        """Return the part of the text that no further token can change."""
        if self.finish is not None:
            return self.text
        sure = self.text.rstrip("\ufffd")
        return sure[: len(sure) - held_back(sure, stop)]


class Batch:
    """Rows that are written together."""

    def __init__(self, loaded: LoadedModel, rows: Sequence[Row], sampling: Sampling, *, watched: bool = False) -> None:
        """Prepare; nothing is computed yet.

        Args:
            loaded: The model.
            rows: B rows with prompts, which are changed in place.
            sampling: How the tokens are drawn.
            watched: Whether the text of each row is wanted after each step.
        """
        import torch
        from transformers import DynamicCache

        self.rows = list(rows)
        self._loaded, self._sampling = loaded, sampling
        self._watched = watched or bool(sampling.stop)
        self._cache: Any = DynamicCache(config=loaded.model.config)
        longest = max(len(row.prompt) for row in rows)
        padding = [longest - len(row.prompt) for row in rows]
        inputs = [[0] * pad + row.prompt for pad, row in zip(padding, rows, strict=True)]
        device = loaded.model.device
        self._inputs = torch.tensor(inputs, device=device)  # (B, P), later (B, 1)
        places = torch.arange(longest, device=device)
        self._attention = (places >= torch.tensor(padding, device=device)[:, None]).long()  # (B, tokens so far)

    def step(self) -> list[Row]:
        """Write one token in each row; return the rows that are done by it and leave the batch."""
        import torch

        with torch.inference_mode():
            logits = self._logits()
            if self.rows[0].matcher is not None:
                logits = self._loaded.constraints.masked(logits, [row.matcher for row in self.rows])
            chosen = _chosen(logits, self.rows, self._sampling)
            for row, token in zip(self.rows, chosen.tolist(), strict=True):
                self._take(row, token)
            done = [row for row in self.rows if row.finish is not None]
            self._inputs = chosen[:, None]
            if done:
                self._keep([at for at, row in enumerate(self.rows) if row.finish is None])
            self._attention = torch.nn.functional.pad(self._attention, (0, 1), value=1)
        return done

    def _logits(self) -> Tensor:
        """Return (B, V) for the next token of each row."""
        length = self._inputs.shape[1]
        places = (self._attention.cumsum(1) - 1).clamp(min=0)[:, -length:]
        known = self._loaded.accepted
        options = {
            "cache" if "cache" in known else "past_key_values": self._cache,
            "use_cache": True,
            "position_ids": places,
            "logits_to_keep": 1,
        }
        options = {name: value for name, value in options.items() if name in known}
        found = self._loaded.model(input_ids=self._inputs, attention_mask=self._attention, **options)
        logits: Tensor = found.logits[:, -1].float()
        return logits

    def _take(self, row: Row, token: int) -> None:
        """Add a token to a row, and see whether the row is done."""
        loaded = self._loaded
        if token in loaded.ends:
            row.finish = "stop"
        else:
            row.tokens.append(token)
            row.most -= 1
            if row.matcher is not None and not row.matcher.consume_token(token):
                row.finish, row.error = "error", f"the constraint failed: {row.matcher.get_error()}"
            elif row.matcher is not None and row.matcher.is_stopped():
                row.finish = "stop"
        if self._watched or row.finish is not None or row.most == 0:
            row.text = loaded.text_of(row.tokens)
        stopped = cut_at_stop(row.text, self._sampling.stop) if self._watched else None
        if stopped is not None and row.finish != "error":
            row.text, row.finish = stopped, "stop"
        elif row.most == 0 and row.finish is None:
            # An end in the middle of a character leaves a mark that nobody wrote.
            row.text, row.finish = row.text.rstrip("\ufffd"), "length"

    def _keep(self, kept: list[int]) -> None:
        import torch

        at = torch.tensor(kept, dtype=torch.long, device=self._inputs.device)
        self.rows = [self.rows[row] for row in kept]
        self._inputs, self._attention = self._inputs[at], self._attention[at]
        if kept:
            self._cache.reorder_cache(at)


def _chosen(logits: Tensor, rows: Sequence[Row], sampling: Sampling) -> Tensor:
    """Return (B,) the next tokens, by one random number of each row."""
    import torch

    if sampling.temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits / sampling.temperature, -1)
    if sampling.top_p < 1:
        probabilities = _nucleus(probabilities, sampling.top_p)
    sums = probabilities.double().cumsum(-1)
    drawn = torch.tensor([[row.rng.random()] for row in rows], dtype=torch.double, device=logits.device)
    # The first token whose sum is above: one of probability 0 never is.
    return torch.searchsorted(sums, drawn * sums[:, -1:], right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)


def _nucleus(probabilities: Tensor, share: float) -> Tensor:
    """Return (B, V) with 0 outside the smallest set of likeliest tokens that has the share.

    Holtzman et al.: The Curious Case of Neural Text Degeneration. ICLR 2020.
    """
    import torch

    top, at = probabilities.topk(min(_LIKELY, probabilities.shape[-1]))
    if bool((top.sum(-1) < share).any()):
        top, at = probabilities.sort(descending=True)
    before = top.cumsum(-1) - top
    return torch.zeros_like(probabilities).scatter(-1, at, top.masked_fill(before >= share, 0))
