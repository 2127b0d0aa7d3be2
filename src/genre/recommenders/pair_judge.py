"""What says how much a user would like an item, by the texts of both: the contract of the readers of `text_classifier`.

`VectorJudge` compares vectors that an encoder has made of the texts; `ReadingJudge` lets a transformer read both.

Shapes: I items, N pairs, T texts of users, K grades.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.features.vectors import VectorsConfig
from genre.language.minilm import MiniLmConfig
from genre.language.sentence import SentenceEncoderConfig
from genre.language.smollm import SmolLmConfig
from genre.language.tuned_encoder import METHODS
from genre.language.tuning import TuningConfig
from genre.recommenders.base import RecommenderConfig, State
from genre.recommenders.classifier_heads import AnyHead, ForestHeadConfig, LinearHeadConfig, SvmHeadConfig
from genre.recommenders.labelled_pairs import Pairs
from genre.recommenders.learning_language import LanguageRecommenderConfig
from genre.training.config import TrainingConfig

if TYPE_CHECKING:
    pass

Floats: TypeAlias = NDArray[np.floating]
NAME = "text_classifier"
NO_CURVE = np.empty((0, 2))
"""Of what is not trained in epochs."""
_USUAL: dict[str, dict[str, Any]] = {
    "encoder": {
        "tuning": {"method": "last_layers"},
        "training": {"epochs": 3, "batch_size": 16, "learning_rate": 1e-4, "clip_norm": 1.0, "warm_up_steps": 20},
    },
    "language": {
        "training": {
            "epochs": 2,
            "batch_size": 8,
            "learning_rate": 3e-4,
            "precision": "bf16",
            "clip_norm": 1.0,
            "warm_up_steps": 20,
        },
    },
}
"""Defaults that suit what is fine-tuned."""


class PairJudgeConfig(LanguageRecommenderConfig):
    """What reads pairs of texts, and what decides."""

    reader: Literal["vectors", "encoder", "language"] = "vectors"
    """`vectors`: a frozen encoder reads each text once, and the head compares vectors. `encoder`: the encoder of
    `vectors` reads each pair, and learns as `tuning` says. `language`: the language model `base` does."""
    head: AnyHead = LinearHeadConfig()
    """What decides; `svm` and `forest` decide on vectors alone."""
    vectors: VectorsConfig = VectorsConfig()
    """Which text of an item, and which encoder; whitening is for vectors alone."""
    user_tokens: int = Field(default=96, ge=4)
    """Tokens of what is known of a user at most; the oldest likes are left out first."""
    max_pairs: int = Field(default=10_000, ge=10)
    """Pairs of the log that are learned from; which ones depends on the seed."""
    training: TrainingConfig = TrainingConfig(epochs=30, batch_size=32, learning_rate=1e-3, patience=4)
    """Of an MLP on vectors; what is fine-tuned has other defaults: few epochs, small steps."""

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, value: Any) -> Any:
        reader = value.get("reader") if isinstance(value, dict) else None
        return {**_USUAL.get(reader, {}), **value} if isinstance(reader, str) else value

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> PairJudgeConfig:
        """Refuse what this reader would take no notice of."""
        head, encoder = self.head, self.vectors.encoder
        if self.reader == "vectors" and self.tuning != TuningConfig():
            raise ValueError(
                "`tuning` says what learns of a transformer, and vectors are frozen: choose another `reader`"
            )
        if self.reader != "vectors" and isinstance(head, SvmHeadConfig | ForestHeadConfig):
            raise ValueError(f"`head` {head.kind!r} decides on vectors alone: take `linear` or `mlp`")
        if self.reader != "vectors" and isinstance(head, LinearHeadConfig) and head != LinearHeadConfig():
            raise ValueError("`head.penalty` is for vectors: set `training.weight_decay`")
        if self.reader == "encoder" and not isinstance(encoder, MiniLmConfig | SentenceEncoderConfig):
            raise ValueError(
                f"`vectors.encoder` {encoder.kind!r} cannot learn: take `minilm` or `sentence_transformers`"
            )
        if self.reader == "encoder" and self.tuning.method not in METHODS:
            raise ValueError(
                f"`tuning.method` {self.tuning.method!r} is of language models: encoders know {list(METHODS)}"
            )
        if self.reader != "language" and (self.protect.is_on or self.base != SmolLmConfig()):
            raise ValueError("`protect` and `base` are of a language model: set `reader: language`, or leave them out")
        return self

    @property
    def reads(self) -> VectorsConfig | None:
        """The items' texts, where vectors are made of them."""
        return self.vectors if self.reader == "vectors" else None

    @property
    def learning_encoder(self) -> MiniLmConfig | SentenceEncoderConfig:
        """The encoder that reads pairs and learns."""
        assert isinstance(self.vectors.encoder, MiniLmConfig | SentenceEncoderConfig)  # noqa: S101
        return self.vectors.encoder

    def check_installed(self) -> None:
        """Make sure that the libraries of the reader are there.

        Raises:
            DependencyError: One of them is not.
        """
        if self.reader == "language":
            super().check_installed()
            return
        RecommenderConfig.check_installed(self)
        self.vectors.check_installed()


class PairJudge(Protocol):
    """Says how likely each grade of a pair is."""

    config: PairJudgeConfig
    curve: NDArray[np.float64]
    """(epochs, 2) training loss, and the mean log-probability of the right grade on pairs set apart; of a network."""

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(I,) items with a text."""

    def prepare(self, data: Dataset, run: RunContext) -> Self:
        """Read the items, and load what reads."""

    def count(self, text: str) -> int:
        """Return how many tokens a text takes."""

    def learn(self, pairs: Pairs, apart: Pairs, num_grades: int, run: RunContext, data: Dataset) -> None:
        """Learn from some pairs; networks look at others to find the best epoch."""

    def probabilities(
        self, texts: Sequence[str], text_of: NDArray[np.integer], item_rows: NDArray[np.integer]
    ) -> Floats:
        """Return (N, K) for pairs of one of the texts (T,) and an item."""

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return one that knows the new items too."""

    def state(self) -> State:
        """Return what was learned."""

    def restore(self, state: State, num_grades: int) -> None:
        """Take it back."""


def likelihood_on(judge: PairJudge, pairs: Pairs) -> Callable[[], float] | None:
    """Return what tells the mean log-probability of the right grades by now, or None where there are no pairs."""
    if not len(pairs):
        return None

    def value() -> float:
        found = judge.probabilities(pairs.texts, pairs.text_of, pairs.item_rows)
        return float(np.log(np.maximum(found[np.arange(len(pairs)), pairs.labels], 1e-9)).mean())

    return value
