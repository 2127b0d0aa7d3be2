"""Drawn items: never excluded, never twice, and as often as their weights say."""

from __future__ import annotations

import numpy as np
import pytest

from genre.core.ragged import Ragged
from genre.evaluation.sampling import draw_items


def test_draws_are_different_and_not_excluded() -> None:
    excluded = Ragged.of([[0, 1, 2], [], [7, 7], list(range(20))])
    drawn = draw_items(excluded, 15, np.ones(20), np.random.default_rng(0))
    assert drawn.lengths.tolist() == [15, 15, 15, 0]
    for row in range(4):
        assert len(set(drawn[row])) == len(drawn[row])
        assert not set(drawn[row]) & set(excluded[row])


def test_fewer_are_drawn_where_no_more_are_left_or_weights_are_0() -> None:
    weights = np.array([1.0, 0.0, 2.0, 0.0, 3.0])
    drawn = draw_items(Ragged.of([[], [4]]), 4, weights, np.random.default_rng(0))
    assert sorted(drawn[0]) == [0, 2, 4]
    assert sorted(drawn[1]) == [0, 2]


def test_single_draws_follow_the_weights() -> None:
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    drawn = draw_items(Ragged.of([[]] * 20_000), 1, weights, np.random.default_rng(1))
    np.testing.assert_allclose(np.bincount(drawn.values) / 20_000, weights / 10, atol=0.012)


def test_pairs_are_drawn_as_one_after_the_other() -> None:
    weights = np.array([1.0, 2.0, 3.0])
    drawn = draw_items(Ragged.of([[]] * 20_000), 2, weights, np.random.default_rng(2)).values.reshape(-1, 2)
    left_out = np.bincount(3 - drawn.sum(axis=1), minlength=3) / 20_000
    expected = [sum(a / 6 * b / (6 - a) for a, b in ((x, y), (y, x))) for x, y in ((2.0, 3.0), (1.0, 3.0), (1.0, 2.0))]
    np.testing.assert_allclose(left_out, expected, atol=0.015)


def test_the_same_seed_draws_the_same() -> None:
    excluded = Ragged.of([[1], [2]])
    first, again, other = (draw_items(excluded, 5, np.ones(50), np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.values.tolist() == again.values.tolist()
    assert first.values.tolist() != other.values.tolist()


def test_draws_do_not_depend_on_how_queries_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    excluded = Ragged.of([[row] for row in range(30)])
    whole = draw_items(excluded, 3, np.ones(40), np.random.default_rng(5))
    monkeypatch.setattr("genre.evaluation.sampling._BLOCK_BYTES", 4 * 40 * 7)
    cut = draw_items(excluded, 3, np.ones(40), np.random.default_rng(5))
    assert cut.values.tolist() == whole.values.tolist()
