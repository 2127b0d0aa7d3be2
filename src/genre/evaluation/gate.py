"""Whether a model that has learned from new events may take the place of the one that answers now.

Pure functions: what they judge is measured in `shadow`. Shapes: B questions, I items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre.core.config import Config
from genre.metrics.beyond import entropy
from genre.metrics.statistics import bootstrap_means

_FEW = 5
"""Lists that may always be more, so that a handful of users is no evidence."""


class GateConfig(Config):
    """What a new version must keep to."""

    least_questions: int = Field(default=100, ge=1)
    """Questions below which nothing can be told, and nothing goes live."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """How sure it must be that accuracy has fallen, for that to be a reason."""
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    """Share of the live model's accuracy that may be lost even where that is sure."""
    drift: float = Field(default=0.02, ge=0, le=1)
    """By how much the share of lists that show an item may rise whatever the reason: updates without any attack move
    single items by so much."""
    backing: float = Field(default=10.0, ge=0)
    """By how much more it may rise, for each share of the established users who liked the item lately. Who has just
    come does not count: accounts are cheap."""
    variety: float = Field(default=0.5, ge=0, le=1)
    """Least number of items that are shown, as evenly shown ones, beside the live model's."""
    latency: float = Field(default=2.0, gt=0)
    """Most time for an answer, beside the live model's in the same minutes."""
    latency_ms: float | None = Field(default=None, gt=0)
    """Most milliseconds for an answer, where there is a limit; what is below needs no comparison."""
    bootstrap: int = Field(default=2000, ge=100)
    """Samples behind the bound of the accuracy."""


