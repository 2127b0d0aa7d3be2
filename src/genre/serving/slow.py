"""What takes long, texts and conversations above all, beside what must be quick: few at once, none forever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from genre.core.errors import ResourceError
from genre.serving.batching import BusyError

T = TypeVar("T")


class SlowLane:
    """A few threads that write.

    A thread cannot be stopped from outside: one whose work nobody waits for any more counts as hanging when it has
    taken `patience` seconds, and while all are, the lane is `stuck`, so that nobody else waits for them.
    """

    def __init__(self, threads: int, most: int, patience: float) -> None:
        """Take so many threads, let so many jobs run and wait, and say how long a job may take at most."""
        self._patience = patience
        self._threads, self._most = threads, most
        self._running, self._given_up = 0, dict[Future[Any], float]()
        self._begun: dict[Future[Any], float] = {}
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        for number in range(threads):
            # The process may end whether they have or not.
            threading.Thread(target=self._work, name=f"genre-writes-{number}", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Jobs that run or wait."""
        return self._running

    @property
    def stuck(self) -> bool:
        """Whether every thread is at work for which nobody waits any more."""
        late = time.monotonic() - self._patience
        return sum(begun <= late for begun in list(self._given_up.values())) >= self._threads

    async def do(self, work: Callable[[], T], seconds: float) -> T:
        """Return what the work returns.

        Raises:
            BusyError: Too much is going on.
            ResourceError: The lane is stuck.
            TimeoutError: It took too long.
        """
        future = self.begin(work)
        result = asyncio.wrap_future(future)
        try:
            return await asyncio.wait_for(asyncio.shield(result), seconds)
        except (TimeoutError, asyncio.CancelledError):
            # Whatever becomes of it now, nobody wants to know.
            result.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            self.give_up(future)
            raise

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Begin the work as soon as a thread is free, and return what will hold its result."""
        with self._lock:
            if self.stuck:
                raise ResourceError(
                    "all writers hang", place="service", remedy="Ask again later; texts are put together from facts."
                )
            if self._running >= self._most:
                raise BusyError(f"{self._running:,} requests wait already", 1.0)
            self._running += 1
        future: Future[T] = Future()
        future.add_done_callback(self._done)
        self._jobs.put((future, work))
        return future

    def give_up(self, future: Future[T]) -> None:
        """Wait no longer for a work; if it has begun, its thread counts as lost until it ends."""
        if future.cancel() or future.done():
            return
        with self._lock:
            if future in self._begun:
                self._given_up[future] = self._begun[future]

    def close(self) -> None:
        """Take no more; what has begun may end."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, work = job
            if not future.set_running_or_notify_cancel():
                continue
            with self._lock:
                self._begun[future] = time.monotonic()
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            # Nothing of a person stays in memory while the next job is waited for.
            del future, work, job

    def _done(self, future: Future[Any]) -> None:
        with self._lock:
            self._running -= 1
            self._begun.pop(future, None)
            self._given_up.pop(future, None)
