"""What a model takes and gives, in two forms side by side; and limits on what the smaller one may lose.

Shapes: Q questions.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre.core.errors import ConfigError
from genre.core.files import atomic_file
from genre.evaluation import plots
from genre.evaluation._measures import Better, measure, number, size
from genre.evaluation.writing import Change, Limit
from genre.metrics.statistics import Interval, ratio_change

SIZE, WEIGHTS, ONE, MANY = "size", "weights", "latency", "latency@many"
ACCOUNT, PICTURE = "compression.json", "compression.svg"
RUN, BESIDE = "run", "beside"
"""In the account of a run's compression: the run's directory; and accuracy and time to answer of the whole model, and
of the others there."""
_BYTES, _SECONDS = (SIZE, WEIGHTS), (ONE, MANY)
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure of both forms."""

    name: str
    """`size` on disk and `weights` in memory, in bytes; `latency` of one call and `latency@many` of each of several
    together, in seconds; and what the model is for, such as `NDCG@10` or `bits_per_byte`."""
    before: float
    after: float
    better: Better
    change: Interval
    """As a share of what it was; bounds are NaN where it was not counted on questions or texts."""
    noise: bool = False
    """Whether a loss of up to twice the limit counts only where the interval has no place for none: so it is where one
    question more or less that is answered right is a large share."""
    count: int | None = None
    """Questions that it is a mean over, where it is."""

    @property
    def label(self) -> str:
        """What it is called."""
        return {SIZE: "size on disk", WEIGHTS: "weights in memory", ONE: "one at a time", MANY: "many at a time"}.get(
            self.name, measure(self.name).label
        )

    def shown(self, value: float) -> str:
        """Return a value as people read it."""
        if self.name in _BYTES:
            return size(value) if value >= 2**20 else f"{value / 1024:.0f} KiB"
        return f"{1000 * value:.3g} ms" if self.name in _SECONDS else number(value, 4)


def of_two(name: str, values: Iterable[float], better: Better = "less") -> Compared:
    """Return a measure that was taken once of each form."""
    before, after = values
    share = (after - before) / before if before else math.nan
    return Compared(name, before, after, better, Interval(share, math.nan, math.nan))


def of_calls(name: str, first: Callable[[], object], second: Callable[[], object], *, turns: int, per: int) -> Compared:
    """Return the median seconds of calls of both forms, for each of the `per` things that a call answers."""
    return of_two(name, (seconds / per for seconds in in_turns(first, second, turns)))


def of_questions(
    name: str, before: NDArray[np.floating], after: NDArray[np.floating], rng: np.random.Generator
) -> Compared:
    """Return a mean over the same questions (Q,), the higher the better."""
    pairs = [np.stack([values, np.ones_like(values)], axis=1) for values in (before, after)]
    change = ratio_change(*pairs, relative=True, rng=rng)
    return Compared(name, float(before.mean()), float(after.mean()), "more", change, noise=True, count=len(before))


def of_writing(changes: Mapping[str, Change]) -> list[Compared]:
    """Return what was measured of writing."""
    return [
        Compared(name, change.before, change.after, measure(name).better, change.relative)
        for name, change in changes.items()
    ]


class Limits:
    """How far each measure may move, with its sign: `NDCG@10=-1%` may lose so much, `size=-50%` must save so much."""

    def __init__(self, given: Mapping[str, str | float], place: str = "--budget") -> None:
        """Read them.

        Args:
            given: Percentages, which are relative to what a measure was, or numbers in its own unit.
            place: Where they stand, for the message.

        Raises:
            ConfigError: One is no limit.
        """
        self.place = place
        try:
            self.limits = {name: Limit.of(name, value) for name, value in given.items()}
        except ValueError as error:
            raise ConfigError(str(error), place=place) from error

    def check(self, names: Sequence[str]) -> None:
        """Make sure that what is limited will be measured, as far as is known before.

        Raises:
            ConfigError: It will not.
        """
        for name in self.limits:
            if name not in names and name.partition("@")[0] not in names:
                raise ConfigError(
                    f"{name!r} has a limit and is not measured here",
                    place=self.place,
                    remedy=f"Limit some of these: {', '.join(names)}.",
                )

    def breaches(self, compared: Sequence[Compared]) -> list[str]:
        """Return a sentence for each limit that is not kept.

        A value that is no number keeps none.

        Raises:
            ConfigError: What is limited was not measured.
        """
        self.check([one.name for one in compared])
        return [
            _in_words(one, self.limits[one.name])
            for one in compared
            if one.name in self.limits and not _is_kept(one, self.limits[one.name])
        ]

    def doubts(self, compared: Sequence[Compared]) -> list[str]:
        """Return a sentence for each loss past its limit that is let pass, since it may be chance."""
        return [
            f"{_in_words(one, self.limits[one.name])}. That cannot be told from chance. More questions would tell"
            for one in compared
            if one.name in self.limits
            and _is_kept(one, self.limits[one.name])
            and _excess(one, self.limits[one.name]) > _ROUNDING
        ]


