"""How to run, apart from what to run: seed, progress, and the events to choose on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from genre.core.queries import Holdout

T = TypeVar("T")


class Progress(Protocol):
    """Shows how far long work has come."""

    def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield the steps and show how many are done."""


class Silent:
    """Shows nothing."""

    def track(self, steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield the steps."""
        yield from steps


@dataclass(frozen=True)
class RunContext:
    """Everything a component may need to know of the run it is part of."""

    seed: int = 0
    validation: Holdout | None = None
    """What weights and stopping points are chosen on; never the test events."""
    progress: Progress = field(default_factory=Silent)
    directory: Path | None = None
    """Where a long fit may keep its checkpoints and logs, so that it goes on after a kill; none keeps nothing."""
    store: Path | None = None
    """Directory of the content store, where what language models have read and written is kept; none keeps nothing."""
    watch: Callable[[float], object] | None = None
    """Told how good a network is at each look that its training takes at the validation questions; what this raises
    ends the training."""

    def rng(self, name: str) -> np.random.Generator:
        """Return the random generator of the part called `name`: the same for the same seed and name."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])
