"""Words and pieces of words, weighted by how rare they are and hashed: an encoder for any language, without a model.

Shapes: N texts, B buckets, D numbers of a vector.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import sparse

from genre.core.errors import ModelError
from genre.core.run import Progress, Silent
from genre.core.words import is_unspaced, words_of
from genre.language.base import EncoderConfig, Role, unit_rows
from genre.language.texts import short_key

_CHUNK = 4096
"""Texts hashed at a time."""


class HashingEncoderConfig(EncoderConfig):
    """TF-IDF of words and of pieces of words, hashed to vectors of a fixed size."""

    kind: Literal["hashing"] = "hashing"
    size: int = Field(default=1024, ge=2)
    """Numbers of a vector. The inner product of two texts is off by about ``1 / sqrt(size)``."""
    buckets: int = Field(default=2**18, ge=4)
    """Hash values that words and pieces are told apart by; the weight of each is learned."""
    shortest: int = Field(default=3, ge=1)
    """Characters of the shortest pieces of a word."""
    longest: int = Field(default=5, ge=1)
    """Characters of the longest; pieces make `lipsticks` like `lipstick`, whatever the language."""

    @model_validator(mode="after")
    def _fits(self) -> HashingEncoderConfig:
        if self.buckets < 2 * self.size:
            raise ValueError(f"buckets must be at least twice the size, {2 * self.size}, not {self.buckets}")
        if self.longest < self.shortest:
            raise ValueError(f"longest must be at least shortest, {self.shortest}, not {self.longest}")
        return self

    def build(self) -> HashingEncoder:
        """Return an encoder that has still to see texts."""
        return HashingEncoder(self)


class HashingEncoder:
    """Counts words and pieces of words, weighs them by rarity and folds them into D numbers.

    - A word in angle brackets and its pieces of `shortest` to `longest` characters are hashed into B buckets. The
      pieces of a word have the same say together as the word itself. Chinese and Japanese give characters and pairs of
      them. A text without any word, of emoji for instance, gives its characters.
    - Term frequency of a word: ``1 + log(count)``. Rarity of a bucket: ``log((1 + N) / (1 + N_b)) + 1``, with N_b the
      texts that fall into it, learned by `fit`.
    - Bucket b goes to number ``b mod D`` with the sign of ``b div D``, which keeps inner products on average; their
      error has a standard deviation of about ``1 / sqrt(D)``.

    Weinberger et al.: Feature Hashing for Large Scale Multitask Learning. ICML 2009; Bojanowski et al.: Enriching Word
    Vectors with Subword Information. TACL 2017 (pieces of words).
    """

    def __init__(self, config: HashingEncoderConfig, rarity: NDArray[np.float32] | None = None) -> None:
        """Keep the settings, and the weight of each bucket (B,) where it was learned."""
        self.config = config
        self._rarity = rarity
        learned = None if rarity is None else hashlib.sha256(rarity.tobytes()).hexdigest()
        self._key = short_key(**config.model_dump(), learned=learned)

    @property
    def key(self) -> str:
        """Return a hash of the settings and of what was learned."""
        return self._key

    def fit(self, texts: Sequence[str]) -> HashingEncoder:
        """Return the encoder that knows how rare each word and piece is in these texts."""
        found = np.zeros(self.config.buckets, np.int64)
        for start in range(0, len(texts), _CHUNK):
            found += np.bincount(self._counted(texts[start : start + _CHUNK]).indices, minlength=len(found))
        rarity = np.log((1 + len(texts)) / (1 + found)) + 1
        return HashingEncoder(self.config, rarity.astype(np.float32))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned."""
        return {"rarity": self._learned()}

    def restored(self, state: Mapping[str, NDArray[Any]]) -> HashingEncoder:
        """Return the encoder that has learned what `state` returned.

        Raises:
            ModelError: It was learned with another number of buckets.
        """
        rarity = np.asarray(state["rarity"], np.float32)
        if rarity.shape != (self.config.buckets,):
            raise ModelError(
                f"weights of {len(rarity)} buckets were saved, and the settings say {self.config.buckets}",
                place="hashing",
                remedy="Restore with the settings that it was fitted with.",
            )
        return HashingEncoder(self.config, rarity)

    def encode(self, texts: Sequence[str], *, role: Role = "item", progress: Progress | None = None) -> NDArray[Any]:
        """Return (N, D) float32 vectors of length 1, or 0 for a text of white space.

        Raises:
            ModelError: It has not seen any texts yet.
        """
        rarity, size = self._learned(), self.config.size
        found = np.zeros((len(texts), size), np.float32)
        starts = range(0, len(texts), _CHUNK)
        for start in (progress or Silent()).track(starts, "encoding", len(starts)):
            counted = self._counted(texts[start : start + _CHUNK])
            turn, place = np.divmod(counted.indices, size)
            values = counted.data * rarity[counted.indices] * (1 - 2 * (turn % 2))
            shape = (counted.shape[0], size)
            part = sparse.csr_matrix((values, place, counted.indptr), shape).toarray()
            lost = ~part.any(axis=1) & (np.diff(counted.indptr) > 0)
            if lost.any():  # All that a short text has may meet in one number with opposite signs.
                part[lost] = sparse.csr_matrix((np.abs(values), place, counted.indptr), shape)[lost].toarray()
            found[start : start + _CHUNK] = part
        return unit_rows(found)

    def _learned(self) -> NDArray[np.float32]:
        if self._rarity is None:
            raise ModelError("it has not seen any texts yet", place="hashing", remedy="Call `fit` with texts first.")
        return self._rarity

    def _counted(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Return (N, B) the weight of each bucket in each text, before rarity."""
        from sklearn.feature_extraction import FeatureHasher

        rows = [Counter(_words(text)) for text in texts]
        words = {word: at for at, word in enumerate(dict.fromkeys(word for row in rows for word in row))}
        if not words:
            return sparse.csr_matrix((len(texts), self.config.buckets))
        columns = np.fromiter((words[word] for row in rows for word in row), np.int64)
        counts = np.fromiter((count for row in rows for count in row.values()), np.float64)
        ends = np.cumsum([0, *(len(row) for row in rows)])
        in_texts = sparse.csr_matrix((1 + np.log(counts), columns, ends), (len(rows), len(words)))
        hasher = FeatureHasher(self.config.buckets, input_type="pair", alternate_sign=False)
        in_words = hasher.transform(self._pieces(word) for word in words)
        return sparse.csr_matrix(in_texts @ in_words)

    def _pieces(self, word: str) -> list[tuple[str, float]]:
        """Return a word and its pieces with their weights."""
        whole = f"<{word}>"
        if is_unspaced(word):
            return [(whole, 1.0)]
        sizes = range(self.config.shortest, min(self.config.longest, len(whole) - 1) + 1)
        pieces = [whole[at : at + size] for size in sizes for at in range(len(whole) - size + 1)]
        return [(whole, 1.0), *((piece, len(pieces) ** -0.5) for piece in pieces)]


def _words(text: str) -> list[str]:
    # A lone surrogate, which JSON can hold, is no character: it cannot be hashed.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return words_of(text) or list("".join(text.split()))
