"""The search for a fine-tune that keeps within a budget: of ways to protect and shares of what each learned, the best.

Shapes: Q questions, or whatever models are compared on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre.adaptation.scale import USUAL, Scale
from genre.core.config import Config
from genre.core.run import RunContext
from genre.evaluation.writing import Budget, WritingConfig, WritingProfile, check_measured
from genre.language.decoding import LoadedModel
from genre.language.tuning import TunedModel
from genre.metrics.statistics import paired_difference
from genre.recommenders.base import State
from genre.training.protection_config import ProtectionConfig

Look: TypeAlias = Callable[[], tuple[NDArray[np.float64], LoadedModel, State]]
"""Returns how good a model is (Q,), what writes, and what it has learned, all with the share that counts now."""


def _usual_protections() -> dict[str, ProtectionConfig]:
    """Return nothing, divergence from the base, and a budget that is held."""
    return {
        "unprotected": ProtectionConfig(),
        "kl": ProtectionConfig(kl=1.0),
        "held": ProtectionConfig(kl=1.0, replay=0.1, hold=0.01),
    }


def check_shares(shares: Sequence[float]) -> None:
    """Make sure that all of what was learned is tried, and else parts of it.

    Raises:
        ValueError: It is not so.
    """
    if any(not 0 < share <= 1 for share in shares) or 1.0 not in shares:
        raise ValueError(f"`shares` {shares} must be above 0 and at most 1, and hold 1")


class SearchConfig(Config):
    """What is tried, and what may be lost."""

    protections: dict[str, ProtectionConfig] = Field(default_factory=_usual_protections)
    """Ways to protect, by names of your own; each is a training."""
    shares: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    """Shares of what was learned that are tried after each training, from the largest down to the first that keeps
    within the budget. They cost no training: only what was learned is scaled."""
    budget: Budget = USUAL
    """What may be lost of the base's writing."""
    writing: WritingConfig = WritingConfig()
    """How writing is measured."""

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        check_measured(self.budget, self.writing, "budget")
        if not self.protections:
            raise ValueError("`protections` is empty; one that protects nothing is written as `unprotected: {}`")
        check_shares(self.shares)
        return self

    @property
    def free(self) -> str | None:
        """The protection that protects nothing."""
        return next((name for name, one in self.protections.items() if not one.is_on), None)


@dataclass(frozen=True)
class Point:
    """One way to fine-tune: how good it is at what it learned, and what it writes like."""

    protection: str | None
    """By its name; None for the frozen base."""
    share: float
    quality: NDArray[np.float64]
    """(Q,) the more the better."""
    writing: WritingProfile
    breaches: tuple[str, ...] = ()
    """Where it is over the budget, in words."""
    excess: float = 0.0
    """By how many times the limit that is broken most is exceeded, less 1."""

    def told(self, measure: str) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "protection": self.protection,
            "share": self.share,
            measure: float(self.quality.mean()),
            "writing": dict(self.writing.values),
            "breaches": list(self.breaches),
        }


class Search:
    """Every point that was looked at, and the best of those inside the budget: the frozen base to begin with."""

    def __init__(
        self, config: SearchConfig, scale: Scale, frozen: NDArray[np.float64], state: State, measure: str = "NDCG@10"
    ) -> None:
        """Begin with the frozen base.

        Args:
            config: What is tried.
            scale: Measures writing beside it.
            frozen: (Q,) how good the model is while the base is frozen.
            state: What that one has learned.
            measure: What `frozen` is called.

        Raises:
            ConfigError: The budget limits what is not measured.
        """
        config.budget.breaches(scale.base, scale.base)
        self.config, self.scale, self.measure = config, scale, measure
        self.points = [Point(None, 1.0, frozen, scale.base)]
        self.kept, self.state = self.points[0], state

    def add(self, protection: str, tuned: TunedModel, look: Look) -> None:
        """Let all of what was learned count, or less and less of it, until writing is inside the budget.

        Such interpolation costs no training (Wortsman et al.: Robust Fine-Tuning of Zero-Shot Models, CVPR 2022).
        """
        for share in sorted(self.config.shares, reverse=True):
            with tuned.interpolated(share):
                quality, writer, state = look()
                state = {name: np.array(value) for name, value in state.items()}
                writing = self.scale.measured(writer)
            budget = self.config.budget
            breaches = tuple(budget.breaches(self.scale.base, writing))
            excess = budget.excess(self.scale.base, writing)
            self.points.append(Point(protection, share, quality, writing, breaches, excess))
            if not breaches:
                if quality.mean() > self.kept.quality.mean():
                    self.kept, self.state = self.points[-1], state
                break

    def told(self) -> list[dict[str, Any]]:
        """Return all points as plain values."""
        return [point.told(self.measure) for point in self.points]

    def choice(self, run: RunContext) -> dict[str, Any]:
        """Return which point was kept, what it keeps of the unprotected gain, and what the nearest outside would cost.

        Args:
            run: Draws for the interval.
        """
        kept, (frozen, *others) = self.kept, self.points
        whole = (point for point in others if point.protection == self.config.free and point.share == 1)
        unprotected = next(whole, frozen)
        gain, free_gain = (float((point.quality - frozen.quality).mean()) for point in (kept, unprotected))
        over = [point for point in others if point.breaches and point.quality.mean() > kept.quality.mean()]
        nearest = min(over, key=lambda point: point.excess, default=None)
        return {
            "protection": kept.protection,
            "share": kept.share,
            "gain": asdict(paired_difference(kept.quality, frozen.quality, rng=run.rng("guard.gain"))),
            "share_of_free_gain": gain / free_gain if free_gain > 0 else None,
            "nearest": None if nearest is None else nearest.told(self.measure),
        }
