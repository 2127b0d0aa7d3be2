"""JSON by a schema, and nothing else: before each token, those that the schema does not allow are taken away.

Shapes: B rows of a batch, V tokens of the vocabulary.

Koo, Liu, He: Automata-based constraints for language model decoding. COLM 2024. The work is done by llguidance.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from genre.core.errors import ConfigError
from genre.language.base import Schema

if TYPE_CHECKING:
    from torch import Tensor

Matcher: TypeAlias = Any
"""Follows one answer: `llguidance.LLMatcher`."""

_LAYOUT: Any = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
"""How JSON is spaced in most of what models have read. Free spacing lets small models write blanks until the end."""


class Constraints:
    """Makes matchers for one tokenizer, and applies those of a batch at once."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: frozenset[int]) -> None:
        """Read the vocabulary, which takes about a second.

        Args:
            tokenizer: A fast tokenizer of `transformers`.
            vocabulary: V, which may be more than the tokenizer has.
            ends: The tokens that end an answer.

        Raises:
            ConfigError: The tokenizer is not a fast one.
        """
        import llguidance
        import llguidance.hf

        try:
            size = max(vocabulary, len(tokenizer))
            self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=size, eos_token=sorted(ends))
        except ValueError as error:
            raise ConfigError(
                f"the tokenizer {type(tokenizer).__name__!r} cannot be held to a schema: {error}",
                place="generator.model",
                remedy="Choose a model with a file `tokenizer.json`.",
            ) from error
        self._executor = llguidance.LLExecutor()

    def matcher(self, schema: Schema) -> Matcher:
        """Return a matcher at the beginning of an answer; `deep_copy` gives further ones.

        Raises:
            ConfigError: The schema is none, or asks for what cannot be held.
        """
        import llguidance

        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(dict(schema)), overrides=_LAYOUT)
            matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
            problem = matcher.get_error()
        except ValueError as error:
            problem = str(error)
        if problem:
            raise ConfigError(
                f"answers cannot be held to this JSON Schema: {problem.strip().splitlines()[0]}",
                place="schema",
                remedy="Correct it, or leave out the keyword that is named.",
            )
        return matcher

    def masked(self, logits: Tensor, matchers: list[Matcher]) -> Tensor:
        """Return logits (B, V) with minus infinity for what is not allowed next."""
        import llguidance.numpy
        import torch

        bits = llguidance.numpy.allocate_token_bitmask(len(matchers), self._tokenizer.vocab_size)
        places = [(matcher, row) for row, matcher in enumerate(matchers)]
        llguidance.numpy.fill_next_token_bitmask_par(self._executor, places, bits)
        allowed = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, : logits.shape[1]]
        return logits.masked_fill(torch.from_numpy(allowed == 0).to(logits.device), float("-inf"))
