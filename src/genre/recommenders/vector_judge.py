"""Judges pairs of texts by their vectors, which a frozen encoder has made: what `text_classifier` is by default.

Shapes: I items, D numbers of a text vector, F features, N pairs, T texts of users, K grades.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from genre.core.parts import below, with_prefix
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities
from genre.features.text import estimate_tokens
from genre.features.vectors import TextVectors
from genre.recommenders.base import State
from genre.recommenders.classifier_heads import Head, MlpHeadConfig, fit_head, restored_head
from genre.recommenders.labelled_pairs import Pairs
from genre.recommenders.pair_judge import NO_CURVE, Floats, PairJudgeConfig, likelihood_on
from genre.recommenders.trained import fit_network, network_state, take_parameters

if TYPE_CHECKING:
    from torch import nn

_HEAD, _READER = "head.", "reader."
_BLOCK = 4096
"""Pairs whose features are held at once."""


class VectorJudge:
    """A head decides on ``[u, v, u * v, |u - v|]``, standardised: u the vector of the user's text, v of the item's.

    Conneau et al.: Supervised Learning of Universal Sentence Representations from Natural Language Inference Data.
    EMNLP 2017.
    """

    reader: TextVectors
    vectors: NDArray[np.float32]
    """(I, D) of the items' texts."""
    spread: NDArray[np.float32]
    """(2, F) mean and standard deviation of the features."""

    def __init__(self, config: PairJudgeConfig) -> None:
        """Keep the settings."""
        self.config, self.curve = config, NO_CURVE
        self.head: Head | None = None
        self.network: nn.Module | None = None

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(I,) items with a text."""
        return np.asarray(self.vectors.any(axis=1))

    def prepare(self, data: Dataset, run: RunContext) -> Self:
        """Read the items.

        Raises:
            DataError: No item has a text.
            DependencyError: The encoder is not there.
        """
        known = data.interactions.item_counts(data.num_items) > 0
        self.reader, self.vectors = TextVectors.fit(self.config.vectors, data.items, known, run)
        return self

    def count(self, text: str) -> int:
        """Return about how many tokens a text takes: encoders that are frozen do not say."""
        return estimate_tokens(text)

    def learn(self, pairs: Pairs, apart: Pairs, num_grades: int, run: RunContext, data: Dataset) -> None:
        """Learn from all pairs or, with an MLP, until those set apart are told no better.

        Raises:
            ModelError: The loss is not a number.
        """
        head, rng = self.config.head, run.rng("text_classifier.head")
        users = self.reader.of_texts(pairs.texts)
        features = self._raw(users[pairs.text_of], pairs.item_rows)
        deviation = features.std(axis=0)
        self.spread = np.stack([features.mean(axis=0), np.where(deviation > 1e-6, deviation, 1)])
        features = (features - self.spread[0]) / self.spread[1]
        if not isinstance(head, MlpHeadConfig):
            self.head = fit_head(head, features, pairs.labels, num_grades, rng)
            return
        import torch

        from genre.training.labelled import Classes

        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**63)))
            self.network = self._new_network(features.shape[1], num_grades)
        inputs, labels = torch.from_numpy(features), torch.from_numpy(pairs.labels)
        training = self.config.training
        objective = Classes(
            len(labels),
            lambda rows: (inputs[torch.from_numpy(rows)], labels[torch.from_numpy(rows)]),
            batch_size=training.batch_size,
            parts=training.accumulate,
        )
        validate = likelihood_on(self, apart)
        self.curve = fit_network(
            self.network, objective, self.config, run, data=data, training=training, validate=validate
        )

    def probabilities(
        self, texts: Sequence[str], text_of: NDArray[np.integer], item_rows: NDArray[np.integer]
    ) -> Floats:
        """Return (N, K), worked out in blocks."""
        users = self.reader.of_texts(list(texts))
        parts = []
        for start in range(0, len(item_rows), _BLOCK):
            rows = slice(start, start + _BLOCK)
            features = (self._raw(users[text_of[rows]], item_rows[rows]) - self.spread[0]) / self.spread[1]
            parts.append(self._decided(features))
        return np.concatenate(parts)

    def index(self, items: Entities, run: RunContext) -> Self:
        """Return one that has read the new items too."""
        longer = copy(self)
        new = self.reader.of_items(items.behind(len(self.vectors)), run)
        longer.vectors = np.concatenate([self.vectors, new])
        return longer

    def state(self) -> State:
        """Return the vectors, what reading has learned, and the head."""
        reading = with_prefix(_READER, self.reader.state())
        if self.head is not None:
            head = with_prefix(_HEAD, self.head.state())
        else:
            assert self.network is not None  # noqa: S101
            head = network_state(self.network)
        return {**reading, **head, "vectors": self.vectors, "spread": self.spread, "curve": self.curve}

    def restore(self, state: State, num_grades: int) -> None:
        """Take all of it back."""
        self.vectors, self.spread, self.curve = state["vectors"], state["spread"], state["curve"]
        self.reader = TextVectors.restore(self.config.vectors, below(_READER, state))
        head = below(_HEAD, state)
        if head:
            self.head = restored_head(head)
        else:
            self.network = self._new_network(self.spread.shape[1], num_grades)
            take_parameters(self.network, state)

    def _raw(self, users: Floats, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return (N, F), F = 4 D."""
        items = self.vectors[item_rows]
        return np.concatenate([users, items, users * items, np.abs(users - items)], axis=1).astype(np.float32)

    def _decided(self, features: Floats) -> Floats:
        if self.head is not None:
            return self.head.probabilities(features)
        import torch

        assert self.network is not None  # noqa: S101
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            found: Floats = self.network(torch.from_numpy(features).to(device)).softmax(1).cpu().numpy()
        return found

    def _new_network(self, num_features: int, num_grades: int) -> nn.Module:
        from genre.recommenders.pair_reader import head_of

        assert isinstance(self.config.head, MlpHeadConfig)  # noqa: S101
        return head_of(self.config.head, num_features, num_grades).eval()
