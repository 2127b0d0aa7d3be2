"""Rates and quotas: exactly as many as were promised."""

from __future__ import annotations

import math
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre.serving.limits import DAY, DailyQuota, TokenBucket, day_of
from tests.serving.clock import Clock


def test_a_rush_and_then_the_rate() -> None:
    clock = Clock(0.0)
    bucket = TokenBucket(2.0, 3.0, now=clock)
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    clock.now = 0.25
    assert bucket.take() == 0.25
    clock.now = 0.5
    assert [bucket.take(), bucket.take()] == [0.0, 0.5]
    clock.now = 100.0
    assert [bucket.take(3), bucket.take(2), bucket.take(4)] == [0.0, 1.0, math.inf]


def test_the_rush_is_what_comes_in_a_second_and_at_least_one() -> None:
    assert TokenBucket(20.0).burst == 20.0
    slow = TokenBucket(0.1, now=Clock(0.0))
    assert [slow.take(), slow.take()] == [0.0, 10.0]


@settings(max_examples=20)
@given(st.integers(1, 50), st.integers(1, 20), st.randoms(use_true_random=False))
def test_no_window_has_more_than_rush_and_rate(rate: int, burst: int, chance: random.Random) -> None:
    clock = Clock(0.0)
    bucket = TokenBucket(rate, burst, now=clock)
    taken: list[float] = []
    for _ in range(80):
        clock.now += chance.choice([0.0, 1 / 1024, 1 / 8, 1.0])
        wait = bucket.take()
        if not wait:
            taken.append(clock.now)
        else:
            # What it says is true: not before, and then.
            clock.now += wait * 0.5
            assert bucket.take() > 0
            clock.now += wait * 0.5 + 1e-9
            assert bucket.take() == 0
            taken.append(clock.now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - taken[first]) + 1e-6


def test_a_clock_that_goes_back_gives_nothing_twice() -> None:
    clock = Clock(10.0)
    bucket = TokenBucket(1.0, now=clock)
    assert bucket.take() == 0.0
    clock.now = 5.0
    assert bucket.take() == 1.0
    clock.now = 10.5
    assert bucket.take() == 0.5


def test_a_quota_begins_anew_at_midnight_of_utc() -> None:
    clock = Clock(3.0 * DAY - 100)
    quota = DailyQuota(5, used=3, now=clock)
    assert [quota.take(), quota.take(2), quota.take(), quota.take(), quota.take(6)] == [
        0.0,
        100.0,
        0.0,
        100.0,
        math.inf,
    ]
    clock.now = 3.0 * DAY
    assert [quota.take(5), quota.take()] == [0.0, DAY]
    # Setting the clock back opens no day again.
    clock.now = 3.0 * DAY - 1
    assert quota.take() == DAY + 1
    assert (quota.day, quota.used, day_of(clock.now)) == (3, 5, 2)


@pytest.mark.parametrize("limit", [TokenBucket(1e-9, 1000.0), DailyQuota(1000)])
def test_threads_take_no_more_than_there_are(limit: TokenBucket | DailyQuota) -> None:
    got: list[float] = []
    threads = [threading.Thread(target=lambda: got.extend(limit.take() for _ in range(300))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got.count(0.0) == 1000
