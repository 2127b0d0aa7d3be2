"""Off-policy estimates: by hand, and where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from genre.metrics.off_policy import effective_size, estimates


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_estimates_worked_by_hand() -> None:
    rewards = np.array([1, 0, 1, 0])
    weights = np.array([4.0, 2.0, 0.0, 0.0])
    shown, instead = np.array([0.5, 0.25, 0.5, 0.0]), np.array([0.5, 0.25, 0.25, 0.25])
    found = estimates(rewards, weights, limit=3, predicted=(shown, instead), rng=rng())
    assert found.ips.mean == (4 * 1 + 2 * 0) / 4
    assert found.snips.mean == pytest.approx(4 / 6)
    assert found.clipped.mean == 3 / 4
    assert found.logged.mean == 0.5
    assert found.mean_weight.mean == 6 / 4
    assert found.doubly_robust is not None
    # Predictions 1.25 in all, and what they missed: 4 * (1 - 0.5) + 2 * (0 - 0.25).
    assert found.doubly_robust.mean == (1.25 + 2 - 0.5) / 4
    assert found.effective_size == pytest.approx(36 / 20)
    assert found.ips.low <= found.ips.mean <= found.ips.high
    assert estimates(rewards, weights, rng=rng()).limit == 2.0, "the root of four"


def test_effective_size_worked_by_hand() -> None:
    assert effective_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_size(np.array([3.0, 1.0])) == pytest.approx(16 / 10)
    assert effective_size(np.zeros(3)) == 0
    assert effective_size(np.array([])) == 0


def test_a_policy_that_shows_what_was_shown_earns_what_was_earned() -> None:
    rewards = rng().random(50) < 0.3
    found = estimates(rewards, np.ones(50), rng=rng(1))
    assert found.ips == found.snips == found.clipped == found.logged
    assert found.effective_size == pytest.approx(50)


def test_without_any_overlap_there_is_no_snips() -> None:
    found = estimates(np.ones(3), np.zeros(3), rng=rng())
    assert np.isnan(found.snips.mean)
    assert np.isnan(found.snips.low)
    assert found.ips.mean == 0


def bandit(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return rewards, weights and predictions of logs whose truth is known: five items, two kinds of people."""
    truth = np.array([[0.1, 0.2, 0.5, 0.3, 0.1], [0.6, 0.1, 0.2, 0.3, 0.4]])
    logging = np.array([[0.5, 0.2, 0.1, 0.1, 0.1], [0.1, 0.3, 0.3, 0.2, 0.1]])
    wanted = np.array([[0.1, 0.1, 0.6, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1, 0.0]])
    kinds = generator.integers(0, 2, count)
    items = np.array([generator.choice(5, p=logging[kind]) for kind in kinds])
    rewards = generator.random(count) < truth[kinds, items]
    weights = wanted[kinds, items] / logging[kinds, items]
    wrong = np.full((2, 5), 0.3)
    predicted = np.stack([wrong[kinds, items], (wrong * wanted).sum(1)[kinds]])
    return rewards, weights, predicted, float((truth * wanted).sum(1).mean())


@pytest.mark.slow
def test_estimates_find_the_truth_of_a_simulated_bandit() -> None:
    rewards, weights, predicted, truth = bandit(20_000, rng(3))
    found = estimates(rewards, weights, predicted=(predicted[0], predicted[1]), rng=rng())
    assert abs(rewards.mean() - truth) > 0.1, "what was logged is another policy's"
    assert found.doubly_robust is not None
    for interval in (found.ips, found.snips, found.doubly_robust):
        assert interval.mean == pytest.approx(truth, abs=0.02)
        assert interval.low < truth < interval.high
    assert found.mean_weight.mean == pytest.approx(1, abs=0.02)
    assert found.snips.high - found.snips.low < found.ips.high - found.ips.low


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator, hits = rng(5), np.zeros(3)
    for _ in range(60):
        rewards, weights, predicted, truth = bandit(300, generator)
        found = estimates(
            rewards, weights, predicted=(predicted[0], predicted[1]), samples=200, confidence=0.9, rng=generator
        )
        assert found.doubly_robust is not None
        hits += [one.low < truth < one.high for one in (found.ips, found.snips, found.doubly_robust)]
    assert (hits >= 46).all(), hits  # 54 of 60 on average.
    assert hits.sum() < 180


def test_intervals_of_groups_are_those_of_resampled_groups() -> None:
    # Ten shown items of each of 40 people, all clicked or none: 400 items tell no more than 40.
    clicks = np.repeat(rng(2).random(40) < 0.5, 10)
    alone = estimates(clicks, np.ones(400), rng=rng())
    together = estimates(clicks, np.ones(400), np.repeat(np.arange(40), 10), rng=rng())
    ratio = (together.ips.high - together.ips.low) / (alone.ips.high - alone.ips.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)
    assert together.ips.mean == alone.ips.mean
