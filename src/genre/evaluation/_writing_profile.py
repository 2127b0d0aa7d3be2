"""What was measured of a language model's writing, and how two measurements differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ConfigError
from genre.metrics.statistics import Interval, ratio_change


@dataclass(frozen=True, eq=False)
class WritingProfile:
    """How a model writes, with the weights that were active when it was measured."""

    key: str
    """A hash of texts, prompts and sampling: only profiles with the same can be compared."""
    values: dict[str, float]
    """Each measure: `bits_per_byte` of general text, `bits_per_byte@catalogue`, `bits_per_byte@general/zh` where there
    are several languages, `kl`, `distinct_1`, `distinct_2`, `distinct_3`, `self_bleu`, `repetition`, `instructions`,
    `instructions@json` and the other kinds, `lm_eval@<task>`."""
    samples: dict[str, NDArray[np.float64]]
    """(N, 2) what each text, answer or prompt adds to the upper and the lower sum that the value is the ratio of: bits
    and bytes, nats and tokens, and 1 for the lower one of a mean. `lm_eval` has none."""
    prompts: tuple[str, ...] = ()
    """What it was asked to write freely of."""
    answers: tuple[str, ...] = ()
    """What it wrote, in the order of the prompts."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What each part took."""

    @classmethod
    def of(
        cls,
        key: str,
        samples: Mapping[str, NDArray[np.float64]],
        *,
        others: Mapping[str, float] | None = None,
        prompts: Sequence[str] = (),
        answers: Sequence[str] = (),
        seconds: Mapping[str, float] | None = None,
    ) -> Self:
        """Return a profile with the values that follow from samples; a measure without anything to it is left out.

        Args:
            key: See the field.
            samples: See the field.
            others: Values without samples.
            prompts: See the field.
            answers: See the field.
            seconds: See the field.
        """
        kept = {name: np.asarray(pairs, np.float64) for name, pairs in samples.items() if pairs[:, 1].sum() > 0}
        values = {name: float(pairs[:, 0].sum() / pairs[:, 1].sum()) for name, pairs in kept.items()}
        return cls(key, values | dict(others or {}), kept, tuple(prompts), tuple(answers), dict(seconds or {}))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self) | {"samples": {name: pairs.tolist() for name, pairs in self.samples.items()}}


@dataclass(frozen=True, slots=True)
class Change:
    """One measure in two profiles."""

    before: float
    after: float
    difference: Interval
    """In the measure's own unit."""
    relative: Interval
    """As a share of what it was; NaN where that was 0."""


def compare(
    before: WritingProfile,
    after: WritingProfile,
    *,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Change]:
    """Return how each measure that both profiles have has changed, with paired bootstrap intervals.

    Which direction is better is said by `genre.evaluation._measures.measure`. The intervals of distinct-n take as
    given how often each n-gram stands in all answers together, and bounds are NaN for `lm_eval`, which has no samples.

    Raises:
        ConfigError: They were measured with different texts, prompts or settings.
    """
    if before.key != after.key:
        raise ConfigError(
            f"the profiles were measured with different texts, prompts or sampling: {before.key!r} and {after.key!r}",
            place="writing",
            remedy="Measure both with the same `WritingConfig`, catalogue and reference.",
        )
    changes = {}
    for name in [name for name in before.values if name in after.values]:
        was, now = before.values[name], after.values[name]
        if name in before.samples and name in after.samples:
            # The same rows for all measures and both forms of the change.
            difference, relative = (
                ratio_change(
                    before.samples[name],
                    after.samples[name],
                    relative=share,
                    samples=samples,
                    confidence=confidence,
                    rng=np.random.default_rng(seed),
                )
                for share in (False, True)
            )
        else:
            nan = float("nan")
            difference, relative = Interval(now - was, nan, nan), Interval((now - was) / was if was else nan, nan, nan)
        changes[name] = Change(was, now, difference, relative)
    return changes
