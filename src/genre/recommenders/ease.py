"""EASE: a linear item-to-item model with a closed-form solution.

Harald Steck: Embarrassingly Shallow Autoencoders for Sparse Data. WWW 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import linalg, sparse

from genre.core.errors import ModelError
from genre.core.queries import Queries
from genre.core.run import RunContext
from genre.data.dataset import Dataset
from genre.recommenders.base import DataSize, Estimate, Recommender, RecommenderConfig, ScoringRecommender, State
from genre.recommenders.sparse import decayed_likes, in_blocks

LARGEST_FOR_LAPACK = 20_000
"""Rows of a matrix above which SciPy's LAPACK, which counts in 32 bits, may crash the process (it did at 41,240)."""


class EaseConfig(RecommenderConfig):
    """Settings of `ease`."""

    kind: Literal["ease"] = "ease"
    regularization: float = Field(default=250.0, gt=0)
    """Added to the diagonal of the item-item matrix, in likes; the sparser the data, the higher. The paper's best
    values lie between 200 and 1000."""
    history_decay: float = Field(default=0.8, gt=0, le=1)
    """What each like of a query counts of the next newer one. 1 is the paper's model, which knows no order; 0.8 found a
    sixth more held-out likes on Amazon Beauty and a quarter more on MovieLens."""

    def build(self, members: Mapping[str, Recommender]) -> Ease:
        """Return the unfitted component."""
        return Ease(self)

    def estimate(self, size: DataSize) -> Estimate:
        """Pairs of items that one user liked, and a dense inversion in place of `num_items` squared floats."""
        pairs = size.num_events**2 // max(1, size.num_users)
        beside = 1.75 if size.num_items > LARGEST_FOR_LAPACK else 1.0  # Three quarters: blocks of a block inversion.
        return Estimate(memory=int(beside * 4 * size.num_items**2), seconds=1e-8 * pairs + size.num_items**3 / 9e10)


class Ease(ScoringRecommender[EaseConfig]):
    """Predict each like from the user's other likes.

    ``B = argmin |X - X B|^2 + regularization |B|^2`` with a zero diagonal, solved by
    ``P = (X'X + regularization I)^-1``, ``B[i, j] = -P[i, j] / P[j, j]``; the scores of a history are the sum of its
    items' rows of B, weighted by `history_decay ** age` with age 0 for the newest. Needs `num_items` squared floats, to
    fit as to answer: 1.6 GB for 20,000 items.
    """

    weights: NDArray[np.float32]
    """(I, I) what liking the row's item says about the column's."""
    known: NDArray[np.bool_]
    """(I,) items that somebody liked in training."""

    def fit(self, data: Dataset, run: RunContext) -> Self:
        """Solve the normal equations in place by Cholesky decomposition, above 20,000 items block by block."""
        gram = _gram(data.interactions.to_binary_csr(data.num_items))
        np.fill_diagonal(gram, gram.diagonal() + self.config.regularization)
        try:
            inverse = _inverted(gram)
        except linalg.LinAlgError as error:
            raise ModelError(
                f"the item-item matrix cannot be inverted with regularization {self.config.regularization!r}",
                place="ease",
                remedy="Raise `regularization`.",
            ) from error
        inverse /= -inverse.diagonal().copy()
        np.fill_diagonal(inverse, 0.0)
        self.weights = inverse
        self.known = data.interactions.item_counts(data.num_items) > 0
        return self

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """Return (B, I) weighted sums of the rows of the liked items; nothing for a history without one."""
        likes = decayed_likes(queries.history, len(self.weights), self.config.history_decay)
        np.minimum(likes.data, 1, out=likes.data)  # In training a like counts once, however often it is repeated.
        scores = np.ascontiguousarray(likes @ self.weights, dtype=np.float32)
        scores[:, ~self.known] = -np.inf
        scores[likes[:, self.known].getnnz(axis=1) == 0] = -np.inf
        return scores

    def similar(self, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the rows (len(item_rows), I) of B, minus infinity where they do not speak for an item."""
        rows = np.array(self.weights[item_rows])
        rows[rows <= 0] = -np.inf
        return rows

    def state(self) -> State:
        """Return B and which items it knows."""
        return {"weights": self.weights, "known": self.known}

    def restore(self, state: State) -> None:
        """Take B back."""
        self.weights, self.known = state["weights"], state["known"]


def _gram(likes: sparse.csr_matrix) -> NDArray[np.float32]:
    """Return X'X (I, I), dense and in Fortran order, in which LAPACK works on it in place."""
    items = likes.T.tocsr()
    gram = np.empty((likes.shape[1], likes.shape[1]), np.float32)

    def fill(block: slice) -> None:
        (items[block] @ likes).toarray(out=gram[block])

    in_blocks(fill, *gram.shape)
    return gram.T  # It is symmetric, so this is the same matrix.


def _inverted(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Invert a symmetric positive definite matrix (I, I) in Fortran order, and overwrite it; return it in C order.

    Raises:
        LinAlgError: It is not positive definite.
    """
    size = len(matrix)
    if size > LARGEST_FOR_LAPACK:
        half = size // 2
        upper, side, lower = matrix[:half, :half], matrix[:half, half:], matrix[half:, half:]
        upper[:] = _inverted(np.asfortranarray(upper))
        spread = upper @ side
        lower -= side.T @ spread  # The Schur complement.
        lower[:] = _inverted(np.asfortranarray(lower))
        side[:] = -(spread @ lower)
        upper -= side @ spread.T
        matrix[half:, :half] = side.T
        return matrix.T
    factor, failed = linalg.lapack.spotrf(matrix, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise linalg.LinAlgError
    # In C order only the upper triangle is filled.
    inverse: NDArray[np.float32] = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)[0].T
    for row in range(size):
        inverse[row + 1 :, row] = inverse[row, row + 1 :]
    return inverse
