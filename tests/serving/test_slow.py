"""Threads for what takes long: so many at once, so many waiting, and nobody for ever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from genre.core.errors import ResourceError
from genre.serving.batching import BusyError
from genre.serving.settings import ServeConfig
from genre.serving.slow import Lanes, SlowLane


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Return what lets jobs that wait for it end; in the end all may."""
    may = threading.Event()
    yield may
    may.set()


def test_more_than_may_wait_are_refused_but_for_what_is_due(go: threading.Event) -> None:
    lane = SlowLane(1, 2, 10)
    first, second = lane.begin(lambda: go.wait(10)), lane.begin(lambda: 2)
    with pytest.raises(BusyError, match="2 requests wait already") as busy:
        lane.begin(lambda: 3)
    assert busy.value.seconds == 1
    due = lane.begin(lambda: 4, due=True)
    assert lane.waiting == 3
    go.set()
    assert (first.result(5), second.result(5), due.result(5)) == (True, 2, 4)
    lane.close()


def test_a_job_takes_as_long_as_the_lane_allows(go: threading.Event) -> None:
    lane = SlowLane(1, 2, 0.1)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(lane.do(lambda: go.wait(10)))
    assert 0.1 <= time.monotonic() - begun < 2
    while not lane.stuck:  # The thread began a moment later than the clock.
        assert time.monotonic() - begun < 2
        time.sleep(0.01)
    with pytest.raises(ResourceError, match="every thread for this hangs"):
        lane.begin(lambda: 1)
    lane.close()


def test_what_is_closed_does_what_it_took_and_takes_no_more(go: threading.Event) -> None:
    lane = SlowLane(1, 2, 10)
    taken = [lane.begin(lambda: go.wait(10)), lane.begin(lambda: True)]
    lane.close()
    for due in (False, True):
        with pytest.raises(ResourceError, match="nothing more is begun"):
            lane.begin(lambda: 1, due=due)
    go.set()
    assert [job.result(5) for job in taken] == [True, True]


def test_kinds_of_work_do_not_wait_for_each_other(go: threading.Event) -> None:
    lanes = Lanes(ServeConfig(store_threads=1, most_storing=2))
    held = lanes.changes.begin(lambda: go.wait(10))
    assert lanes.reads.begin(lambda: "read").result(5) == "read"
    assert lanes.plain.begin(lambda: "plain").result(5) == "plain"
    assert lanes.erasures.begin(lambda: "erased").result(5) == "erased"
    assert lanes.waiting() == {"reads": 0, "changes": 1, "plain": 0, "erasures": 0}
    go.set()
    assert held.result(5)
    lanes.close()
