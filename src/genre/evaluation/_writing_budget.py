"""How much worse a model may write than before, and where it does not keep to that."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ConfigDict, RootModel, ValidationError, field_validator

from genre.core.errors import ConfigError
from genre.evaluation._measures import WRITING, measure, number
from genre.evaluation._writing_profile import WritingProfile
from genre.evaluation._writing_prompts import CHECKS

_PERCENT = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*%")
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Limit:
    """How far one measure may move in its bad direction."""

    amount: float
    """Above 0 where less is better, below where more is."""
    relative: bool
    """Whether the amount is a share of what the measure was."""

    @classmethod
    def of(cls, name: str, value: Any) -> Self:
        """Read the limit of a measure: a percentage, or a number.

        Raises:
            ValueError: It is neither.
        """
        percent = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
        if percent:
            return cls(float(percent[1]) / 100, relative=True)
        try:
            amount = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            amount = math.nan
        if not math.isfinite(amount):
            raise ValueError(
                f"{name} = {value!r} is no limit: write a percentage such as '+2%', or a number such as 0.05"
            )
        return cls(amount, relative=False)

    def __str__(self) -> str:
        shown = f"{100 * self.amount:+.6g} %" if self.relative else f"{self.amount:+.6g}"
        return shown.replace("-", "−")


class Budget(RootModel[dict[str, str | float]]):
    """Limits by measure, such as `{bits_per_byte: +2%, distinct_2: -2%, instructions: -1%, kl: 0.1}`.

    A number with a percent sign is relative to the model before, a number without is in the measure's own unit. `@`
    names a part: `bits_per_byte@catalogue`, `bits_per_byte@general/zh`, `instructions@json`, `lm_eval@<task>`. Limits
    are compared with the values themselves and not with the bounds of their intervals.
    """

    model_config = ConfigDict(frozen=True)

    @field_validator("root", mode="before")
    @classmethod
    def _possible(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValueError(f"{given!r} is no budget: write limits by measure, such as {{bits_per_byte: +2%}}")
        for name, value in given.items():
            _limit(str(name), value)
        return given

    @classmethod
    def of(cls, limits: Mapping[str, str | float], place: str = "budget") -> Self:
        """Return a budget from Python.

        Raises:
            ConfigError: There is no such measure, or no model could break or keep such a limit.
        """
        try:
            return cls.model_validate(limits)
        except ValidationError as error:
            said = [problem["msg"].removeprefix("Value error, ") for problem in error.errors(include_url=False)]
            raise ConfigError("\n".join(said), place=place) from error

    @property
    def limits(self) -> dict[str, Limit]:
        """Return the limits by measure."""
        return {name: _limit(name, value) for name, value in self.root.items()}

    def breaches(self, before: WritingProfile, after: WritingProfile) -> list[str]:
        """Return a sentence for each limit that is broken; none where the model is inside the budget.

        A measure that is no number any more, as of a model whose training diverged, breaks every limit.

        Raises:
            ConfigError: A measure of the budget is not in both profiles.
        """
        moved = self._moved(before, after)
        return [
            _in_words(name, before.values[name], after.values[name], limit)
            for name, limit in self.limits.items()
            if not moved[name] <= abs(limit.amount) + _ROUNDING
        ]

    def excess(self, before: WritingProfile, after: WritingProfile) -> float:
        """Return by how many times the limit that is broken most is exceeded, less 1; 0 or less inside the budget.

        Raises:
            ConfigError: A measure of the budget is not in both profiles.
        """
        moved = self._moved(before, after)
        over = [
            (moved[name] - abs(limit.amount) - _ROUNDING) / (abs(limit.amount) or 1)
            for name, limit in self.limits.items()
        ]
        return max((math.inf if math.isnan(value) else value for value in over), default=0.0)

    def _moved(self, before: WritingProfile, after: WritingProfile) -> dict[str, float]:
        """Return how far each limited measure went in its bad direction, in the limit's own terms."""
        found = {}
        for name, limit in self.limits.items():
            if name not in before.values or name not in after.values:
                measured = sorted(set(before.values) & set(after.values))
                raise ConfigError(
                    f"{name!r} has a limit, but was not measured before and after",
                    place="budget",
                    remedy=f"Measure it, or limit one of these: {', '.join(measured)}.",
                )
            was, now = before.values[name], after.values[name]
            worse = (now - was) * (1 if measure(name).better == "less" else -1)
            # Of nothing there are no shares: whatever is worse than 0 is over a relative limit.
            found[name] = worse if not limit.relative else worse / was if was else worse and math.inf * worse
        return found


def _limit(name: str, value: Any) -> Limit:
    base, _, part = name.partition("@")
    if base not in WRITING:
        raise ValueError(f"there is no measure {name!r} of writing. Valid: {', '.join(WRITING)}")
    if base == "lm_eval" and not part:
        raise ValueError(f"{name!r} names no task: write `lm_eval@` and one")
    if base == "instructions" and part and part not in CHECKS:
        raise ValueError(f"{name!r} is no kind of instruction. Valid after `@`: {', '.join(CHECKS)}")
    limit = Limit.of(name, value)
    worse = 1 if measure(name).better == "less" else -1
    if limit.amount * worse < 0:
        way = "rises" if worse > 0 else "falls"
        raise ValueError(
            f"{name} = {value!r} asks for an improvement, and a budget says how much worse a model may get: {name} "
            f"gets worse as it {way}, so the limit begins with {'+' if worse > 0 else '-'}"
        )
    if worse < 0 and limit.relative and limit.amount <= -1:
        raise ValueError(f"{name} = {value!r} cannot be broken: no model loses more than all. Choose less than 100%")
    if base == "kl" and limit.relative:
        raise ValueError(f"{name} = {value!r} is a share of the base's own, which is 0: give nats, such as 0.1")
    return limit


def _in_words(name: str, was: float, now: float, limit: Limit) -> str:
    label = measure(name).label
    if not math.isfinite(now):
        return f"{label} is no number any more, from {number(was)}; the budget allows {limit}"
    way, by = ("rose" if now > was else "fell"), abs(now - was)
    share = f"{100 * by / was:.1f} %" if limit.relative and was else number(by, 4)
    return f"{label} {way} by {share}, from {number(was)} to {number(now)}; the budget allows {limit}"
