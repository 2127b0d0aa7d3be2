"""The items whose vectors have the largest inner products with a query: all of them looked at, or the likely ones.

Shapes: B queries, I items, D numbers of a vector, n places, K likely items of a query.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import DataError, DependencyError, ModelError
from genre.core.queries import NO_ITEM, Candidates
from genre.core.topn import top_n

IndexKind: TypeAlias = Literal["auto", "exact", "faiss"]
THRESHOLD = 1_000_000
"""Items from which `auto` takes Faiss. Up to there one query takes some 100 ms at most, and a batch far less each."""

_MAX_FRESH = 10_000
"""Added items that are looked at one by one: it bounds what an addition copies and what they cost a query."""
_SCORE_BYTES = 1 << 28
"""Memory for a block of scores of all items."""
_GATHERED = 1 << 14
"""Vectors that are brought together at a time."""
_FEW = 8
"""Where no more than 1 / 8 of the items are allowed, these are looked at one by one."""


@dataclass(frozen=True, eq=False)
class VectorIndex:
    """Finds the n items of the largest inner product with a query; with vectors of length 1, the most similar ones.

    ``exact`` multiplies a query with every vector: D multiplications for each item, no memory beside the vectors.

    ``faiss`` reads a short code of an item instead, about D / 4 bytes, and only in the lists that are nearest to the
    query; the likely items are then scored with their own vectors, so the scores are exact and what may be wrong is
    that an item is missing. See `_Codes`. Where few items are allowed, or the lists do not fill an answer, every
    item is looked at after all.

    An index never changes: `add` returns another one, which shares memory with it. The vectors that it is built from
    are not copied if they are float32 in rows, and may be mapped from a file; nobody should write to them afterwards.
    """

    settled: NDArray[np.float32]
    """(I - F, D); what the codes know of."""
    fresh: NDArray[np.float32]
    """(F, D); added since, looked at one by one."""
    codes: _Codes | None = None
    """None where every item is looked at."""

    @classmethod
    def build(
        cls, vectors: NDArray[Any], *, kind: IndexKind = "auto", threshold: int = THRESHOLD, seed: int = 0
    ) -> Self:
        """Index the vectors (I, D) of items.

        Args:
            vectors: One row for each item; of any length, 0 included.
            kind: `auto` takes Faiss from `threshold` items on if it is installed, and is exact otherwise: its answers
                are the same or better, but slower. `faiss` insists, unless there are too few items to learn codes from
                (`_Codes.FEWEST`).
            threshold: For `auto`.
            seed: The same seed and vectors give the same codes.

        Raises:
            DataError: There is a vector that is not finite, or no matrix.
            DependencyError: `kind` is `faiss`, which is not installed.
        """
        checked = _checked(vectors, "the vectors")
        if kind == "faiss":
            _need_faiss()
        coded = kind == "faiss" or (kind == "auto" and len(checked) >= threshold and find_spec("faiss") is not None)
        codes = _Codes.learn(checked, seed) if coded and len(checked) >= _Codes.FEWEST else None
        return cls(checked, checked[:0], codes)

    def __len__(self) -> int:
        """Return the number of items, I."""
        return len(self.settled) + len(self.fresh)

    @property
    def dimension(self) -> int:
        """Numbers of a vector, D."""
        return int(self.settled.shape[1])

    @property
    def kind(self) -> Literal["exact", "faiss"]:
        """How it searches."""
        return "exact" if self.codes is None else "faiss"

    def add(self, vectors: NDArray[Any]) -> Self:
        """Return the index with more items behind these, to be found at once; this index stays as it is.

        Nothing is learned anew: `kind` stays, and codes describe what is like the first items best. Build another index
        where the items have become many more or quite different.

        Raises:
            DataError: There is a vector that is not finite, or no matrix.
            ModelError: The vectors have another dimension.
        """
        fresh = np.concatenate([self.fresh, self._fitting(vectors, "the vectors to add")])
        if len(fresh) <= _MAX_FRESH:
            return replace(self, fresh=fresh)
        codes = None if self.codes is None else self.codes.with_more(fresh)
        return replace(self, settled=np.concatenate([self.settled, fresh]), fresh=fresh[:0], codes=codes)

    def search(
        self, queries: NDArray[Any], n: int, *, candidates: Candidates | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the item rows and inner products (B, n) of the best n items of each query (B, D), best first.

        Equal products are ordered by item row. Where fewer than n items may be returned, `NO_ITEM` and minus infinity
        fill the rest. What `candidates` forbid is never returned, and `only` is always scored item by item.

        Raises:
            DataError: There is a query that is not finite, or no matrix.
            ModelError: The queries have another dimension.
        """
        queries = self._fitting(queries, "the queries")
        candidates = candidates or Candidates()
        if candidates.only is not None:
            wanted = [np.unique(candidates.only[query]) for query in range(len(queries))]
            return self._best_of(wanted, queries, n, candidates)
        if self.codes is None or _few(candidates.allowed):
            return self._exact(queries, n, candidates)
        likely = self._likely(self.codes, queries, n, candidates)
        rows, scores = self._best_of(likely, queries, n, candidates)
        short = np.flatnonzero((rows == NO_ITEM).any(axis=1))
        if len(short):
            rows[short], scores[short] = self._exact(queries[short], n, candidates.take(short))
        return rows, scores

    def _fitting(self, vectors: NDArray[Any], what: str) -> NDArray[np.float32]:
        checked = _checked(vectors, what)
        if checked.shape[1] != self.dimension:
            raise ModelError(
                f"{what} have dimension {checked.shape[1]!r}, those of the index {self.dimension!r}",
                place="vector index",
                remedy="Encode them as the index's items were, or build the index again.",
            )
        return checked

    def _gather(self, items: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the vectors of items."""
        if not len(self.fresh):
            return np.asarray(self.settled[items])
        found = np.empty((len(items), self.dimension), np.float32)
        new = items >= len(self.settled)
        found[~new] = self.settled[items[~new]]
        found[new] = self.fresh[items[new] - len(self.settled)]
        return found

    def _exact(
        self, queries: NDArray[np.float32], n: int, candidates: Candidates
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Look at every item, or at every allowed one if these are few."""
        rows, best = np.empty((len(queries), n), np.int32), np.empty((len(queries), n), np.float32)
        size = max(1, _SCORE_BYTES // (4 * max(1, len(self))))
        for start in range(0, len(queries), size):
            part = slice(start, start + size)
            scores = self._scores(queries[part], candidates.allowed)
            candidates.take(part).hide(scores)
            rows[part], best[part] = top_n(scores, n)
        return rows, best

    def _scores(self, queries: NDArray[np.float32], allowed: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        """Return the inner products (B, I); where few items are allowed, the others' are minus infinity."""
        scores = np.full((len(queries), len(self)), -np.inf, np.float32)
        if allowed is not None and _few(allowed):
            items = np.flatnonzero(allowed)
            for start in range(0, len(items), _GATHERED):
                part = items[start : start + _GATHERED]
                scores[:, part] = queries @ self._gather(part).T
        else:
            np.matmul(queries, self.settled.T, out=scores[:, : len(self.settled)])
            np.matmul(queries, self.fresh.T, out=scores[:, len(self.settled) :])
        return scores

    def _likely(
        self, codes: _Codes, queries: NDArray[np.float32], n: int, candidates: Candidates
    ) -> list[NDArray[np.int64]]:
        """Return for each query the settled items that the codes find near it, and the fresh ones that are nearest.

        So many are taken that those which the query excludes could all be among them. Rising, without repetition.
        """
        excluded = 0 if candidates.excluded is None else int(candidates.excluded.lengths.max(initial=0))
        allowed, split = candidates.allowed, len(self.settled)
        found = codes.near(queries, n, excluded, None if allowed is None else allowed[:split])
        if len(self.fresh):
            scores = queries @ self.fresh.T
            if allowed is not None:
                scores[:, ~allowed[split:]] = -np.inf
            fresh, _ = top_n(scores, min(n + excluded, len(self.fresh)))
            found = np.concatenate([found, np.where(fresh == NO_ITEM, NO_ITEM, fresh + split)], axis=1)
        return [np.unique(items[items != NO_ITEM]) for items in found]

    def _best_of(
        self, likely: list[NDArray[Any]], queries: NDArray[np.float32], n: int, candidates: Candidates
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the best n of each query's own list of items, which rise without repetition."""
        rows, best = np.full((len(queries), n), NO_ITEM, np.int32), np.full((len(queries), n), -np.inf, np.float32)
        for query, items in enumerate(likely):
            if candidates.allowed is not None:
                items = items[candidates.allowed[items]]
            if candidates.excluded is not None:
                items = np.setdiff1d(items, candidates.excluded[query])
            scores = np.empty((1, len(items)), np.float32)
            for start in range(0, len(items), _GATHERED):
                part = slice(start, start + _GATHERED)
                scores[0, part] = self._gather(items[part]) @ queries[query]
            found, best[query] = (answer[0] for answer in top_n(scores, n))
            rows[query, found != NO_ITEM] = items[found[found != NO_ITEM]]
        return rows, best


@dataclass(frozen=True, eq=False)
class _Codes:
    """Codes of 4 bits for every two numbers of a turned vector, kept in lists of vectors with like directions.

    1. `basis` keeps the directions that hold most of the vectors' squared length and turns them at random, so that
       every part of a code has as much to say.
    2. Spherical k-means deals the vectors into about sqrt(I) lists; a query reads the lists nearest to it.
    3. What a vector differs from its list's centre is product-quantised (Jégou et al., TPAMI 2011) and read by table
       look-ups that stay in registers (André et al., TPAMI 2019), as Faiss does it.

    The settings below are what reached a recall@100 of .98 soonest among a million mixtures of sentence vectors:
    ``benchmarks/index.py``. Mixtures belong to two lists or more, so that many have to be read; codes are read so fast
    that this costs little.
    """

    basis: NDArray[np.float32]
    """(D, d); d is even."""
    index: Any
    """A Faiss index of the (I, d) turned vectors."""

    FEWEST: ClassVar[int] = 1_000
    """Items that codes can be learned from; of fewer, all are looked at."""
    KEPT: ClassVar[float] = 0.9
    """Share of the squared length in the directions kept."""
    READ: ClassVar[float] = 0.8
    """Share of the lists that a query reads."""
    DEPTH: ClassVar[int] = 10
    """Likely items taken for each place of an answer."""
    SHALLOWEST: ClassVar[int] = 500
    """Likely items taken at least."""

    @classmethod
    def learn(cls, vectors: NDArray[np.float32], seed: int) -> Self:
        """Learn from a sample of the vectors, and code them all."""
        import faiss

        rng = np.random.default_rng(seed)
        # Faiss asks for 39 vectors a list.
        num_lists = min(round(len(vectors) ** 0.5), len(vectors) // 39)
        size = min(len(vectors), 50 * num_lists)
        sample = vectors[np.sort(rng.choice(len(vectors), size, replace=False))]
        basis = _turned_directions(sample, cls.KEPT, rng)
        d = basis.shape[1]
        index = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(d), d, num_lists, d // 2, 4, faiss.METRIC_INNER_PRODUCT)
        index.cp.spherical, index.cp.niter, index.cp.seed = True, 10, int(rng.integers(1 << 31))
        index.train(sample @ basis)
        return cls(basis, index)._extended(index, vectors)

    def with_more(self, vectors: NDArray[np.float32]) -> Self:
        """Return codes of more vectors behind these."""
        import faiss

        return self._extended(faiss.clone_index(self.index), vectors)

    def _extended(self, index: Any, vectors: NDArray[np.float32]) -> Self:
        for start in range(0, len(vectors), _GATHERED):
            index.add(vectors[start : start + _GATHERED] @ self.basis)
        return replace(self, index=index)

    def near(
        self, queries: NDArray[np.float32], n: int, spare: int, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """Return (B, K) likely items of each query in no order, `NO_ITEM` where there are fewer.

        Args:
            queries: (B, D).
            n: Places of an answer.
            spare: Items that have to be found beyond those.
            allowed: (I,) false for what is not to be found.
        """
        import faiss

        selector = None if allowed is None else faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))  # type: ignore[call-arg, arg-type]
        num_read = int(np.ceil(self.READ * self.index.nlist))
        depth = min(max(self.DEPTH * n, self.SHALLOWEST) + spare, self.index.ntotal)
        how = faiss.SearchParametersIVF(nprobe=num_read, sel=selector)  # type: ignore[call-arg]
        found: NDArray[np.int64] = self.index.search(queries @ self.basis, depth, params=how)[1]
        return found


def _turned_directions(sample: NDArray[np.float32], kept: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return orthogonal directions (D, d), d even, that hold the share `kept` of the squared length, turned at random.

    Nothing is centred, as principal components are: products of centred vectors rank items differently.
    """
    values, vectors = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    held = np.cumsum(values[::-1].clip(0))
    size = min(int(np.searchsorted(held, kept * held[-1])) + 1, len(values))
    directions = vectors[:, ::-1][:, :size]
    if size % 2:
        directions = np.pad(directions, ((0, 0), (0, 1)))
    turn, _ = np.linalg.qr(rng.standard_normal((directions.shape[1],) * 2))
    return np.ascontiguousarray(directions @ turn, np.float32)


def _checked(vectors: NDArray[Any], what: str) -> NDArray[np.float32]:
    """Return a finite matrix as float32 in rows, not copied where it is so already."""
    matrix = np.ascontiguousarray(vectors, np.float32)
    if np.ndim(vectors) != 2 or matrix.shape[1] == 0:
        raise DataError(
            f"{what} have the shape {np.shape(vectors)!r}",
            place="vector index",
            remedy="Give a matrix with one row for each item or query.",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum is finite only if all its parts are; unlike the parts' own test it needs no memory for each of them.
        bad = np.flatnonzero(~np.isfinite(matrix.sum(axis=1)))
    if len(bad):
        raise DataError(
            f"{what} hold {len(bad)} that are not finite, the first in row {int(bad[0])!r}",
            place="vector index",
            remedy="Look for NaN, infinity or numbers beyond float32 in what encodes them.",
        )
    return matrix


def _few(allowed: NDArray[np.bool_] | None) -> bool:
    """Tell whether the allowed items are so few that each is looked at."""
    return allowed is not None and bool(np.count_nonzero(allowed) * _FEW <= len(allowed))


def _need_faiss() -> None:
    if find_spec("faiss") is None:
        raise DependencyError(
            "needs the library 'faiss', which is not installed",
            place="vector index",
            remedy="Install it with `pip install 'genre-rec[faiss]'`, or build the index with kind 'exact'.",
        )
