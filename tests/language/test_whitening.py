"""Whitening: what the directions look like afterwards, and what it does with little or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from genre.core.errors import DataError, ModelError
from genre.language.whitening import Whitening, WhiteningConfig

ALL = WhiteningConfig(size=None)


def vectors(count: int, size: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Return vectors in a narrow cone, with directions of very different spread."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((count, size)) * np.geomspace(1, 0.05, size) @ rng.standard_normal((size, size))
    return (mixed + 5).astype(np.float32)


def covariance(found: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.cov(found, rowvar=False, bias=True)


def test_fully_whitened_directions_have_variance_one_and_do_not_go_together() -> None:
    given = vectors(500, 12)
    found = Whitening.fit(given, ALL).transform(given, unit=False)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(covariance(found), np.eye(12), atol=1e-3)


def test_it_is_what_scikit_learn_does() -> None:
    given = vectors(300, 10)
    ours = Whitening.fit(given, WhiteningConfig(size=4)).transform(given, unit=False)
    theirs = PCA(4, whiten=True).fit_transform(given.astype(np.float64)) * np.sqrt(300 / 299)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-3)


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_the_strength_is_the_exponent_of_the_variances(strength: float) -> None:
    given = vectors(400, 8)
    variances = np.sort(np.linalg.eigvalsh(covariance(given)))[::-1]
    found = Whitening.fit(given, WhiteningConfig(strength=strength, size=None)).transform(given, unit=False)
    np.testing.assert_allclose(np.diag(covariance(found)), variances ** (1 - strength), rtol=1e-2)


def test_strength_zero_keeps_all_distances() -> None:
    given = vectors(50, 6)
    found = Whitening.fit(given, WhiteningConfig(strength=0, size=None)).transform(given, unit=False)
    before = np.linalg.norm(given[:, None] - given[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found[None], axis=2), before, atol=1e-3)


def test_fewer_vectors_than_dimensions_give_the_directions_that_there_are() -> None:
    given = vectors(9, 40)
    found = Whitening.fit(given, WhiteningConfig()).transform(given, unit=False)
    assert found.shape == (9, 8)
    np.testing.assert_allclose(covariance(found), np.eye(8), atol=1e-2)
    # Eight directions for nine points: all are equally far from each other once they are white.
    distances = np.linalg.norm(found[:, None] - found[None], axis=2)[np.triu_indices(9, 1)]
    np.testing.assert_allclose(distances, distances[0], rtol=1e-2)


def test_a_direction_without_variance_is_left_out() -> None:
    given = vectors(100, 5)
    given[:, 2] = 3
    assert Whitening.fit(given, ALL).transform(given).shape == (100, 4)


def test_length_one_and_nothing_for_nothing() -> None:
    given = vectors(60, 6)
    given[10] = 0
    found = Whitening.fit(given, ALL).transform(given)
    lengths = np.linalg.norm(found, axis=1)
    assert lengths[10] == 0
    np.testing.assert_allclose(np.delete(lengths, 10), 1, rtol=1e-5)
    assert found.dtype == np.float32


def test_rows_of_zeros_teach_nothing() -> None:
    given = vectors(60, 6)
    with_blanks = np.concatenate([given, np.zeros((40, 6), np.float32)])
    np.testing.assert_allclose(
        Whitening.fit(with_blanks, ALL).transform(given), Whitening.fit(given, ALL).transform(given), atol=1e-5
    )


@pytest.mark.parametrize("given", [np.zeros((0, 4)), np.zeros((3, 4)), np.ones((1, 4)), np.ones((5, 4))])
def test_where_nothing_can_be_learned_nothing_is_changed(given: NDArray[np.float64]) -> None:
    other = vectors(3, 4)
    found = Whitening.fit(given.astype(np.float32), WhiteningConfig()).transform(other, unit=False)
    np.testing.assert_allclose(found, other)


def test_state_brings_it_back() -> None:
    given = vectors(80, 7)
    whitening = Whitening.fit(given, WhiteningConfig(size=3))
    again = Whitening.restore(whitening.state())
    np.testing.assert_array_equal(again.transform(given), whitening.transform(given))


def test_vectors_of_another_encoder_are_refused() -> None:
    whitening = Whitening.fit(vectors(20, 4), ALL)
    with pytest.raises(ModelError, match=r"shape \(2, 5\) .* 4 numbers each\. Encode with the encoder"):
        whitening.transform(np.ones((2, 5), np.float32))


def test_numbers_that_are_not_finite_are_refused() -> None:
    given = vectors(5, 3)
    given[3, 1] = np.nan
    with pytest.raises(DataError, match="vector 3 holds a number that is not finite"):
        Whitening.fit(given, ALL)


def spread(seed: int, mean: float, scales: list[float]) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return rng.normal(size=(4000, 4)) * scales @ turned + mean


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_aligned_vectors_are_spread_as_those_that_were_learned_from(strength: float) -> None:
    source, target = spread(0, 0.3, [2, 1, 0.5, 0.3]), spread(1, -1.0, [0.2, 3, 1, 1])
    whitening = Whitening.fit(source, WhiteningConfig(strength=strength))
    aligned = whitening.aligned(target, strength)
    before, after = (one.transform(of, unit=False) for one, of in ((whitening, source), (aligned, target)))
    assert np.allclose(after.mean(axis=0), 0, atol=1e-3)
    assert np.allclose(np.cov(after.T), np.cov(before.T), atol=0.05)


def test_what_is_spread_alike_already_is_not_turned() -> None:
    source = spread(0, 0.3, [2, 1, 0.5, 0.3])
    whitening = Whitening.fit(source, WhiteningConfig())
    again = whitening.aligned(source, 1.0)
    assert np.allclose(again.transform(source), whitening.transform(source), atol=0.02)


def test_alignment_by_hand_in_one_direction() -> None:
    # Deviations of 2 there and 4 here, means 0 and 10; of many, so that nothing is shrunk.
    source, target = np.tile([[-2.0], [2.0]], (500, 1)), np.tile([[6.0], [14.0]], (500, 1))
    aligned = Whitening.fit(source, WhiteningConfig()).aligned(target, 1.0)
    assert aligned.transform(np.array([[14.0]]), unit=False)[0, 0] == pytest.approx(1.0, rel=1e-3)


def test_where_variances_are_not_known_or_there_is_one_vector_little_is_aligned() -> None:
    source, target = spread(0, 0.3, [2, 1, 0.5, 0.3]), spread(1, -1.0, [1, 1, 1, 1])
    turned = Whitening.fit(source, WhiteningConfig(strength=0.0))
    assert np.array_equal(turned.aligned(target, 0.0).projection, turned.projection)
    assert turned.aligned(target[:1], 0.0) is turned
    with pytest.raises(ModelError, match="learned from 4 numbers each"):
        turned.aligned(target[:, :3], 0.0)
