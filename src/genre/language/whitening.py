"""Whitening: turns and stretches vectors so that all directions count alike.

Shapes: N vectors, D numbers each before, K after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.core.errors import DataError, ModelError
from genre.language.base import unit_rows

_FLAT = 1e-10
"""Share of the largest variance below which a direction holds rounding errors alone, and is left out."""
_CHUNK = 65_536
"""Vectors that are transformed at a time, so that their float64 copies stay small."""


class WhiteningConfig(Config):
    """How far the directions are brought to the same spread, and how many of them are kept."""

    strength: float = Field(default=1.0, ge=0, le=1)
    """1 gives every direction the same variance, 0 turns and shortens only; between them the order of the variances
    stays and their differences shrink."""
    size: int | None = Field(default=256, ge=1)
    """Directions kept, those of the largest variance; none keeps all that vary at all."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """PCA whitening: ``z = (x - mean) U diag(v ** (-strength / 2))``.

    U (D, K) are the eigenvectors of the covariance of the training vectors with the K largest eigenvalues v. Text
    encoders crowd their vectors into a narrow cone, where all cosines are high; whitened, they differ in all
    directions.

    Full (strength 1): Su et al.: Whitening Sentence Representations for Better Semantics and Faster Retrieval.
    arXiv:2103.15316, 2021. Relaxed, since full whitening also wipes out what similar items share: Zhang et al.: Are ID
    Embeddings Necessary? Whitening Pre-trained Text Embeddings for Effective Sequential Recommendation. ICDE 2024.
    There the covariance is relaxed in groups of dimensions; here by the exponent.
    """

    mean: NDArray[np.float32]
    """(D,)"""
    projection: NDArray[np.float32]
    """(D, K)"""

    @classmethod
    def fit(cls, vectors: NDArray[Any], config: WhiteningConfig) -> Self:
        """Learn mean and directions from (N, D) vectors, rows of zeros apart: those are texts without any content.

        K is `size` at most, and no more than there are directions in which the vectors differ: N - 1 or D. Where all
        are equal, or there are fewer than two, nothing can be learned, and nothing is changed.

        Needs D² numbers in float64, or N² where there are fewer vectors than dimensions.

        Raises:
            DataError: A vector holds a number that is not finite.
        """
        # Not finite in, not finite everywhere out: the mistake would show up much later.
        if not np.isfinite(vectors).all():
            bad = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise DataError(f"vector {bad} holds a number that is not finite", place="whitening")
        known = np.asarray(vectors[vectors.any(axis=1)], np.float64)
        dimensions = vectors.shape[1]
        mean = known.mean(axis=0) if len(known) > 1 else np.zeros(dimensions)
        variances, directions = _principal(known - mean)
        kept = np.flatnonzero(variances > _FLAT * max(variances.max(initial=0), np.finfo(np.float32).tiny))
        kept = kept[: config.size]
        if len(known) < 2 or not len(kept):
            return cls(np.zeros(dimensions, np.float32), np.eye(dimensions, dtype=np.float32))
        scaled = directions[:, kept] * variances[kept] ** (-config.strength / 2)
        return cls(mean.astype(np.float32), scaled.astype(np.float32))

    def aligned(self, vectors: NDArray[Any], strength: float) -> Self:
        """Return a whitening of other vectors (N, D) whose outcome is spread as this one's is, direction by direction.

        ``x -> (x - m_t) C_t^(-1/2) C_s^(1/2)`` gives vectors of one catalogue (mean m_t, covariance C_t) the covariance
        of another, C_s, without turning them more than that takes; then this whitening follows. What was learned of its
        outcome can then be used on theirs (Sun, Feng, Saenko: Return of Frustratingly Easy Domain Adaptation. AAAI
        2016). C_t is shrunk towards equal variances as far as N is small (Ledoit and Wolf, 2004).

        Args:
            vectors: Rows of zeros are left aside.
            strength: That this was fitted with; at 0 it does not tell C_s, and only the mean is moved.

        Raises:
            ModelError: The vectors have another D.
        """
        from sklearn.covariance import ledoit_wolf

        self._check(vectors)
        known = np.asarray(vectors[vectors.any(axis=1)], np.float64)
        if len(known) < 2:
            return self
        mean = known.mean(axis=0)
        projection = self.projection.astype(np.float64)
        if strength:
            lengths = np.linalg.norm(projection, axis=0)
            directions, deviations = projection / lengths, lengths ** (-1 / strength)
            variances, turned = np.linalg.eigh(ledoit_wolf(known)[0])
            narrowed = turned * np.maximum(variances, np.finfo(np.float32).tiny) ** -0.5 @ turned.T
            projection = narrowed @ directions * (deviations * lengths)
        return type(self)(mean.astype(np.float32), projection.astype(np.float32))

    def _check(self, vectors: NDArray[Any]) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise ModelError(
                f"vectors of shape {vectors.shape} were given, and it was learned from {len(self.mean)} numbers each",
                place="whitening",
                remedy="Encode with the encoder that the model was fitted with, or fit again.",
            )

    def transform(self, vectors: NDArray[Any], *, unit: bool = True) -> NDArray[np.float32]:
        """Return (N, K) whitened vectors, of length 1 where `unit` is true; a row of zeros stays one.

        Raises:
            ModelError: The vectors have another D than those that were learned from.
        """
        self._check(vectors)
        found = np.empty((len(vectors), self.projection.shape[1]), np.float32)
        for start in range(0, len(vectors), _CHUNK):
            part = vectors[start : start + _CHUNK].astype(np.float64)
            found[start : start + _CHUNK] = (part - self.mean) @ self.projection
        found[~vectors.any(axis=1)] = 0
        return unit_rows(found) if unit else found

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what was learned."""
        return {"mean": self.mean, "projection": self.projection}

    @classmethod
    def restore(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Build from what `state` returned."""
        return cls(np.asarray(state["mean"], np.float32), np.asarray(state["projection"], np.float32))


def _principal(centred: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the variances, falling, and the directions (D, ·) of vectors (N, D) of mean 0."""
    count, dimensions = centred.shape
    if not count:
        return np.empty(0), np.empty((dimensions, 0))
    if count < dimensions:
        # The same directions from the smaller matrix: X Xᵀ w = v w gives Xᵀ X (Xᵀ w) = v (Xᵀ w).
        variances, weights = np.linalg.eigh(centred @ centred.T / count)
        directions = centred.T @ weights
        directions /= np.maximum(np.linalg.norm(directions, axis=0), np.finfo(np.float64).tiny)
    else:
        variances, directions = np.linalg.eigh(centred.T @ centred / count)
    return variances[::-1], directions[:, ::-1]
