"""Drift: the two measures by hand, and what the watch makes of a service's answers and events."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from genre.data.dataset import Dataset
from genre.serving.drift import LARGE, DriftWatch, Window, bins_by_share, jensen_shannon, stability_index


def test_the_stability_index_worked_by_hand() -> None:
    # Shares 0.5, 0.5 and 0.75, 0.25 once half an observation is added: 4.5 of 9, and 7.5 and 2.5 of 10.
    expected = 0.25 * math.log(0.75 / 0.5) + (-0.25) * math.log(0.25 / 0.5)
    assert stability_index([4, 4], [7, 2]) == pytest.approx(expected)
    assert stability_index([7, 2], [4, 4]) == pytest.approx(expected), "it is symmetric"
    assert stability_index([3, 5, 0], [3, 5, 0]) == 0
    assert stability_index([4, 0, 4], [7, 0, 2]) == pytest.approx(expected), "a bin that is not used changes nothing"
    assert stability_index([0, 0], [3, 5]) == 0
    assert math.isfinite(stability_index([100, 0], [0, 100]))
    assert stability_index([100, 0], [0, 100]) > LARGE


def test_the_index_that_chance_gives_is_the_one_that_is_told() -> None:
    rng = np.random.default_rng(0)
    found = [
        stability_index(rng.multinomial(500, np.full(10, 0.1)), rng.multinomial(2000, np.full(10, 0.1)))
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(9 * (1 / 500 + 1 / 2000), rel=0.1)


def test_jensen_shannon_is_that_of_scipy() -> None:
    assert jensen_shannon([1, 0], [0, 1]) == 1
    assert jensen_shannon([2, 1, 4], [4, 2, 8]) == 0
    assert jensen_shannon([0, 0], [0, 1]) == 0
    first, second = [5, 0, 3, 2], [1, 4, 3, 9]
    assert jensen_shannon(first, second) == pytest.approx(jensenshannon(first, second, base=2) ** 2)


def test_bins_hold_equal_shares() -> None:
    values = np.random.default_rng(0).exponential(size=1000)
    counts = np.bincount(np.searchsorted(bins_by_share(values), values, side="right"))
    assert counts.tolist() == [100] * 10
    assert bins_by_share(np.full(50, 3.0)).tolist() == [3.0]


@pytest.mark.parametrize("sizes", [[1] * 50, [3, 4, 5, 6, 7, 8], [40], [0, 10, 0, 25]])
def test_a_window_holds_the_newest(sizes: list[int]) -> None:
    rng = np.random.default_rng(1)
    window, seen = Window(4, 10), []
    for size in sizes:
        bins = rng.integers(0, 4, size)
        seen += bins.tolist()
        window.add(bins)
        assert window.reference.tolist() == np.bincount(seen[:10], minlength=4).tolist()
        after = seen[10:][-10:]
        assert window.newest.tolist() == np.bincount(after, minlength=4).tolist()
        assert window.held == len(after)


def test_a_window_with_a_reference_needs_no_first_one() -> None:
    window = Window(2, 3, [5, 5])
    window.add(np.array([0, 0, 1, 1]))
    assert window.newest.tolist() == [1, 2]
    assert window.gauges("x", least=4) == {}
    assert window.gauges("x", least=3) == {
        "drift_psi_x": stability_index([5, 5], [1, 2]),
        "drift_js_x": jensen_shannon([5, 5], [1, 2]),
    }


def events_like(data: Dataset, count: int, seed: int) -> list[str]:
    rows = np.random.default_rng(seed).choice(data.interactions.item_rows, count)
    return data.items.vocabulary.ids.gather(rows).to_list()


def test_events_like_those_that_were_learned_from_do_not_drift(dataset: Dataset) -> None:
    watch = DriftWatch(dataset, size=1000, least=200)
    assert watch.gauges() == {}
    watch.happened(events_like(dataset, 1000, 0), ["click"] * 1000, [None] * 1000)
    gauges = watch.gauges()
    assert set(gauges) == {
        "drift_psi_item_popularity", "drift_js_item_popularity", "drift_psi_item_category", "drift_js_item_category"
    }  # fmt: skip
    assert max(gauges.values()) < 0.1
    # Then everybody takes what was never taken before, or is not known at all.
    watch.happened(["i39", "new"] * 500, ["click"] * 1000, [None] * 1000)
    gauges = watch.gauges()
    assert gauges["drift_psi_item_popularity"] > LARGE
    assert gauges["drift_js_item_popularity"] > 0.9
    assert gauges["drift_psi_item_category"] > LARGE


def test_answers_are_held_against_the_first_ones(dataset: Dataset) -> None:
    watch, rng = DriftWatch(dataset, size=500, least=100), np.random.default_rng(0)
    for _ in range(100):
        scores = np.column_stack([rng.normal(size=10), np.zeros(10)])
        scores[3, 0] = -np.inf  # Nothing was found.
        watch.answered(scores, rng.integers(0, 30, 10))
    same = watch.gauges()
    assert 0 < same["drift_psi_score"] < 0.15
    assert 0 < same["drift_psi_history_length"] < 0.15
    watch.answered(rng.normal(1.5, size=(500, 1)), np.zeros(500, int))
    other = watch.gauges()
    assert other["drift_psi_score"] > LARGE
    assert other["drift_psi_history_length"] > LARGE


def test_feedback_is_watched_by_type_and_position(dataset: Dataset) -> None:
    watch = DriftWatch(dataset, size=400, least=100)

    def page(clicked: int, *, times: int) -> None:
        for _ in range(times):
            watch.happened(["i0"] * 3, ["impression"] * 3, [0, 1, 70])
            watch.happened(["i0"], ["click"], [clicked])

    page(0, times=200)
    before = watch.gauges()
    assert before["click_rate"] == before["click_rate_reference"] == pytest.approx(1 / 3)
    assert before["click_rate_position_0"] == 1
    assert before["click_rate_position_1"] == 0
    assert before["click_rate_position_19"] == 0, "what lies further down is counted together"
    assert before["drift_psi_clicks_by_position"] == 0
    page(1, times=200)
    after = watch.gauges()
    assert after["click_rate_position_1"] == 1
    assert after["drift_psi_clicks_by_position"] > LARGE
    assert after["drift_psi_event_type"] < 0.01
    watch.happened(["i0"] * 400, ["view", None] * 200, [None] * 400)
    assert watch.gauges()["drift_psi_event_type"] > LARGE
    watch.happened(["i0"] * 400, [f"type {n}" for n in range(400)], [None] * 400)
    assert watch.gauges()["drift_psi_event_type"] > LARGE


def test_many_threads_may_tell_it_at_once(dataset: Dataset) -> None:
    watch = DriftWatch(dataset, size=300, least=10)
    ids = events_like(dataset, 50, 0)

    def tell() -> None:
        for _ in range(40):
            watch.happened(ids, ["click"] * 50, [0] * 50)
            watch.answered(np.ones((5, 2), np.float32), np.ones(5, np.int64))
            watch.gauges()

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.gauges()["drift_js_event_type"] == 0
