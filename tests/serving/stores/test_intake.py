"""The way into the log: events that wait together share a transaction, and an answer means that they are durable."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from genre.core.errors import DataError, ResourceError
from genre.serving.batching import BusyError
from genre.serving.stores.database import Database
from genre.serving.stores.events import Batch, Event, Events, Outcome
from genre.serving.stores.intake import PART, Intake, Totals
from tests.serving.clock import Clock


def event(event_id: str, user_id: str = "u") -> Event:
    return Event(event_id=event_id, user_id=user_id, item_id="i")


class Held(Events):
    """A log that writes nothing before it may, and notes what came together."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.began, self.may = threading.Semaphore(0), threading.Semaphore(0)
        self.fails: Callable[[Sequence[Batch]], Exception | None] = lambda _: None

    def append(self, batches: Sequence[Batch]) -> list[list[Outcome]]:
        self.groups.append([event.event_id for batch in batches for event in batch.events])
        self.began.release()
        self.may.acquire()
        if error := self.fails(batches):
            raise error
        return [[Outcome(one.event_id, "new", 1, batch.received) for one in batch.events] for batch in batches]


@pytest.fixture
def held() -> Iterator[tuple[Held, Intake]]:
    log = Held()
    with Intake(log, now=Clock(5.0), most=10) as intake:
        yield log, intake
        for _ in range(20):
            log.may.release()


def test_events_are_durable_when_they_are_answered(database: Database) -> None:
    events = Events(database)
    with Intake(events) as intake, ThreadPoolExecutor(8) as threads:
        told = list(threads.map(lambda n: intake.append("films", [event(f"{n % 50}")])[0], range(100)))
        assert events.last("films") == 50
    assert sorted(one.status for one in told) == ["known"] * 50 + ["new"] * 50
    assert {one.seq for one in told} == set(range(1, 51))


def test_what_waits_together_is_written_together(held: tuple[Held, Intake]) -> None:
    log, intake = held
    first = intake.submit("films", [event("1")])
    log.began.acquire()
    others = [intake.submit("films", [event(f"{n}")]) for n in (2, 3, 4)]
    assert (intake.waiting, first.done()) == (3, False)
    log.may.release(2)
    assert [one.result(10)[0] for one in (first, *others)] == [Outcome(f"{n}", "new", 1, 5.0) for n in (1, 2, 3, 4)]
    assert log.groups == [["1"], ["2", "3", "4"]]


def test_more_than_may_wait_are_refused(held: tuple[Held, Intake]) -> None:
    log, intake = held
    intake.submit("films", [event("1")])
    log.began.acquire()
    intake.submit("films", [event(f"{n}") for n in range(9)])
    with pytest.raises(BusyError, match=r"9 events wait to be written, at most 10 may\. Send these again") as busy:
        intake.submit("films", [event("a"), event("b")])
    assert busy.value.seconds == 1
    intake.submit("films", [event("a")])


def test_who_has_gone_is_left_out(held: tuple[Held, Intake]) -> None:
    log, intake = held
    intake.submit("films", [event("1")])
    log.began.acquire()
    gone, there = intake.submit("films", [event("2")]), intake.submit("films", [event("3")])
    assert gone.cancel()
    log.may.release(2)
    there.result(10)
    assert log.groups == [["1"], ["3"]]


def test_who_waits_for_too_long_is_told(held: tuple[Held, Intake]) -> None:
    log, intake = held
    intake.submit("films", [event("1")])
    log.began.acquire()
    with pytest.raises(ResourceError, match=r"not be written within 0\.05 seconds\. Send them again"):
        intake.append("films", [event("2")], wait=0.05)
    log.may.release(2)
    assert intake.append("films", [event("3")], wait=10)[0].status == "new"
    assert log.groups == [["1"], ["3"]]


def test_what_cannot_be_written_is_told_to_all_and_the_next_goes_on(held: tuple[Held, Intake]) -> None:
    log, intake = held
    log.fails = lambda _: ResourceError("gone") if len(log.groups) == 2 else None
    intake.submit("films", [event("1")])
    log.began.acquire()
    both = [intake.submit("films", [event(f"{n}")]) for n in (2, 3)]
    log.may.release(3)
    assert [str(one.exception(10)) for one in both] == ["gone", "gone"]
    assert intake.append("films", [event("4")])[0].status == "new"


def test_one_that_is_wrong_does_not_harm_the_others(held: tuple[Held, Intake]) -> None:
    log, intake = held
    log.fails = lambda batches: ValueError("odd") if any(one.scenario == "odd" for one in batches) else None
    intake.submit("films", [event("1")])
    log.began.acquire()
    good, odd = intake.submit("films", [event("2")]), intake.submit("odd", [event("3")])
    log.may.release(4)
    assert good.result(10)[0].event_id == "2"
    assert isinstance(odd.exception(10), ValueError)
    assert log.groups == [["1"], ["2", "3"], ["2"], ["3"]]


def test_closing_answers_what_was_taken_and_takes_no_more(database: Database) -> None:
    intake = Intake(Events(database))
    taken = [intake.submit("films", [event(f"{n}")]) for n in range(20)]
    intake.close()
    assert all(one.done() and one.result()[0].status == "new" for one in taken)
    with pytest.raises(ResourceError, match="no more events are taken"):
        intake.submit("films", [event("late")])


def test_a_name_that_cannot_be_kept_is_refused_at_once(held: tuple[Held, Intake]) -> None:
    with pytest.raises(DataError, match="NUL"):
        held[1].submit("a\0", [event("1")])


def test_a_long_batch_is_taken_in_parts_and_others_go_in_between(database: Database) -> None:
    events, clock = Events(database), Clock(100.0)
    size = 2 * PART + 10
    heard: list[int] = []
    with Intake(events, now=clock) as intake:

        def told(totals: Totals) -> None:
            heard.append(totals.new)
            intake.append("films", [event(f"between {len(heard)}")])

        intake.append("films", [event("0", "another")])
        many = (Event(event_id=f"{n}", user_id="u", item_id="i", timestamp=n) for n in range(size))
        totals = intake.append_all("films", many, told)
    assert totals == Totals(new=size - 1, conflicts=1, bounded=size - 101, first_conflicts=["0"])
    assert heard == [PART - 1, 2 * PART - 1, size - 1]
    assert events.last("films") == size + 3


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_long_batch_takes_no_more_memory_than_a_short_one(database: Database) -> None:
    """30,000 events are 15 parts; a million is the same, more often."""
    with Intake(Events(database)) as intake:

        def peak(first: int, last: int) -> int:
            tracemalloc.reset_peak()
            totals = intake.append_all("films", (event(f"{n}") for n in range(first, last)))
            assert totals.new == last - first
            return tracemalloc.get_traced_memory()[1]

        tracemalloc.start()
        try:
            short = peak(0, 2 * PART)
            assert peak(2 * PART, 30_000) < 1.2 * short
        finally:
            tracemalloc.stop()
