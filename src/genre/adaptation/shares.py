"""A share of what a moved model has learned: its accuracy on both catalogues, and the writing of a language model.

Shapes: Q validation questions of this catalogue, S those of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from genre.core.queries import Candidates, Holdout
from genre.core.run import RunContext
from genre.evaluation.writing import WritingProfile
from genre.recommenders.base import Recommender
from genre.recommenders.members import accuracy_of
from genre.recommenders.moving import Movable, shared

_MOST: Final = 2000
"""Questions of either catalogue that ways are compared on."""


@dataclass(frozen=True)
class Point:
    """A share of what was learned, on both catalogues."""

    share: float
    target: NDArray[np.float64]
    """(Q,) NDCG@10."""
    source: NDArray[np.float64]
    """(S,) NDCG@10 of the source's own questions."""
    writing: WritingProfile | None = None
    """Of a language model."""
    breaches: tuple[str, ...] = ()
    """Where its writing is over the budget, in words."""

    def is_better(self, other: Point) -> bool:
        """Return whether it is better here than another; nobody knows where there are no questions."""
        return bool(len(self.target) and self.target.mean() > other.target.mean())

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""

        def mean(values: NDArray[np.float64]) -> float | None:
            return float(values.mean()) if len(values) else None

        found = {"share": self.share, "target": mean(self.target), "source": mean(self.source)}
        if self.writing is None:
            return found
        return {**found, "writing": dict(self.writing.values), "breaches": list(self.breaches)}


def questions(holdout: Holdout | None, run: RunContext) -> Holdout | None:
    """Return the questions that ways are compared on; None where there are none."""
    if holdout is None or not len(holdout):
        return None
    if len(holdout) <= _MOST:
        return holdout
    return holdout.take(np.sort(run.rng("adapted.questions").choice(len(holdout), _MOST, replace=False)))


def accuracy(model: Recommender, asked: Holdout | None) -> NDArray[np.float64]:
    """Return NDCG@10 of each question."""
    if asked is None:
        return np.zeros(0)
    return accuracy_of(model, asked, Candidates(excluded=asked.queries.history.items))


def accuracy_with(origin: Any, weights: Mapping[str, Any], asked: Holdout | None) -> NDArray[np.float64]:
    """Return what the source's model is worth on its own questions with other shared weights."""
    kept = {name: value.clone() for name, value in shared(origin.network).items()}
    put(origin, weights)
    try:
        return accuracy(origin, asked)
    finally:
        put(origin, kept)


@contextmanager
def interpolated(model: Any, start: Movable, share: float) -> Iterator[Mapping[str, Any]]:
    """Let a share of what was learned count, ``w_0 + share (w - w_0)``, for as long as this lasts."""
    kept = {name: value.clone() for name, value in shared(model.network).items()}
    begun = shared(start.network)
    weights = {
        name: begun[name] + share * (value - begun[name]) if value.is_floating_point() else value
        for name, value in kept.items()
    }
    put(model, weights)
    try:
        yield weights
    finally:
        put(model, kept)


def take(model: Any, start: Movable, share: float) -> None:
    """Let a share of what was learned count from now on."""
    with interpolated(model, start, share) as weights:
        found = {name: value.clone() for name, value in weights.items()}
    put(model, found)


def put(model: Any, weights: Mapping[str, Any]) -> None:
    """Set the shared weights of a model, and let it read its items with them."""
    import torch

    with torch.no_grad():
        for name, value in shared(model.network).items():
            value.copy_(weights[name])
    model.network.eval()
    model.settle()
