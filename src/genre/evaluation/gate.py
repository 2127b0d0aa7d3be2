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
    growth: float = Field(default=2.0, ge=1)
    """How many times as many lists as before may show an item."""
    drift: float = Field(default=0.05, ge=0, le=1)
    """Share of the lists that may show it beyond that, whatever the reason."""
    backing: float = Field(default=40.0, ge=0)
    """Share of the lists that may show it beyond that, for each share of the established users who liked it lately:
    what 1 % of them like, 40 % of the lists may hold. Who has just come does not count: accounts are cheap."""
    origin: float = Field(default=0.015, ge=0, le=1)
    """Share of the newcomers who may like one item whatever the established users do."""
    origin_backing: float = Field(default=3.0, ge=0)
    """How many times as large it may be beyond that as the share of the established users who liked the item."""
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
    newcomers: NDArray[np.float64]
    """(I,) the same of users who have just come."""
    num_newcomers: int
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
        _wanted_by_all(evidence, config),
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
    """Look at the item that is shown furthest beyond what may explain it."""
    lists = max(1, evidence.candidate.lists)
    before, after = evidence.live.shown / lists, evidence.candidate.shown / lists
    if not len(after):
        return Check("exposure", 0.0, config.drift, True, "nothing is shown")
    allowed = config.growth * before + max(config.drift, _FEW / lists) + config.backing * evidence.backing
    item = int(np.argmax(after - allowed))
    words = (
        f"item {_name(evidence, item)} stands in {after[item]:.1%} of the lists after {before[item]:.1%}, and "
        f"{allowed[item]:.1%} could be explained: {evidence.backing[item]:.1%} of the established users liked it"
    )
    over = int(np.count_nonzero(after > allowed))
    words += f"; {over - 1:,} other items are over their bound" if over > 1 else ""
    return Check("exposure", float(after[item]), float(allowed[item]), over == 0, words)


def _wanted_by_all(evidence: Evidence, config: GateConfig) -> Check:
    """Look at the item that newcomers like most beyond what established users do: as accounts made to push it would.

    What is pushed need not be shown yet to be learned: this looks at the events, where the exposure looks at what the
    model made of them.
    """
    if not evidence.newcomers.any():
        return Check("origin", 0.0, config.origin, True, "nobody new likes anything")
    allowed = max(config.origin, _FEW / evidence.num_newcomers) + config.origin_backing * evidence.backing
    item = int(np.argmax(evidence.newcomers - allowed))
    words = (
        f"item {_name(evidence, item)} is liked by {evidence.newcomers[item]:.1%} of {evidence.num_newcomers:,} "
        f"newcomers, and by {evidence.backing[item]:.1%} of the established users: {allowed[item]:.1%} could be "
        "explained"
    )
    over = int(np.count_nonzero(evidence.newcomers > allowed))
    words += f"; {over - 1:,} other items are over their bound" if over > 1 else ""
    return Check("origin", float(evidence.newcomers[item]), float(allowed[item]), over == 0, words)


def _name(evidence: Evidence, item: int) -> str:
    return repr(evidence.items[item]) if len(evidence.items) else str(item)


def _quick(evidence: Evidence, config: GateConfig) -> Check:
    live, candidate = (1000 * seconds for seconds in evidence.seconds)
    bound = config.latency * live if config.latency_ms is None else config.latency_ms
    words = f"an answer takes {candidate:.2f} ms after {live:.2f} ms, {bound:.2f} ms are allowed"
    return Check("latency", candidate, bound, not candidate > bound, words)