@dataclass(frozen=True)
class Compression:
    """What came of it."""

    model: str
    """What was compressed."""
    method: str
    compared: tuple[Compared, ...]
    breaches: tuple[str, ...]
    """Where it is past the budget, in words; nothing was then written."""
    directory: Path
    """Where the compressed form is, or would be."""
    told: Mapping[str, Any]
    """What else there is to say of the method."""
    doubts: tuple[str, ...] = ()
    """Losses past the budget that cannot be told from chance, in words; they are let pass up to twice the limit."""

    def save(self, directory: Path) -> None:
        """Write all of it as JSON, and a picture, into an existing directory."""
        account = {"model": self.model, "method": self.method, **self.told, "doubts": list(self.doubts)}
        account["measures"] = [asdict(one) for one in self.compared]
        with atomic_file(directory / ACCOUNT) as path:
            path.write_text(json.dumps(_plain(account), indent=1, ensure_ascii=False), encoding="utf-8")
        with atomic_file(directory / PICTURE) as path:
            path.write_text(picture(self.compared), encoding="utf-8")


def picture(compared: Sequence[Compared]) -> str:
    """Return what each measure of the compressed form is beside the original's, which is 1."""
    rows = [
        plots.Row(
            one.label,
            (plots.Dot(Interval(*(1 + bound for bound in asdict(one.change).values())), plots.tone(0)),),
            f"{one.shown(one.before)} → {one.shown(one.after)}",
        )
        for one in compared
        if math.isfinite(one.change.mean)
    ]
    return plots.dots(rows, axis="compressed over original", reference=1.0)


def in_turns(first: Callable[[], object], second: Callable[[], object], turns: int) -> tuple[float, float]:
    """Return the median seconds of two calls, which take turns, so that what else the machine does falls on both.

    Each is called once before the clock starts, and the order turns round every time.
    """
    calls, seconds = (first, second), np.zeros((2, turns))
    for call in calls:
        call()
    for turn in range(turns):
        for place in (0, 1) if turn % 2 else (1, 0):
            began = time.perf_counter()
            calls[place]()
            seconds[place, turn] = time.perf_counter() - began
    one, other = np.median(seconds, axis=1).tolist()
    return one, other


def bytes_on_disk(path: Path) -> int:
    """Return the bytes of a file, or of all files below a directory."""
    return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())


def bytes_held(thing: Any, seen: dict[int, Any] | None = None) -> int:
    """Return the bytes of all arrays, tensors and graphs that an object holds, those that are shared once.

    Args:
        thing: Anything.
        seen: What was counted, by address; it is held, since the address of what is gone is given to something else.
    """
    seen = {} if seen is None else seen
    if isinstance(thing, str | int | float | type) or _is_known(id(thing), thing, seen):
        return 0
    if isinstance(thing, bytes):
        return len(thing)
    if isinstance(thing, np.ndarray):
        while isinstance(thing.base, np.ndarray):
            thing = thing.base
        return 0 if _is_known(thing.ctypes.data, thing, seen) else thing.nbytes
    if hasattr(thing, "untyped_storage"):
        storage = thing.untyped_storage()
        return 0 if _is_known(storage.data_ptr(), storage, seen) else int(storage.nbytes())
    if hasattr(thing, "named_buffers"):
        return bytes_held([*thing.parameters(), *thing.buffers()], seen)
    if isinstance(thing, Mapping):
        return sum(bytes_held(part, seen) for part in thing.values())
    if isinstance(thing, list | tuple):
        return sum(bytes_held(part, seen) for part in thing)
    # Other libraries' objects hold more than what was learned.
    is_ours = type(thing).__module__.startswith("genre.") and hasattr(thing, "__dict__")
    return bytes_held(vars(thing), seen) if is_ours else 0


def _is_known(address: int, thing: Any, seen: dict[int, Any]) -> bool:
    known = address in seen
    seen[address] = thing
    return known


def _excess(one: Compared, limit: Limit) -> float:
    """Return how far a measure is past its limit, in the limit's unit; below 0 inside."""
    moved = one.change.mean if limit.relative else one.after - one.before
    return moved - limit.amount if one.better == "less" else limit.amount - moved


def _is_kept(one: Compared, limit: Limit) -> bool:
    excess = _excess(one, limit)
    if not excess <= _ROUNDING:
        # Few questions leave room for any loss: what is let pass as chance is at most as much again as the limit.
        bound = one.change.high if one.better == "more" else -one.change.low
        return one.noise and excess <= abs(limit.amount) + _ROUNDING and bound >= 0
    return True


def _in_words(one: Compared, limit: Limit) -> str:
    share = f", {100 * one.change.mean:+.1f} %".replace("-", "−") if math.isfinite(one.change.mean) else ""
    asked = "" if one.count is None else f", on {one.count:,} questions"
    return (
        f"{one.label} went from {one.shown(one.before)} to {one.shown(one.after)}{share}{asked}; the limit is {limit}"
    )


def _plain(value: Any) -> Any:
    """Return values as JSON knows them: no number is None."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
