"""How well texts fit the people they were written for: whether one can tell from a text whose it is.

Shapes: N texts, D numbers of a vector.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

AMONG: Final = 10
"""Texts that a person's own one is found among, itself included: by chance it is the first in one of ten."""


def own_places(
    texts: NDArray[np.floating],
    people: NDArray[np.floating],
    owners: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
    *,
    among: int = AMONG,
) -> NDArray[np.float64]:
    """Return (N, 3): the rank of each text among others by nearness to its person, whether it is first, and 1 / rank.

    A text is compared with `among` - 1 texts for others, in its group, by the cosine with the vector of the person it
    was written for. All three are means over every choice of these others, which needs no drawing: of M texts by
    others, k of which are nearer, k' are among those that are chosen with the probability of the hypergeometric
    distribution. Texts that are equally near share their places, so that the same text for everybody is first in one of
    `among`. Rows are NaN where there are fewer others.

    Args:
        texts: (N, D) a vector for each text.
        people: (N, D) the vector of the person whom each text is for, made of what the writer was not shown.
        owners: (N,) who that is.
        groups: (N,) what each text is about, if only texts about the same may be compared.
        among: Texts that are compared, the own one included.
    """
    near = _unit(people) @ _unit(texts).T  # (N, N), how near the texts are to each text's person
    own = np.diag(near)[:, None]
    others = owners[:, None] != owners[None, :]
    if groups is not None:
        others &= groups[:, None] == groups[None, :]
    equal = np.isclose(near, own, rtol=0, atol=1e-6)
    above, tied = ((others & hit).sum(1) for hit in (~equal & (near > own), equal))
    found = np.full((len(texts), 3), np.nan)
    for at, (count, first, shared) in enumerate(zip(others.sum(1), above, tied, strict=True)):
        if count >= among - 1:
            found[at] = np.mean(_expected(int(count), among - 1)[first : first + shared + 1], axis=0)
    return found


def by_person(places: NDArray[np.float64], owners: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the means of what `own_places` returns over the texts of each person, in the order of their numbers.

    The texts of one person are no independent cases: an interval is taken over people. People without a place are left
    out.
    """
    known = ~np.isnan(places).any(1)
    _, rows = np.unique(owners[known], return_inverse=True)
    sums = np.zeros((int(rows.max(initial=-1)) + 1, places.shape[1]))
    np.add.at(sums, rows, places[known])
    return np.asarray(sums / np.maximum(1, np.bincount(rows, minlength=len(sums)))[:, None], np.float64)


def _expected(count: int, drawn: int) -> NDArray[np.float64]:
    """Return (count + 1, 3): rank, first and 1 / rank where so many of `count` are nearer and `drawn` are drawn."""
    from scipy import stats

    nearer = np.arange(count + 1)[:, None]
    places = np.arange(drawn + 1)
    chances = np.asarray(stats.hypergeom.pmf(places, count, nearer, drawn), np.float64)  # (count + 1, drawn + 1)
    return np.stack([1 + chances @ places, chances[:, 0], chances @ (1 / (1 + places))], axis=1)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    given = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    return np.asarray(given / np.where(lengths > 0, lengths, 1), np.float64)
