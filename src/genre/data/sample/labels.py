"""What makes two items of the sample worlds alike: labels and words.

Shapes: I items.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray


def one_hot(labels: Sequence[str] | pl.Series) -> tuple[NDArray[np.float64], list[str]]:
    """Return (I, number of labels) ones where an item has the label, and the labels in order."""
    names, rows = np.unique(np.asarray(labels), return_inverse=True)
    return np.eye(len(names))[rows], names.tolist()


def many_hot(lists: pl.Series) -> NDArray[np.float64]:
    """Return (I, number of labels) ones where the item's list has the label, labels in alphabetical order."""
    rows = np.repeat(np.arange(len(lists)), lists.list.len())
    hot, _ = one_hot(lists.explode())
    table = np.zeros((len(lists), hot.shape[1]))
    np.add.at(table, rows, hot)
    return table


def word_similarity(texts: Sequence[str] | pl.Series) -> NDArray[np.float64]:
    """Return (I, I) standardised cosines between TF-IDF vectors; the diagonal is 0.

    ``x(i, w) = (1 + ln count(i, w)) * ln(I / number of texts with w)``. Off the diagonal, mean 0 and deviation 1.
    """
    words = [re.findall(r"\w+", text.lower()) for text in texts]
    rows = np.repeat(np.arange(len(words)), [len(row) for row in words])
    names, columns = np.unique(np.concatenate(words), return_inverse=True)
    counts = np.zeros((len(words), len(names)))
    np.add.at(counts, (rows, columns), 1)
    seen = counts > 0
    vectors = np.where(seen, 1 + np.log(np.maximum(counts, 1)), 0) * np.log(len(words) / seen.sum(axis=0))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    others = ~np.eye(len(words), dtype=bool)
    return np.where(others, (cosines - cosines[others].mean()) / cosines[others].std(), 0)
