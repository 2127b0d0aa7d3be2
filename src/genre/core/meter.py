"""How long a step took, and how much memory it needed at its peak."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import psutil


class Meter:
    """Measures the block under `with`: wall seconds, and the resident memory it added at the peak.

    Memory is sampled every 10 ms, since the peak that the system keeps covers the whole life of the process.
    """

    seconds: float = 0.0
    memory: int = 0
    """Bytes above what the process held before."""

    def __enter__(self) -> Self:
        """Start the clock."""
        self._process = psutil.Process()
        self._before = self._peak = self._process.memory_info().rss
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._started = time.perf_counter()
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the clock."""
        self.seconds = time.perf_counter() - self._started
        self._done.set()
        self._watcher.join()
        self._sample()
        self.memory = max(0, self._peak - self._before)

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self._sample()

    def _sample(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)
