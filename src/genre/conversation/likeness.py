"""Which items go with a wish in free words, or with another item: by an encoder over their texts, and by their labels.

Shapes: I items, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genre.core.run import RunContext
from genre.core.words import is_unspaced
from genre.data.dataset import Entities
from genre.features.enrich.checks import content_words
from genre.features.text import Language, TextConfig, has_text, item_texts
from genre.features.vectors import TextVectors, VectorsConfig
from genre.language.encoders import AnyEncoder

NEAR: Final = 0.25
_LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
_LEAST_SHARE: Final = 1 / 3
_PARTICLES: Final = frozenset("的了在是和与及着过得地之其一个这那有也都就又很想看要片点部")
"""Characters that make no word with those beside them."""


class Likeness:
    """Reads the items' texts when it is first asked in a language, and keeps `I * D` numbers for each."""

    def __init__(self, items: Entities, encoder: AnyEncoder, run: RunContext) -> None:
        """Read nothing yet.

        Args:
            items: The catalogue.
            encoder: What reads.
            run: Store of what was read before, and progress.
        """
        self._items, self._encoder, self._run = items, encoder, run
        self._has_text = has_text(items)
        self._read = cache(self._vectors)
        self._words = cache(self._content_words)
        self._labels = cache(self._label_sets)

    def to_text(self, text: str) -> NDArray[np.float32]:
        """Return (I,) how near each item is to a wish; minus infinity for what is not near at all.

        Its texts in both languages count, since a wish holds on when the person goes on in the other language.

        It is the cosine, plus the share of the wish's words that the item's text holds, rare words counting more. An
        item is near if it holds a third of them or if its cosine is at least `NEAR`: encoders that know no meaning
        give small ones by chance.
        """
        if not self._has_text:
            return np.full(len(self._items), -np.inf, np.float32)
        return np.maximum(*(self._near(text, language) for language in _LANGUAGES))

    def to_items(self, rows: Sequence[int], language: Language) -> NDArray[np.float32]:
        """Return (I,) how alike each item is to some: the mean cosine of texts, plus the mean share of labels."""
        found = np.zeros(len(self._items), np.float32)
        labels = self._labels()
        for row in rows:
            if self._has_text:
                _, vectors = self._read(language)
                found += vectors @ vectors[row]
            own = labels[row]
            found += np.array([len(own & other) / max(1, len(own | other)) for other in labels], np.float32)
        return np.asarray(found / max(1, len(rows)), np.float32)

    def speaks_of(self, text: str) -> NDArray[np.bool_]:
        """Return (I,) whether an item's text in any language has a word of another text that says something."""
        found = np.zeros(len(self._items), bool)
        wanted = content_words([text])
        for language in _LANGUAGES:
            if is_unspaced(text):
                # Of Chinese, pairs of characters are no words: what was said must stand there as it was said.
                found |= np.array([text in one for one in self._texts(language)], bool)
            else:
                found |= np.array([bool(wanted & words) for words in self._words(language)], bool)
        return found

    def _near(self, text: str, language: Language) -> NDArray[np.float32]:
        reader, vectors = self._read(language)
        cosines = vectors @ reader.of_texts([text])[0]
        held = self._share_of_words(text, language)
        near = (held >= _LEAST_SHARE) | (cosines >= NEAR)
        return np.asarray(np.where(near, cosines + held, -np.inf), np.float32)

    def _share_of_words(self, text: str, language: Language) -> NDArray[np.float64]:
        texts = self._words(language)
        wanted = [word for word in content_words([text]) if not set(word) & _PARTICLES or word.isascii()]
        held = np.array([[word in words for word in wanted] for words in texts], bool).reshape(len(texts), len(wanted))
        weights = np.log(1 + len(texts) / (1 + held.sum(0)))
        return np.asarray(held @ weights / max(1e-9, float(weights.sum())), np.float64)

    def _texts(self, language: Language) -> list[str]:
        return item_texts(self._items, TextConfig(language=language), required=False)

    def _content_words(self, language: Language) -> list[frozenset[str]]:
        return [content_words([text]) for text in self._texts(language)]

    def _vectors(self, language: Language) -> tuple[TextVectors, NDArray[np.float32]]:
        config = VectorsConfig(text=TextConfig(language=language), encoder=self._encoder, whitening=None)
        return TextVectors.fit(config, self._items, np.ones(len(self._items), bool), self._run)

    def _label_sets(self) -> list[frozenset[tuple[str, str]]]:
        columns = [(name, self._items.frame[name].to_list()) for name in self._items.roles.category]
        return [
            frozenset(
                (name, str(label))
                for name, cells in columns
                for label in (cells[row] if isinstance(cells[row], list) else [cells[row]])
                if label is not None
            )
            for row in range(len(self._items))
        ]
