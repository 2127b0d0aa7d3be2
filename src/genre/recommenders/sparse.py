"""Answers straight from sparse evidence: most items have none, so a dense score for each would be wasted work.

Evidence is a CSR matrix of positive scores; what is not stored is not known.

Shapes: B rows (queries or items), I columns, E stored values, k best of a row.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from genre.core.interactions import Interactions
from genre.core.queries import NO_ITEM, Candidates, Queries, Recommendations, Source
from genre.core.ragged import offsets_of

PartT = TypeVar("PartT")

BLOCK_CELLS = 1 << 22
"""Most cells, stored or not, of the block of rows that one thread works on: 16 MiB if all were float32."""
_FEWEST_ROWS = 64
"""Fewer rows are not worth a thread."""
_NUM_THREADS = min(8, os.cpu_count() or 1)
"""More would wait for memory, and take more of it."""
_STRIDES = 8
"""Long rows are dealt into groups of 8, each of which has one best member."""
_NOTHING = np.uint64(2**64 - 1)


def in_blocks(work: Callable[[slice], PartT], num_rows: int, num_columns: int) -> list[PartT]:
    """Do the work for each block of rows, on all cores, and return the results in order.

    Threads are enough: sparse products and numpy's passes over a block leave Python's lock free.
    """
    most = BLOCK_CELLS // max(1, num_columns)
    size = max(1, min(most, max(_FEWEST_ROWS, -(-num_rows // _NUM_THREADS))))
    blocks = [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]
    if len(blocks) < 2:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        return list(pool.map(work, blocks))


def decayed_likes(history: Interactions, num_items: int, decay: float) -> sparse.csr_matrix:
    """Return (B, I) how much each like counts: 1 for the newest, `decay` for the one before, and so on, added up."""
    likes = history.liked()
    return likes.to_csr(num_items, decay**likes.steps_from_end)


def best_of_rows(matrix: sparse.csr_matrix, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return columns and values (B, k) of the k highest values of each row, best first, equal ones by column.

    Values must not be negative. Minus infinity counts as not stored; `NO_ITEM` stands where a row has fewer than k.
    """
    lengths = np.diff(matrix.indptr)
    where = np.flatnonzero(matrix.data >= np.repeat(_lower_bounds(matrix, k), lengths))
    counts = np.diff(np.searchsorted(where, matrix.indptr))
    place = np.arange(len(where)) - np.repeat(offsets_of(counts)[:-1], counts)
    # A non-negative float orders like its bits do. The complement of the value above the column gives one number for
    # each candidate that sorts by falling value and then by column, many times faster than sorting by two keys.
    columns_of_value = matrix.indices[where].astype(np.uint64)
    value_bits = ~matrix.data[where].view(np.uint32)
    keys = np.full((len(counts), max(k, int(counts.max(initial=0)))), _NOTHING)
    keys[np.repeat(np.arange(len(counts)), counts), place] = value_bits.astype(np.uint64) << 32 | columns_of_value
    keys.sort(axis=1)
    best = keys[:, :k]
    columns = (best & np.uint64(2**32 - 1)).astype(np.uint32).view(np.int32)  # All ones is -1, `NO_ITEM`.
    values = (~(best >> 32).astype(np.uint32)).view(np.float32)
    return columns, np.where(columns == NO_ITEM, np.float32(-np.inf), values)


def keep_best(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """Return the matrix with only the k highest values of each row, best first, equal ones by column."""
    columns, values = best_of_rows(matrix, k)
    kept = columns != NO_ITEM
    return sparse.csr_matrix((values[kept], columns[kept], offsets_of(kept.sum(axis=1))), shape=matrix.shape)


def widened(matrix: sparse.csr_matrix, size: int) -> sparse.csr_matrix:
    """Return a square matrix (size, size) with this one in its corner; what is stored stays in its order."""
    more = np.full(size - matrix.shape[0], matrix.indptr[-1], matrix.indptr.dtype)
    return sparse.csr_matrix(
        (matrix.data, matrix.indices, np.concatenate([matrix.indptr, more])), shape=(size, size), copy=True
    )


def recommend_from_evidence(
    evidence: Callable[[Queries], sparse.csr_matrix],
    queries: Queries,
    n: int,
    candidates: Candidates | None,
    num_items: int,
) -> Recommendations:
    """Return the n items with the most evidence for each query: the answer of dense scores, several times faster."""
    answer = Recommendations.empty(len(queries), n)
    if n == 0:
        return answer

    def answer_block(rows: slice) -> None:
        found = evidence(queries.take(rows))
        if candidates is not None:
            allowed = np.zeros(found.shape, np.float32)
            candidates.take(rows).hide(allowed)
            row_starts = np.arange(0, allowed.size, num_items)
            found.data += allowed.ravel().take(np.repeat(row_starts, np.diff(found.indptr)) + found.indices)
        answer.item_rows[rows], answer.scores[rows] = best_of_rows(found, n)

    in_blocks(answer_block, len(queries), num_items)
    answer.sources[answer.filled] = Source.PERSONAL
    return answer


def _lower_bounds(matrix: sparse.csr_matrix, k: int) -> NDArray[np.float32]:
    """Return values (B,) that at least k of each row reach, and few others; 0 where the row has no more than k."""
    bounds = np.zeros(matrix.shape[0], np.float32)
    lowest_first = -matrix.data  # numpy finds the k lowest several times faster than the k highest.
    for row in np.flatnonzero(np.diff(matrix.indptr) > k):
        values = lowest_first[matrix.indptr[row] : matrix.indptr[row + 1]]
        strides = min(_STRIDES, len(values) // (2 * k))
        if strides > 1:
            values = values[: len(values) // strides * strides].reshape(strides, -1).min(axis=0)
        values.partition(k - 1)
        bounds[row] = -values[k - 1]
    return np.maximum(bounds, 0)
