"""How a batch of answers is written, token by token.

Rows that are done leave the batch at once, so that the time of a step follows the answers still being written. What a
row says does not depend on the others: each has its own random numbers, and places are counted without the padding.

Shapes: B rows still being written, P tokens of the longest prompt, V tokens of the vocabulary.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from genre.language.base import Finish, Sampling
from genre.language.constraint import Constraints, Matcher
from genre.language.gathering import Gathering
from genre.language.texts import cut_at_stop, held_back

if TYPE_CHECKING:
    from torch import Tensor

    from genre.language.adapters import Adapters

_SHARED = 16
"""Tokens at the beginning of all prompts that are worth reading once for all."""
_LIKELY = 1024
"""Tokens that hold the share `top_p` almost always; all are sorted only where they do not."""


@dataclass(eq=False)
class LoadedModel:
    """A causal language model with its tokenizer."""

    model: Any
    tokenizer: Any
    context: int
    """Tokens of prompt and answer together at most."""
    adapters: Adapters | None = None
    """What can be added to it, row by row."""
    gathering: Gathering = field(default_factory=Gathering, repr=False)
    """Where callers that share it meet."""
    kept: Any = field(default=None, repr=False)
    """The one that its weights are of, which others find for as long as somebody has it."""

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
    adapter: str | None = None
    """Whose answer it is, of the model's adapters; none is the model's as it is."""
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


class Remembered:
    """Keys and values of prompts that were read last, for those that begin like them: a kind's instructions.

    Several threads may use one. It takes memory: for each token of a prompt 2 vectors a layer, of the length of its
    keys, which are 46 KB for the embedded model in fp32 and 0.5 MB for one of 7 billion weights in bf16 whose heads
    share nothing. So at most 4 prompts of 1,024 tokens take 0.2 GB or 2 GB.
    """

    def __init__(self, most: int = 4, longest: int = 1024) -> None:
        """Remember so many prompts, of so many tokens at most; a longer one is read again each time."""
        self._most, self._longest = most, longest
        self._kept: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        self._lock = threading.Lock()

    def beginning(self, prompt: tuple[int, ...], empty: Any) -> tuple[tuple[int, ...], Any]:
        """Return the tokens that a prompt begins with and that are known, and the cache that holds them.

        Args:
            prompt: Its last token is never known, since what follows on it is asked for.
            empty: The cache, which is returned as it is where nothing is known.
        """
        known = self._kept  # It is never changed, only put in the place of another.
        lengths = {kept: _shared([prompt, kept]) for kept in known if kept != prompt}
        if prompt in known:
            lengths[prompt] = len(prompt) - 1
        best = max(lengths, key=lambda kept: lengths[kept], default=None)
        if best is None or lengths[best] == 0:
            return (), empty
        for at, (keys, values) in enumerate(known[best]):
            empty.update(keys[..., : lengths[best], :], values[..., : lengths[best], :], at)
        return prompt[: lengths[best]], empty

    def keep(self, prompt: tuple[int, ...], cache: Any) -> None:
        """Remember a prompt that was read, in the place of the one that has not been read for longest."""
        if len(prompt) > self._longest:
            return
        # What is added to a cache later makes new tensors, and leaves these as they are.
        read = [(layer.keys, layer.values) for layer in cache.layers]
        with self._lock:
            others = [(kept, held) for kept, held in self._kept.items() if kept != prompt]
            self._kept = dict([*others, (prompt, read)][-self._most :])


class Batch:
    """Rows that are written together."""

    def __init__(
        self,
        loaded: LoadedModel,
        rows: Sequence[Row],
        sampling: Sampling,
        *,
        watched: bool = False,
        remembered: Remembered | None = None,
    ) -> None:
        """Prepare; nothing is computed yet.

        Args:
            loaded: The model.
            rows: B rows with prompts, which are changed in place.
            sampling: How the tokens are drawn.
            watched: Whether the text of each row is wanted after each step.
            remembered: Prompts that the same weights have read before. Where the rows have one prompt, what it begins
                with like one of them is not read again.
        """
        import torch
        from transformers import DynamicCache

        self.rows = list(rows)
        self._loaded, self._sampling = loaded, sampling
        self._watched = watched or bool(sampling.stop)
        self._cache: Any = DynamicCache(config=loaded.model.config)
        self._among = sorted({row.adapter for row in rows if row.adapter is not None})
        asked = list(dict.fromkeys((row.adapter, tuple(row.prompt)) for row in rows))
        number = {one: at for at, one in enumerate(asked)}
        self._readers, prompts = [one for one, _ in asked], [prompt for _, prompt in asked]
        """Of each row of the inputs, the adapter that reads it."""
        device = loaded.model.device
        numbers = [number[row.adapter, tuple(row.prompt)] for row in rows]
        self._asks: Tensor | None = torch.tensor(numbers, device=device)
        """(B,) which of the different prompts is each row's."""
        self._remembered = remembered
        self._shared = prompts[0][: _shared(prompts) if self._can_share else 0]
        if remembered is not None and len(prompts) == 1 and self._can_share:
            self._shared, self._cache = remembered.beginning(prompts[0], self._cache)
        rests = [prompt[len(self._shared) :] for prompt in prompts]
        longest = max(map(len, rests))
        padding = torch.tensor([longest - len(rest) for rest in rests], device=device)
        # A row for each different prompt (U, P), later for each that is still being written (B, 1).
        self._inputs = torch.tensor([[0] * (longest - len(rest)) + list(rest) for rest in rests], device=device)
        there = (torch.arange(longest, device=device) >= padding[:, None]).long()
        self._attention = torch.nn.functional.pad(there, (len(self._shared), 0), value=1)  # (U, tokens so far), later B

    def step(self) -> list[Row]:
        """Write one token in each row; return the rows that are done by it and leave the batch."""
        import torch

        with torch.inference_mode():
            asks, self._asks = self._asks, None
            logits = self._logits() if asks is None else self._read(asks)
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

    @property
    def _can_share(self) -> bool:
        """Whether what prompts begin with can be read once: every layer remembers all places, and they are told."""
        from transformers.cache_utils import DynamicLayer

        plain = all(type(layer) is DynamicLayer for layer in self._cache.layers)
        learned = hasattr(self._loaded.model, "get_prompt")  # A learned prompt stands before each.
        return plain and not learned and "position_ids" in self._loaded.accepted

    def _read(self, asks: Tensor) -> Tensor:
        """Read the prompts, what they share and equal ones once; return (B, V)."""
        import torch

        if self._shared and self._cache.get_seq_length() == 0:
            rests, attention, readers = self._inputs, self._attention, self._readers
            self._readers = list(dict.fromkeys(readers))  # Each adapter makes something else of it.
            self._inputs = torch.tensor([self._shared] * len(self._readers), device=rests.device)
            self._attention = torch.ones_like(self._inputs)
            self._logits()
            whose = [self._readers.index(reader) for reader in readers]
            self._cache.reorder_cache(torch.tensor(whose, device=rests.device))
            self._inputs, self._attention, self._readers = rests, attention, readers
        logits = self._logits()
        if self._remembered is not None and len(self._inputs) == 1 and self._can_share:
            self._remembered.keep(tuple(self.rows[0].prompt), self._cache)
        if len(asks) > len(logits):
            self._attention = self._attention[asks]
            self._cache.reorder_cache(asks)
            self._readers = [self._readers[ask] for ask in asks.tolist()]
        return logits[asks]

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
        with self._with_adapters():
            found = self._loaded.model(input_ids=self._inputs, attention_mask=self._attention, **options)
        logits: Tensor = found.logits[:, -1].float()
        return logits

    def _with_adapters(self) -> AbstractContextManager[None]:
        """Return a block in which each row is read and written with its own adapter."""
        adapters = self._loaded.adapters
        return nullcontext() if adapters is None else adapters.chosen(self._readers, self._among)

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
        self.rows, self._readers = [self.rows[row] for row in kept], [self._readers[row] for row in kept]
        self._inputs, self._attention = self._inputs[at], self._attention[at]
        if kept:
            self._cache.reorder_cache(at)


def _shared(prompts: Sequence[tuple[int, ...]]) -> int:
    """Return with how many tokens all prompts begin, so that each has one more; 0 where it is not worth it."""
    if len(prompts) == 1:
        return 0
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    same = next((at for at in range(most) if first[at] != last[at]), most)
    return same if same >= _SHARED else 0


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
