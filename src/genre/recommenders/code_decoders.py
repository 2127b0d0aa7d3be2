"""What says the codes of `semantic_id`: a network of its own, or a language model that gets them as new tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.recommenders.base import DataSize, Estimate
from genre.recommenders.learning_language import FEW_EPOCHS, LanguageSettings, LearningLanguage
from genre.training.config import TrainingConfig

_HIDDEN = 576
"""Numbers of a hidden state of the embedded model, for the estimate."""
_WORDS = 64
"""Tokens of a text that its codes begin as."""


class ScratchConfig(Config):
    """A small transformer that knows nothing yet, of the sizes that `semantic_id` names."""

    kind: Literal["scratch"] = "scratch"


class PretrainedConfig(LanguageSettings):
    """A language model that reads and says items as new tokens, one for each code of each level.

    The new tokens' rows always learn, and of the model what `tuning` says. Its own tokens' rows stay as they are, and
    it writes with these alone.
    """

    new_tokens: ClassVar[bool] = True
    kind: Literal["pretrained"] = "pretrained"
    begin_with_words: bool = True
    """Whether a code begins as what its items' texts say, to the language model, and not at random."""
    training: TrainingConfig = FEW_EPOCHS
    """Few epochs: an item takes as many places as it has codes, so that a pass takes long."""

    def estimate_codes(self, size: DataSize, num_levels: int, asked: int) -> Estimate:
        """Say what fitting takes: an event is a token for each code, read forwards and backwards; questions, forwards.

        Args:
            size: Of the data.
            num_levels: Codes of an item.
            asked: Items and beams that an epoch's validation reads.
        """
        reading = self.estimate_reading(size, (size.num_events + asked / 3) * num_levels)
        vectors = 12 * num_levels * _HIDDEN * size.num_items
        return Estimate(memory=reading.memory + vectors, seconds=reading.seconds + 5e-3 * size.num_items)

    def load(self, sizes: Sequence[int], length: int, run: RunContext, *, total_steps: int = 0) -> LearningLanguage:
        """Load the language model, with a new token for each code.

        Args:
            sizes: Of each level, how many codes there are.
            length: Items of a history.
            run: Shows how far loading has come.
            total_steps: Of the training to come; none to answer.

        Raises:
            ConfigError: It reads less than such a history, or has no layers of the names in `tuning.modules`.
            DependencyError: It is not there.
        """
        language = LearningLanguage(self, run, total_steps=total_steps, new_tokens=sum(sizes))
        tokens, most = (length + 1) * len(sizes), language.loaded.context
        if tokens > most:
            raise ConfigError(
                f"{length} items and the next one take {tokens:,} tokens, and the language model reads {most:,}",
                place="semantic_id.length",
                remedy=f"Take {max(1, most // len(sizes) - 1)} at most, or fewer `levels`.",
            )
        return language

    def begin(
        self,
        language: LearningLanguage,
        texts: Sequence[str],
        codes: NDArray[np.int64],
        coded: NDArray[np.bool_],
        sizes: Sequence[int],
    ) -> None:
        """Write what codes begin as, if it shall not be left to chance.

        Args:
            language: Of `load`.
            texts: Of the items.
            codes: (I, S) of each.
            coded: (I,) those that have codes.
            sizes: Of each level, how many codes there are.
        """
        import torch

        from genre.recommenders.code_language import begin_with_words

        if self.begin_with_words:
            known = [text if has else "" for text, has in zip(texts, coded, strict=True)]
            tokens = language.loaded.tokenizer(known, add_special_tokens=False, verbose=False)["input_ids"]
            begin_with_words(language.tuned, [row[:_WORDS] for row in tokens], torch.from_numpy(codes), sizes)


Decoder: TypeAlias = Annotated[ScratchConfig | PretrainedConfig, Field(discriminator="kind")]
