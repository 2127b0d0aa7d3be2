from __future__ import annotations

import time

import numpy as np

from genre.core.meter import Meter
from genre.core.run import RunContext


def test_meter_sees_memory_that_is_gone_again() -> None:
    with Meter() as meter:
        block = np.ones(12_500_000)  # 100 MB
        time.sleep(0.05)
        del block
    assert 0.05 <= meter.seconds < 10
    assert 90e6 < meter.memory < 200e6


def test_random_numbers_depend_on_seed_and_name_alone() -> None:
    first = RunContext(seed=1).rng("als").random(3)
    np.testing.assert_array_equal(first, RunContext(seed=1).rng("als").random(3))
    assert not np.array_equal(first, RunContext(seed=2).rng("als").random(3))
    assert not np.array_equal(first, RunContext(seed=1).rng("segment").random(3))
