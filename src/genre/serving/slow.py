"""What takes long, texts and conversations above all, beside what must be quick: few at once, none forever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from genre.core.errors import ResourceError
from genre.serving.batching import BusyError
from genre.serving.settings import ServeConfig

T = TypeVar("T")
LONGEST: Final = 600.0
"""Seconds that somebody waits for what reads a model or writes a database anew, at most."""


class SlowLane:
    """A few threads for one kind of work.

    A thread cannot be stopped from outside: one whose work nobody waits for any more counts as hanging when it has
    taken `patience` seconds, and while all are, the lane is `stuck`, so that nobody else waits for them.
    """

    def __init__(self, threads: int, most: int, patience: float, *, name: str = "writes") -> None:
        """Take so many threads, let so many jobs run and wait, and say how long a job may take at most."""
        self._patience = patience
        self._threads, self._most = threads, most
        self._closed, self._running, self._given_up = False, 0, dict[Future[Any], float]()
        self._begun: dict[Future[Any], float] = {}
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        for number in range(threads):
            # The process may end whether they have or not.
            threading.Thread(target=self._work, name=f"genre-{name}-{number}", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Jobs that run or wait."""
        return self._running

    @property
    def stuck(self) -> bool:
        """Whether every thread is at work for which nobody waits any more."""
        late = time.monotonic() - self._patience
        return sum(begun <= late for begun in list(self._given_up.values())) >= self._threads

    async def do(self, work: Callable[[], T], seconds: float | None = None, *, due: bool = False) -> T:
        """Return what the work returns.

        Args:
            work: What is to be done.
            seconds: After which nobody waits any more; by default as long as a job may take.
            due: See `begin`.

        Raises:
            BusyError: Too much is going on.
            ResourceError: The lane is stuck or closed.
            TimeoutError: It took too long; what has begun may still be done.
        """
        future = self.begin(work, due=due)
        result = asyncio.wrap_future(future)
        try:
            return await asyncio.wait_for(asyncio.shield(result), self._patience if seconds is None else seconds)
        except (TimeoutError, asyncio.CancelledError):
            # Whatever becomes of it now, nobody wants to know.
            result.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            self.give_up(future)
            raise

    def begin(self, work: Callable[[], T], *, due: bool = False) -> Future[T]:
        """Begin the work as soon as a thread is free, and return what will hold its result.

        Args:
            work: What is to be done.
            due: It belongs to what was taken already, and is done however much is going on.
        """
        with self._lock:
            if self._closed:
                raise ResourceError("nothing more is begun", place="service", remedy="The service stops; ask again.")
            if self.stuck and not due:
                raise ResourceError("every thread for this hangs", place="service", remedy="Ask again later.")
            if self._running >= self._most and not due:
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
        """Take no more; what was taken may end."""
        with self._lock:
            self._closed = True
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


class Lanes:
    """What is done beside the lists and texts: each kind by threads of its own, so that none waits for another's locks.

    While something holds the database, changes wait for it, and what only reads or needs no database goes on.
    """

    def __init__(self, config: ServeConfig) -> None:
        """Begin with nothing to do."""

        def lane(name: str, threads: int = config.store_threads) -> SlowLane:
            return SlowLane(threads, config.most_storing, config.store_deadline, name=name)

        self.reads, self.changes = lane("reads"), lane("changes")
        """Reads the stores, and changes them."""
        self.plain = lane("plain")
        """Needs no store: long bodies are read, many events are noted, texts are put together from facts."""
        # Each takes a while, and they wait for each other anyway.
        self.erasures = lane("erases", 1)

    def waiting(self) -> dict[str, int]:
        """Return how many jobs of each kind run or wait."""
        return {name: lane.waiting for name, lane in vars(self).items()}

    def close(self) -> None:
        """Take no more; what was taken may end."""
        for lane in vars(self).values():
            lane.close()
