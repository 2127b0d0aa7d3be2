"""What counts how much when the best of several texts is chosen, learned from which of them people preferred.

Shapes: C comparisons, M candidates of the longest, K weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import DataError
from genre.generation.weighing import Scores, Weights

_FORM: Final = (
    "Take the lines that `genre write --out` writes for texts by a language model, and add to each the place of the "
    'candidate that was preferred, from 0, as in `"preferred": 1`.'
)


@dataclass(frozen=True)
class Comparison:
    """Candidates for one text, and which of them somebody preferred."""

    scores: tuple[Scores, ...]
    preferred: int
    """Its place, from 0."""


def fit_weights(comparisons: Sequence[Comparison], *, default: Weights | None = None, ridge: float = 0.1) -> Weights:
    """Return the weights under which the preferred candidates are likeliest.

    A candidate is preferred with a probability proportional to exp(its weighted sum), as in conditional logit, so that
    the scale of the weights tells how sure people are, and their relations what they go by. No weight is below 0: what
    is bad in a text is never taken for good. A ridge holds them near the defaults, where little is known:

        -log P(preferred) + ridge / 2 |weights - defaults|²

    McFadden: Conditional logit analysis of qualitative choice behavior. 1974.

    Args:
        comparisons: What was preferred; one with a single candidate says nothing.
        default: Where weights are drawn to; none takes the defaults.
        ridge: How strongly. 0.1 is as much as knowing beforehand that they lie within about 3 of the defaults.
    """
    from scipy.optimize import minimize

    names = list(Weights.model_fields)
    start = np.array([getattr(default or Weights(), name) for name in names])
    values, places = _padded(comparisons, names)
    if not len(places):
        return default or Weights()
    rows = np.arange(len(places))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        sums = np.where(np.isnan(values[..., 0]), -np.inf, np.nan_to_num(values) @ weights)  # (C, M)
        top = sums.max(1, keepdims=True)
        total = np.log(np.exp(sums - top).sum(1)) + top[:, 0]
        chances = np.exp(sums - total[:, None])
        pull = weights - start
        missed = total.sum() - sums[rows, places].sum() + ridge / 2 * float(pull @ pull)
        expected = np.einsum("cm,cmk->k", chances, np.nan_to_num(values))
        return float(missed), np.asarray(expected - values[rows, places].sum(0) + ridge * pull)

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(names))
    return Weights(**{name: float(value) for name, value in zip(names, found.x, strict=True)})


def read_comparisons(path: Path) -> list[Comparison]:
    """Read what was preferred from JSON lines; lines without `preferred` are texts that nobody has spoken of.

    Raises:
        DataError: There is no such file, a line is not of the form, or none says what was preferred.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the file cannot be read: {error}", place=str(path), remedy=_FORM) from error
    read = [_comparison(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    found = [one for one in read if one is not None]
    if not found:
        raise DataError("no line says what was preferred", place=str(path), remedy=_FORM)
    return found


def _comparison(line: str, place: str) -> Comparison | None:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{_short(line)} is no JSON: {error}", place=place, remedy=_FORM) from error
    if not isinstance(record, dict):
        raise DataError(f"{_short(record)} is no record", place=place, remedy=_FORM)
    preferred = record.get("preferred")
    if preferred is None:
        return None
    about = record.get("provenance")
    candidates = about.get("candidates") if isinstance(about, dict) else None
    if not isinstance(candidates, list) or not candidates:
        raise DataError(f"`provenance.candidates` is {_short(candidates)}", place=place, remedy=_FORM)
    if type(preferred) is not int or not 0 <= preferred < len(candidates):
        raise DataError(
            f"`preferred` is {_short(preferred)}, and there are {len(candidates)} candidates", place=place, remedy=_FORM
        )
    return Comparison(tuple(_scores(one, place) for one in candidates), preferred)


def _scores(candidate: object, place: str) -> Mapping[str, float | None]:
    scores = candidate.get("scores") if isinstance(candidate, dict) else None
    if not isinstance(scores, dict):
        raise DataError(f"a candidate is {_short(candidate)}, without `scores`", place=place, remedy=_FORM)
    for name, value in scores.items():
        if name not in Weights.model_fields:
            known = ", ".join(Weights.model_fields)
            raise DataError(f"there is no score {name!r}", place=place, remedy=f"There are {known}.")
        if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
            raise DataError(f"the score {name!r} is {_short(value)}, which is no number", place=place, remedy=_FORM)
    return scores


def _padded(comparisons: Sequence[Comparison], names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the scores (C, M, K), NaN behind the last candidate, and the place of the preferred one (C,).

    What is not known adds nothing, as when a text is chosen.
    """
    most = max((len(one.scores) for one in comparisons), default=0)
    values = np.full((len(comparisons), most, len(names)), np.nan)
    for row, one in enumerate(comparisons):
        values[row, : len(one.scores)] = [[scores.get(name) or 0.0 for name in names] for scores in one.scores]
    return values, np.array([one.preferred for one in comparisons], np.int64)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
