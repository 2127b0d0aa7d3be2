"""Questions that come at the same time are answered together: thirty take a model hardly longer than one."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from genre.core.errors import ResourceError

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")


class BusyError(ResourceError):
    """More waits than can be answered in time."""

    def __init__(
        self,
        problem: str,
        seconds: float,
        *,
        place: str = "service",
        remedy: str = "Ask again in a second, and less often.",
    ) -> None:
        """Say how many wait, and in how many seconds, at least 1, there will be room."""
        super().__init__(problem, place=place, remedy=remedy)
        self.seconds = seconds


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[AskedT]):
    asked: AskedT
    until: float
    """When nobody waits for the answer any more, by the clock of the process."""
    since: float
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[AskedT, AnswerT]):
    """One thread that answers; what arrives meanwhile is answered together next.

    Nobody waits for company: a question that comes alone is answered alone and at once.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[AskedT]], Sequence[AnswerT | Exception]],
        *,
        size: int = 32,
        most: int = 512,
        name: str = "genre-answers",
    ) -> None:
        """Start.

        Args:
            answer: Returns an answer, or what went wrong, for each question.
            size: Questions at once, at most.
            most: Questions that wait, at most.
            name: Of the thread.
        """
        self.watch: Callable[[int, float, float], object] | None = None
        """Told of each batch: how many questions, seconds that the first one waited, seconds that the answers took."""
        self._answer, self._size, self._most = answer, size, most
        self._queue: deque[_Waiting[AskedT]] = deque()
        self._changed, self._closed = threading.Condition(), False
        self._pace = 0.001
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return len(self._queue)

    async def ask(self, asked: AskedT, seconds: float) -> AnswerT:
        """Return the answer.

        Args:
            asked: The question.
            seconds: After which nobody waits any more.

        Raises:
            BusyError: Too many wait.
            TimeoutError: There was none in time.
        """
        loop, now = asyncio.get_running_loop(), time.monotonic()
        mine = _Waiting(asked, now + seconds, now, loop.create_future(), loop)
        with self._changed:
            if self._closed or len(self._queue) >= self._most:
                waiting = len(self._queue)
                raise BusyError(f"{waiting:,} requests wait already", max(1.0, math.ceil(waiting * self._pace)))
            self._queue.append(mine)
            self._changed.notify()
        answer: AnswerT = await asyncio.wait_for(mine.answer, seconds)
        return answer

    def close(self) -> None:
        """Take no more, and wait until all that was taken is answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while group := self._next_group():
            self._answer_all(group)
            # Nothing of a person stays in memory while the next ones are waited for.
            del group

    def _next_group(self) -> list[_Waiting[AskedT]]:
        with self._changed:
            while True:
                while not self._queue and not self._closed:
                    self._changed.wait()
                group: list[_Waiting[AskedT]] = []
                now = time.monotonic()
                while self._queue and len(group) < self._size:
                    first = self._queue.popleft()
                    if first.until > now:
                        group.append(first)
                if group or self._closed:
                    return group

    def _answer_all(self, group: list[_Waiting[AskedT]]) -> None:
        begun = time.monotonic()
        answers: Sequence[AnswerT | Exception]
        try:
            answers = self._answer([one.asked for one in group])
        except Exception as error:
            answers = [error] * len(group)
        took = time.monotonic() - begun
        self._pace = 0.9 * self._pace + 0.1 * took / len(group)
        if self.watch is not None:
            self.watch(len(group), begun - group[0].since, took)
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting[AskedT], AnswerT | Exception]]] = {}
        for one, answer in zip(group, answers, strict=True):
            by_loop.setdefault(one.loop, []).append((one, answer))
        for loop, ready in by_loop.items():
            if not loop.is_closed():
                # The loop is woken once for all of them.
                loop.call_soon_threadsafe(_deliver, ready)


def _deliver(ready: Sequence[tuple[_Waiting[Any], Any]]) -> None:
    for one, answer in ready:
        if one.answer.done():
            continue
        if isinstance(answer, Exception):
            one.answer.set_exception(answer)
        else:
            one.answer.set_result(answer)
