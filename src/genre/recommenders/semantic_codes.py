"""From item vectors to codes: residual quantisation, and the vectors that are quantised.

Shapes: N vectors, D numbers of a vector, L levels, K codes of a level, I items, C numbers of a collaborative vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre.core.interactions import Interactions
from genre.language.base import unit_rows

Floats = NDArray[np.float32]
_POINTS = 256
"""Vectors for each code that k-means looks at: more would not move the centres, and this bounds its time."""
_ITERATIONS = 30
_BLOCK = 4096
_DIGITS = 5
"""Vectors of length 1 that agree in so many decimals are taken for equal: the rest is rounding."""
_RIDGE = 1.0
_CENTRES = "centres."


@dataclass(frozen=True, eq=False)
class ResidualQuantiser:
    """Writes a vector as a sum of L centres, one of each level, each the nearest to what the levels before leave over.

    ``r_1 = x``, ``c_l = argmin_k |r_l - m_lk|``, ``r_{l+1} = r_l - m_{l,c_l}``, with the centres m of every level
    found by k-means on the residuals of that level. Vectors that share their first codes are alike.

    Lee et al.: Autoregressive Image Generation using Residual Quantization. CVPR 2022, with k-means in place of the
    trained encoder: as accurate for recommendation, and fitted in seconds (Singh et al.: Better Generalization with
    Semantic IDs. RecSys 2024, compare both).
    """

    centres: tuple[Floats, ...]
    """Of each level (K, D); fewer than asked for where there are fewer different vectors."""

    @classmethod
    def fit(cls, vectors: Floats, levels: int, size: int, rng: np.random.Generator) -> Self:
        """Learn from vectors (N, D), N > 0. Mini-batches would be faster, but leave most of the later codes idle.

        Args:
            vectors: Of which at most 256 for each code are looked at, drawn at random.
            levels: L.
            size: K.
            rng: Draws them, and the first centres.
        """
        from sklearn.cluster import KMeans

        most = _POINTS * size
        drawn = vectors if len(vectors) <= most else vectors[np.sort(rng.choice(len(vectors), most, replace=False))]
        residuals, centres = drawn, []
        for _ in range(levels):
            points = np.round(residuals, _DIGITS)
            count = min(size, len(np.unique(points, axis=0)))
            seed = int(rng.integers(2**31))
            means = KMeans(count, n_init=1, max_iter=_ITERATIONS, random_state=seed).fit(points).cluster_centers_
            centres.append(means.astype(np.float32))
            residuals = residuals - centres[-1][_nearest(residuals, centres[-1])]
        return cls(tuple(centres))

    @property
    def sizes(self) -> tuple[int, ...]:
        """K of each level."""
        return tuple(len(level) for level in self.centres)

    def codes(self, vectors: Floats) -> NDArray[np.int64]:
        """Return the codes (N, L) of vectors (N, D)."""
        residuals, found = vectors, []
        for level in self.centres:
            found.append(_nearest(residuals, level))
            residuals = residuals - level[found[-1]]
        return np.stack(found, axis=1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the centres."""
        return {f"{_CENTRES}{at}": level for at, level in enumerate(self.centres)}

    @classmethod
    def restore(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Build from what `state` returned; other names in `state` are left alone."""
        levels = sum(name.startswith(_CENTRES) for name in state)
        return cls(tuple(state[f"{_CENTRES}{at}"] for at in range(levels)))


def numbers_among_equals(codes: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what tells apart the items that share all codes (N, L): 0 for the first of them, 1 for the second (N,).

    Args:
        codes: Of N items.
        order: All items, those that come first in front.
    """
    equal = np.unique(codes[order], axis=0, return_inverse=True)[1].reshape(-1)
    by_tuple = np.argsort(equal, kind="stable")
    starts = np.flatnonzero(np.diff(equal[by_tuple], prepend=-1))
    within = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    numbers = np.empty(len(order), np.int64)
    numbers[order[by_tuple]] = within
    return numbers


def collaborative_vectors(log: Interactions, num_items: int, size: int, rng: np.random.Generator) -> Floats:
    """Return items as who likes them (num_items, C), of length 1; zeros for an item that nobody liked.

    The leading right singular vectors, times their singular values, of the matrix of likes divided by the square roots
    of its row and column sums. C is `size`, less where there are fewer users or items.
    """
    from sklearn.utils.extmath import randomized_svd

    likes = log.to_binary_csr(num_items)
    users, items = (np.maximum(np.asarray(likes.sum(axis=axis)).ravel(), 1) for axis in (1, 0))
    scaled = sparse.diags(users**-0.5) @ likes @ sparse.diags(items**-0.5)
    count = min(size, *likes.shape)
    _, values, vectors = randomized_svd(scaled.tocsr(), count, random_state=int(rng.integers(2**31)))
    return unit_rows((vectors.T * values).astype(np.float32))


def ridge(inputs: Floats, outputs: Floats) -> Floats:
    """Return the matrix (D, C) that says best what `outputs` (N, C) are by `inputs` (N, D) of length 1."""
    covariance = inputs.T @ inputs + np.float32(_RIDGE) * np.eye(inputs.shape[1], dtype=np.float32)
    found: Floats = np.linalg.solve(covariance, inputs.T @ outputs).astype(np.float32)
    return found


def _nearest(vectors: Floats, centres: Floats) -> NDArray[np.int64]:
    """Return the nearest centre (N,) of each vector (N, D)."""
    lengths = (centres**2).sum(axis=1) / 2
    parts = [vectors[at : at + _BLOCK] @ centres.T - lengths for at in range(0, len(vectors), _BLOCK)]
    return np.concatenate([np.empty(0, np.int64), *(part.argmax(axis=1) for part in parts)])
