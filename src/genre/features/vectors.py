"""From the columns of items or users to vectors that recommenders can learn from: text, encoder, whitening.

Shapes: I items, K of them known, V versions, N texts, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre.core.config import Config
from genre.core.errors import ModelError
from genre.core.run import RunContext
from genre.data.dataset import Entities
from genre.data.privacy import mask_all
from genre.features.store import ContentStore
from genre.features.text import TextConfig, clean_text, item_texts
from genre.features.versions import VersionsConfig, version_texts
from genre.language.base import LearnsFromTexts, Role, TextEncoder
from genre.language.encoders import AnyEncoder
from genre.language.minilm import MiniLmConfig
from genre.language.whitening import Whitening, WhiteningConfig

_ENCODER, _WHITENING, _SIZE = "encoder.", "whitening.", "size"


class VectorsConfig(Config):
    """How items become vectors by what they say of themselves."""

    text: TextConfig = TextConfig()
    """Which columns make an item's text."""
    encoder: AnyEncoder = MiniLmConfig()
    """What reads the text. `hashing` needs no model and knows every language; the default knows English best."""
    whitening: WhiteningConfig | None = WhiteningConfig()
    """Brings all directions to the same spread, fitted on the items of the training log; none leaves the encoder's
    vectors as they are. Sentence encoders crowd their vectors into a narrow cone, in which all items look alike."""

    def check_installed(self) -> None:
        """Make sure that the encoder's libraries are there.

        Raises:
            DependencyError: One of them is not.
        """
        self.encoder.check_installed()


class TextVectors:
    """An encoder and a whitening that have seen the training items, and turn any text into a vector of length 1."""

    def __init__(
        self,
        config: VectorsConfig,
        encoder: TextEncoder | None = None,
        whitening: Whitening | None = None,
        size: int | None = None,
    ) -> None:
        """Put the parts together; the encoder's model is loaded when a text is not in the store."""
        self.config = config
        self._run = RunContext()
        self.encoder = config.encoder.build() if encoder is None else encoder
        self.whitening = whitening
        self.size = size
        """Numbers of a vector before whitening; None where nothing was read yet."""

    @classmethod
    def fit(
        cls, config: VectorsConfig, items: Entities, known: NDArray[np.bool_], run: RunContext
    ) -> tuple[Self, NDArray[np.float32]]:
        """Learn from the items that are `known` (I,) in training, and return all items' vectors (I, D) too.

        Raises:
            DataError: The items have no text at all.
            DependencyError: The encoder, or a model that it needs, is not there.
        """
        vectors = cls(config)
        texts = item_texts(items, config.text)
        if isinstance(vectors.encoder, LearnsFromTexts):
            vectors.encoder = vectors.encoder.fit([text for text, wanted in zip(texts, known, strict=True) if wanted])
        vectors._run = run
        raw = vectors._encoded(texts, "item")
        vectors.size = raw.shape[1]
        if config.whitening is not None:
            vectors.whitening = Whitening.fit(raw[known & raw.any(axis=1)], config.whitening)
        return vectors, vectors._whitened(raw)

    def of_items(self, items: Entities, run: RunContext) -> NDArray[np.float32]:
        """Return (I, D) vectors; zeros for an item without text.

        Raises:
            ModelError: The encoder gives vectors of another size than when the model was fitted.
        """
        self._run = run
        return self._whitened(self._encoded(item_texts(items, self.config.text, required=False), "item"))

    def moved(self, items: Entities, run: RunContext, *, align: bool) -> tuple[Self, NDArray[np.float32]]:
        """Return what reads another catalogue so that what was learned of this one holds there, and its vectors (I, D).

        Args:
            items: The other catalogue.
            run: Its store and progress.
            align: Whether its texts as a whole are spread as those that this was fitted on: see `Whitening.aligned`.

        Raises:
            DataError: None of the items has a text.
            ModelError: The encoder gives vectors of another size than when the model was fitted.
        """
        other = type(self)(self.config, self.encoder, self.whitening, self.size)
        other._run = run
        raw = other._encoded(item_texts(items, self.config.text), "item")
        if align and self.whitening is not None and self.config.whitening is not None:
            other.whitening = self.whitening.aligned(raw, self.config.whitening.strength)
        return other, other._whitened(raw)

    def versions(
        self, items: Entities, known: NDArray[np.bool_], config: VersionsConfig, run: RunContext
    ) -> NDArray[np.float32]:
        """Return (V, K, D) vectors of other versions of the `known` items' texts, for training alone.

        Nothing is learned from them here. Needs `V * K * D` floats.

        Raises:
            ConfigError: There are none of those that are wanted.
        """
        self._run = run
        versions = version_texts(items, known, self.config.text, config)
        different = list(dict.fromkeys(text for texts in versions for text in texts))
        if not different:
            return np.zeros((0, int(known.sum()), self.size or 0), np.float32)
        rows = {text: row for row, text in enumerate(different)}
        found: NDArray[np.float32] = self._whitened(self._encoded(different, "item"))[
            np.array([[rows[text] for text in texts] for texts in versions])
        ]
        return found

    def of_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (N, D) vectors of what somebody asks for or is said to like; zeros for nothing at all.

        They are kept in the store of the run that items were read for last, if there was one.
        """
        return self._whitened(self._encoded([clean_text(text) for text in texts], "query"))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned."""
        found: dict[str, NDArray[Any]] = {_SIZE: np.array([self.size])}
        if isinstance(self.encoder, LearnsFromTexts):
            found |= {_ENCODER + name: value for name, value in self.encoder.state().items()}
        if self.whitening is not None:
            found |= {_WHITENING + name: value for name, value in self.whitening.state().items()}
        return found

    @classmethod
    def restore(cls, config: VectorsConfig, state: Mapping[str, NDArray[Any]]) -> Self:
        """Build from what `state` returned; other names in `state` are left alone."""
        encoder = config.encoder.build()
        if isinstance(encoder, LearnsFromTexts):
            encoder = encoder.restored(_part(state, _ENCODER))
        learned = _part(state, _WHITENING)
        return cls(config, encoder, Whitening.restore(learned) if learned else None, int(state[_SIZE][0]))

    def _encoded(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        run = self._run
        if not self.config.encoder.local:  # What leaves the machine names nobody.
            texts = mask_all(pl.Series(texts, dtype=pl.String))[0].to_list()
        if run.store is None:
            found = self.encoder.encode(texts, role=role, progress=run.progress)
        else:
            found = ContentStore.open(run.store).vectors(self.encoder, texts, role=role, progress=run.progress)
        if self.size is None or found.shape[1] == self.size:
            return found
        if not any(texts):  # An endpoint that was not asked does not say what size it has.
            return np.zeros((len(texts), self.size), np.float32)
        raise ModelError(
            f"the encoder's vectors have {found.shape[1]} numbers, those that the model was fitted with {self.size}",
            place=f"encoder {self.encoder.key!r}",
            remedy="Use the encoder of that time again, or fit the model anew.",
        )

    def _whitened(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.whitening is None:
            return raw
        found = self.whitening.transform(raw)
        found[~raw.any(axis=1)] = 0
        return found


def _part(state: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
