"""The way into the log of events: what arrives while a transaction is on its way shares the next one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Self

from genre.core.errors import GenreError, ResourceError
from genre.serving.batching import BusyError
from genre.serving.stores.events import Batch, Event, Events, Outcome
from genre.serving.stores.values import checked_id, chunks

PART: Final = 2_000
"""Events of a long batch that go into one transaction: enough that its end costs little, and others wait some
hundredths of a second for it."""


@dataclass
class Totals:
    """What became of many events."""

    new: int = 0
    known: int = 0
    conflicts: int = 0
    bounded: int = 0
    """Those among the new ones with a time after the server's."""
    first_conflicts: list[str] = field(default_factory=list)
    """Ids of the first few."""

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count outcomes."""
        for outcome in outcomes:
            self.new += outcome.status == "new"
            self.known += outcome.status == "known"
            self.bounded += outcome.bounded and outcome.status == "new"
            if outcome.status == "conflict":
                self.conflicts += 1
                if len(self.first_conflicts) < 10:
                    self.first_conflicts.append(outcome.event_id)

    def merge(self, other: Totals) -> None:
        """Count what others have counted."""
        self.new += other.new
        self.known += other.known
        self.conflicts += other.conflicts
        self.bounded += other.bounded
        self.first_conflicts = [*self.first_conflicts, *other.first_conflicts][:10]


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: Batch
    outcome: Future[list[Outcome]]


class Intake:
    """Takes events from any number of threads, and answers when they are durable.

    A disk ends some hundred transactions in a second, and events come one by one. So one thread writes, and takes all
    that has come since it took the last ones: nobody waits for company, and under load each transaction carries more.
    """

    def __init__(self, events: Events, *, now: Callable[[], float] = time.time, most: int = 20_000) -> None:
        """Start.

        Args:
            events: The log.
            now: The server's clock, in seconds since 1970.
            most: Events that may wait; more are refused, since a queue that only grows helps nobody.
        """
        self._events, self._now, self._most = events, now, most
        self._queue: deque[_Waiting] = deque()
        self._waiting, self._closed = 0, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="genre-intake", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return self._waiting

    def submit(self, scenario: str, events: Sequence[Event]) -> Future[list[Outcome]]:
        """Take events, and return at once what will hold their outcomes, in their order.

        The outcomes are there when the events are durable, or else a `ResourceError`: then they can be sent again,
        whether they were written or not.

        Raises:
            DataError: The scenario's name cannot be kept.
            BusyError: Too many events wait.
            ResourceError: The intake is closed.
        """
        batch = Batch(checked_id(scenario, "scenario"), tuple(events), self._now())
        waiting = _Waiting(batch, Future())
        with self._changed:
            if self._closed:
                raise ResourceError(
                    "no more events are taken", place="events", remedy="The service stops; send them again later."
                )
            if self._waiting and self._waiting + len(events) > self._most:
                raise BusyError(
                    f"{self._waiting:,} events wait to be written, at most {self._most:,} may",
                    1.0,
                    place="events",
                    remedy="Send these again in a second, and fewer at a time.",
                )
            self._queue.append(waiting)
            self._waiting += len(events)
            self._changed.notify()
        return waiting.outcome

    def append(self, scenario: str, events: Sequence[Event], *, wait: float | None = None) -> list[Outcome]:
        """Take events, and return their outcomes when they are durable.

        Args:
            scenario: Where.
            events: What was told.
            wait: Seconds after which it is an error; by default as long as the database takes to answer or to fail.

        Raises:
            DataError: The scenario's name cannot be kept.
            BusyError: Too many events wait.
            ResourceError: They could not be written, or not in time, or the intake is closed.
        """
        outcomes = self.submit(scenario, events)
        try:
            return outcomes.result(wait)
        except TimeoutError:
            outcomes.cancel()
            raise ResourceError(
                f"the events could not be written within {wait:g} seconds",
                place="events",
                remedy="Send them again later: those that are written all the same do not count twice.",
            ) from None

    def append_all(self, scenario: str, events: Iterable[Event], told: Callable[[Totals], Any] | None = None) -> Totals:
        """Take any number of events, part by part, holding one part at a time; others' events go in between.

        Args:
            scenario: Where.
            events: May come from a file or a connection as they are needed.
            told: Called after each part with the totals so far.

        Raises:
            ResourceError: A part could not be written; those before it are. All can be sent again.
        """
        totals = Totals()
        for part in chunks(events, PART):
            totals.add(self.append(scenario, part))
            if told is not None:
                told(totals)
        return totals

    def close(self) -> None:
        """Take no more, and wait until all that was taken is answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        while group := self._next_group():
            self._write(group)
            # Nothing of a person stays in memory while the next ones are waited for.
            del group

    def _next_group(self) -> list[_Waiting]:
        """Wait for events, and return what has come, up to `PART`; nothing when the intake is closed."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            group: list[_Waiting] = []
            size = 0
            while self._queue and (not group or size + len(self._queue[0].batch.events) <= PART):
                group.append(self._queue.popleft())
                size += len(group[-1].batch.events)
            self._waiting -= size
            return group

    def _write(self, group: list[_Waiting]) -> None:
        # Who has gone meanwhile is left out; nobody can go from here on.
        group = [one for one in group if one.outcome.set_running_or_notify_cancel()]
        if not group:
            return
        try:
            outcomes = self._events.append([one.batch for one in group])
        except Exception as error:
            if len(group) > 1 and not isinstance(error, GenreError):
                # Something is wrong with one of them, and the others shall not suffer for it.
                for one in group:
                    self._write_alone(one)
                return
            for one in group:
                one.outcome.set_exception(error)
        else:
            for one, outcome in zip(group, outcomes, strict=True):
                one.outcome.set_result(outcome)

    def _write_alone(self, one: _Waiting) -> None:
        try:
            one.outcome.set_result(self._events.append([one.batch])[0])
        except Exception as error:
            one.outcome.set_exception(error)
