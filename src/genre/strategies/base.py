"""Two kinds of strategy: a rule narrows what may be recommended, a reshaping reorders or thins what was."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from genre.core.queries import Candidates, Queries, Recommendations
from genre.data.dataset import Dataset


@runtime_checkable
class Rule(Protocol):
    """Acts before ranking, so that the model fills its list with what is allowed."""

    def narrow(self, queries: Queries, candidates: Candidates) -> Candidates:
        """Return the candidates that the rule leaves."""


@runtime_checkable
class Strategy(Protocol):
    """Acts on a ranked list that is longer than what will be shown."""

    def __call__(self, queries: Queries, recommendations: Recommendations, rng: np.random.Generator) -> Recommendations:
        """Return the list as it should be shown, best first."""


class StrategyConfig(Protocol):
    """Settings of a rule or a reshaping."""

    @property
    def kind(self) -> str:
        """What it is called in a config."""

    def build(self, data: Dataset) -> Rule | Strategy:
        """Return it for this catalogue."""
