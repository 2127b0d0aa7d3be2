"""What an experiment found, in memory and on disk.

`metrics.json` holds, as plain values with null for "not known"::

    primary      NDCG@10
    protocol     how it was measured
    models
      NAME
        test, validation   NDCG@10: {mean, low, high}, ...       over queries, by bootstrap
        beyond             coverage: {mean, low, high}, ...      bounds are null where all lists give one number
        clicks             values: auc: {mean, low, high}, ..., curve: {predicted, observed, sizes}
        slices
          SLICE
            groups         NAME: {value: {mean, low, high}, queries}
            gap            {value, best, worst} or null
        seeds              NDCG@10: {mean, low, high}, ...       over seeds, by Student's t; empty for one seed
        seconds, memory    fit, evaluate                         memory in bytes at the peak
    comparison
      best       NAME
      tests      NAME: {mean, low, high, p_value, p_adjusted}    best minus this one

`per_query.npz` holds the primary metric on every test query for each model, for paired tests with later runs.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from genre.core.errors import ArtifactError
from genre.core.files import atomic_file
from genre.evaluation.slices import Gap
from genre.metrics.statistics import Interval

METRICS_FILE = "metrics.json"
PER_QUERY_FILE = "per_query.npz"

Intervals = dict[str, Interval]


@dataclass(frozen=True)
class GroupResult:
    """The primary metric of one group."""

    value: Interval
    queries: int


@dataclass(frozen=True)
class SliceResult:
    """The groups of one slice, and how far they are apart."""

    groups: dict[str, GroupResult]
    gap: Gap | None


@dataclass(frozen=True)
class Curve:
    """Predicted probabilities against observed shares, by bins."""

    predicted: list[float]
    observed: list[float]
    sizes: list[int]


@dataclass(frozen=True)
class Clicks:
    """How well clicks are told from other shown items."""

    values: Intervals
    """auc, gauc, log_loss, calibration_error."""
    curve: Curve


@dataclass(frozen=True)
class ModelResult:
    """All that was found of one model."""

    test: Intervals
    validation: Intervals
    beyond: Intervals
    clicks: Clicks
    slices: dict[str, SliceResult]
    seeds: Intervals
    """Over seeds, where there are several."""
    seconds: dict[str, float]
    """fit, evaluate, and answer, of one question by itself; the mean over seeds and splits."""
    memory: dict[str, int]
    """fit, evaluate; bytes at the peak, the most of all seeds and splits."""


@dataclass(frozen=True)
class AgainstBest:
    """By how much the best model is better than another, on the same queries."""

    mean: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    """Adjusted for the number of models by Holm's method."""


@dataclass(frozen=True)
class Comparison:
    """The best model by the primary metric on the test part, against each other one."""

    best: str
    tests: dict[str, AgainstBest]


@dataclass(frozen=True, eq=False)
class Results:
    """All that an experiment found."""

    primary: str
    protocol: dict[str, Any]
    """How it was measured: the evaluation settings, numbers of queries, and where clicks come from."""
    models: dict[str, ModelResult]
    comparison: Comparison
    per_query: dict[str, NDArray[np.float64]]
    """The primary metric on every test query (B,), the mean over seeds, by model."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as in `metrics.json`."""
        models = {name: asdict(model) for name, model in self.models.items()}
        plain: dict[str, Any] = _without_nan(
            {
                "primary": self.primary,
                "protocol": self.protocol,
                "models": models,
                "comparison": asdict(self.comparison),
            }
        )
        return plain

    def save(self, directory: Path) -> None:
        """Write `metrics.json` and `per_query.npz` into an existing directory."""
        with atomic_file(directory / METRICS_FILE) as path:
            path.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False), encoding="utf-8")
        with atomic_file(directory / PER_QUERY_FILE) as path, path.open("wb") as stream:
            np.savez_compressed(stream, models=list(self.per_query), values=list(self.per_query.values()))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: A file is missing or damaged.
        """
        try:
            stored = _with_nan(json.loads((directory / METRICS_FILE).read_text(encoding="utf-8")))
            with np.load(directory / PER_QUERY_FILE) as arrays:
                per_query = dict(zip(arrays["models"].tolist(), arrays["values"], strict=True))
            models = TypeAdapter(dict[str, ModelResult]).validate_python(stored["models"])
            comparison = TypeAdapter(Comparison).validate_python(stored["comparison"])
            return cls(stored["primary"], stored["protocol"], models, comparison, per_query)
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise ArtifactError(
                f"the metrics cannot be read ({error})", place=str(directory), remedy="Run the experiment again."
            ) from error


def _without_nan(value: Any) -> Any:
    """Put None, which JSON knows, in the place of NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_nan(value: Any) -> Any:
    """Undo `_without_nan` where only a number can stand: in the intervals."""
    if isinstance(value, list):
        return [_with_nan(part) for part in value]
    if not isinstance(value, dict):
        return value
    missing = math.nan if "mean" in value else None
    return {name: missing if part is None else _with_nan(part) for name, part in value.items()}
