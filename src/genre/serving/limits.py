"""How much somebody may ask: a rate that allows a short rush, and a number a day."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

DAY: Final = 86_400
"""Seconds."""


class TokenBucket:
    """A rate with a rush: `burst` at once, and `rate` a second in the long run.

    In any T seconds it lets through at most `burst + rate * T`. Any thread may ask.
    """

    def __init__(self, rate: float, burst: float | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        """Begin with a full bucket.

        Args:
            rate: What comes back in a second; above 0.
            burst: What fits in; by default what comes in a second, and at least 1.
            now: A clock in seconds that never goes back.
        """
        self.rate, self.burst = rate, max(1.0, rate) if burst is None else burst
        self._now, self._left, self._at = now, self.burst, now()
        self._lock = threading.Lock()

    def take(self, n: float = 1) -> float:
        """Take `n` and return 0; or, where so many are not there, take none and return the seconds until they are.

        More than the bucket ever holds are never there: the answer is infinite.
        """
        with self._lock:
            now = self._now()
            self._left = min(self.burst, self._left + max(0.0, now - self._at) * self.rate)
            self._at = max(now, self._at)
            if n <= self._left:
                self._left -= n
                return 0.0
            return math.inf if n > self.burst else (n - self._left) / self.rate


class DailyQuota:
    """A number for each day of UTC. Any thread may ask."""

    def __init__(self, limit: int, used: int = 0, *, now: Callable[[], float] = time.time) -> None:
        """Begin.

        Args:
            limit: How many a day.
            used: How many of today's are gone already.
            now: The server's clock, in seconds since 1970.
        """
        self.limit, self.used = limit, used
        """`used` is of `day`."""
        self._now = now
        self.day = day_of(now())
        self._lock = threading.Lock()

    def take(self, n: int = 1) -> float:
        """Take `n` and return 0; or, where so many are not left, take none and return the seconds until the day ends.

        More than a day has are never there: the answer is infinite.
        """
        with self._lock:
            now = self._now()
            # A clock that is set back opens no day a second time.
            if (today := day_of(now)) > self.day:
                self.day, self.used = today, 0
            if self.used + n <= self.limit:
                self.used += n
                return 0.0
            return math.inf if n > self.limit else (self.day + 1) * DAY - now


def day_of(seconds: float) -> int:
    """Return the number of a day of UTC, counted from the first of 1970."""
    return math.floor(seconds / DAY)