@dataclass(frozen=True, eq=False)
class Asked:
    """What a model answered to the shadow questions."""

    accuracy: NDArray[np.float64]
    """(B,)"""
    shown: NDArray[np.int64]
    """(I,) lists that show each item, of those that established users would get now."""
    lists: int
    """How many these lists are."""
    unsound: int
    """Questions with a score that is no number, or an item that is not there."""
    empty: int
    """Questions without an answer."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that a decision is made from: both models on the same questions, none of which either has learned."""

    metric: str
    live: Asked
    candidate: Asked
    backing: NDArray[np.float64]
    """(I,) share of the established users with new likes who liked the item among these."""
    seconds: tuple[float, float]
    """Median time of an answer, of the live model and of the candidate, measured in turns."""
    breaches: Sequence[str] | None = None
    """Where its writing is over the budget, in words; None where there is no budget."""
    items: Sequence[str] = ()
    """(I,) what items are called in reasons; their rows where it is empty."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    value: float
    bound: float
    passed: bool
    words: str
    """What was found, for people."""


@dataclass(frozen=True)
class Decision:
    """What is to become of a candidate, and why."""

    promoted: bool
    checks: tuple[Check, ...]

    @property
    def reason(self) -> str:
        """What it failed in; where in nothing, what it was found to be."""
        failed = [check.words for check in self.checks if not check.passed]
        return "; ".join(failed or [check.words for check in self.checks if check.name == "accuracy"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {"promoted": self.promoted, "reason": self.reason, "checks": [asdict(check) for check in self.checks]}


def decide(evidence: Evidence, config: GateConfig, rng: np.random.Generator) -> Decision:
    """Look at everything, and promote only what passes all of it.

    Args:
        evidence: What was measured.
        config: The bounds.
        rng: Draws the bootstrap's samples.
    """
    found = [
        _enough(evidence, config),
        _sound(evidence),
        _answered(evidence),
        _varied(evidence, config),
        _accurate(evidence, config, rng),
        _exposed(evidence, config),
        _quick(evidence, config),
    ]
    if evidence.breaches is not None:
        told = "; ".join(evidence.breaches) or "its writing is inside the budget"
        found.append(Check("writing", float(len(evidence.breaches)), 0.0, not evidence.breaches, told))
    return Decision(all(check.passed for check in found), tuple(found))


def _enough(evidence: Evidence, config: GateConfig) -> Check:
    count, least = len(evidence.candidate.accuracy), config.least_questions
    words = f"{count:,} questions of established users, {least:,} are needed"
    return Check("questions", float(count), float(least), count >= least, words)


def _sound(evidence: Evidence) -> Check:
    bad = evidence.candidate.unsound
    words = f"{bad:,} of {len(evidence.candidate.accuracy):,} answers hold a score that is no number"
    return Check("sound", float(bad), 0.0, bad == 0, words)


def _answered(evidence: Evidence) -> Check:
    live, candidate = evidence.live.empty, evidence.candidate.empty
    words = f"{candidate:,} of {len(evidence.candidate.accuracy):,} questions have no answer, {live:,} before"
    return Check("answered", float(candidate), float(live), candidate <= live, words)


def _varied(evidence: Evidence, config: GateConfig) -> Check:
    live, candidate = (_num_shown(asked.shown) for asked in (evidence.live, evidence.candidate))
    bound = config.variety * live
    words = f"it shows as many items as {candidate:,.0f} evenly shown ones, and {live:,.0f} were shown before"
    return Check("variety", candidate, bound, candidate >= bound, words)


def _num_shown(shown: NDArray[np.int64]) -> float:
    return float(2 ** entropy(shown)) if shown.any() else 0.0


def _accurate(evidence: Evidence, config: GateConfig, rng: np.random.Generator) -> Check:
    """Look whether the accuracy has fallen for sure: whether even the upper bound of the change is a loss.

    The rule is one-sided: who is better is never refused. It leaves the doubt to the candidate, since it has seen more;
    what it must not be is worse.
    """
    before, after = evidence.live.accuracy, evidence.candidate.accuracy
    if not len(before):
        return Check("accuracy", float("-inf"), 0.0, False, "there is no question to judge its accuracy by")
    change = after - before
    means = bootstrap_means(change, config.bootstrap, rng)
    low, high = (float(np.quantile(means, share)) for share in (1 - config.confidence, config.confidence))
    bound = -config.tolerance * float(before.mean())
    words = (
        f"{evidence.metric} {after.mean():.4f} after {before.mean():.4f}: "
        f"{change.mean():+.4f}, between {low:+.4f} and {high:+.4f}"
    )
    return Check("accuracy", high, bound, high >= bound, words)


def _exposed(evidence: Evidence, config: GateConfig) -> Check:
    """Look at the item that has risen furthest beyond what may explain it."""
    lists = max(1, evidence.candidate.lists)
    rise = (evidence.candidate.shown - evidence.live.shown) / lists
    if not len(rise):
        return Check("exposure", 0.0, config.drift, True, "nothing is shown")
    allowed = max(config.drift, _FEW / lists) + config.backing * evidence.backing
    item = int(np.argmax(rise - allowed))
    name = evidence.items[item] if len(evidence.items) else item
    words = (
        f"item {name!r} stands in {evidence.candidate.shown[item] / lists:.1%} of the lists after "
        f"{evidence.live.shown[item] / lists:.1%}, and a rise of {allowed[item]:.1%} could be explained: "
        f"{evidence.backing[item]:.1%} of the established users liked it"
    )
    over = int(np.count_nonzero(rise > allowed))
    words += f"; {over - 1:,} other items are over their bound" if over > 1 else ""
    return Check("exposure", float(rise[item]), float(allowed[item]), over == 0, words)


def _quick(evidence: Evidence, config: GateConfig) -> Check:
    live, candidate = (1000 * seconds for seconds in evidence.seconds)
    bound = config.latency * live if config.latency_ms is None else config.latency_ms
    words = f"an answer takes {candidate:.2f} ms after {live:.2f} ms, {bound:.2f} ms are allowed"
    return Check("latency", candidate, bound, not candidate > bound, words)
