"""A text encoder some of whose weights learn.

Shapes: R rows, L tokens of the longest, H numbers of a hidden state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ConfigError
from genre.language.minilm import MiniLmConfig
from genre.language.sentence import SentenceEncoderConfig
from genre.language.tuning import LAYER, TuningConfig, open_weights, take_back

if TYPE_CHECKING:
    from torch import Tensor

EncoderMethod: TypeAlias = Literal["frozen", "last_layers", "full"]
LearningEncoderConfig: TypeAlias = MiniLmConfig | SentenceEncoderConfig
"""Encoders whose weights are here, in a form that can learn."""
METHODS: tuple[EncoderMethod, ...] = ("frozen", "last_layers", "full")
"""Of the ways to tune, those that an encoder knows."""


class TunedEncoder:
    """The transformer of a sentence encoder, in float32, with its tokenizer; it reads tokens and gives hidden states.

    Rows are padded here and what pads is hidden, so that a tokenizer need not have a token for that.
    """

    def __init__(self, config: LearningEncoderConfig, tuning: TuningConfig) -> None:
        """Load the encoder, and open what learns.

        Args:
            config: Which encoder; its own precision is for reading alone, and learning takes float32.
            tuning: One of `METHODS`.

        Raises:
            ConfigError: The encoder is no transformer, or its layers are not numbered.
            DependencyError: It is not there.
        """
        encoder = config.model_copy(update={"precision": "fp32"}).build()
        self.key, whole = encoder.key, encoder.load_own()
        body, tokenizer = whole.transformers_model, getattr(whole[0], "tokenizer", None)
        if body is None or not callable(tokenizer):
            raise ConfigError(
                f"the encoder is a {type(whole[0]).__name__}, which has no transformer that could learn",
                place="vectors.encoder",
                remedy="Choose `minilm` or another transformer, or `reader: vectors`.",
            )
        self.body: Any = body
        self.tokenizer: Any = tokenizer
        self.context = int(whole.max_seq_length or self.body.config.max_position_embeddings)
        """Tokens of a row at most."""
        self.body.requires_grad_(False)
        open_weights(self.body, tuning)
        self.names = frozenset(name for name, weight in self.body.named_parameters() if weight.requires_grad)
        self._known = frozenset(signature(self.body.forward).parameters)

    def tokens(self, text: str) -> list[int]:
        """Return a text as tokens, without those that mark its ends."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def hidden(self, rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
        """Return hidden states (R, L, H) of pairs of texts as tokens, and which of them are there (R, L).

        A row is ``[CLS] first [SEP] second [SEP]``, as far as the tokenizer has such marks.
        """
        import torch

        begin, end = ([] if mark is None else [mark] for mark in self._marks)
        lines = [([*begin, *first, *end], [*second, *end]) for first, second in rows]
        longest = max(len(first) + len(second) for first, second in lines)
        tokens, there, kinds = (np.zeros((len(lines), longest), np.int64) for _ in range(3))
        for at, (first, second) in enumerate(lines):
            size = len(first) + len(second)
            tokens[at, :size], there[at, :size], kinds[at, len(first) : size] = [*first, *second], 1, 1
        device = self.body.device
        inputs = {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(there)}
        if "token_type_ids" in self._known and getattr(self.body.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = torch.from_numpy(kinds)
        found = self.body(**{name: part.to(device) for name, part in inputs.items()}).last_hidden_state
        return found, inputs["attention_mask"].bool().to(device)

    def layer_of(self, name: str) -> int | None:
        """Return how many layers lie between a weight and the output; vectors of tokens are the farthest."""
        found, count = LAYER.search(name), int(self.body.config.num_hidden_layers)
        return count - 1 - int(found.group(1)) if found else count if "embeddings" in name else None

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, and nothing of the base."""
        weights = self.body.named_parameters()
        return {name: weight.detach().cpu().float().numpy() for name, weight in weights if name in self.names}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state` returned.

        Raises:
            ModelError: It is of an encoder with other layers.
        """
        own = {name: weight for name, weight in self.body.named_parameters() if name in self.names}
        take_back(own, state, "encoder", "vectors.encoder")

    @property
    def _marks(self) -> tuple[int | None, int | None]:
        return self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
