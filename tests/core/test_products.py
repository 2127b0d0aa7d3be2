"""Products of queries and items, against NumPy's own in double precision, for every way that they are made."""

from __future__ import annotations

import numpy as np
import pytest

from genre.core.products import products


@pytest.mark.parametrize("num_queries", [0, 1, 2, 7, 8, 16, 17, 40])
@pytest.mark.parametrize(("num_items", "size"), [(0, 4), (1, 1), (3_000, 130), (70, 0)])
def test_each_query_is_multiplied_with_each_item(num_queries: int, num_items: int, size: int) -> None:
    rng = np.random.default_rng(0)
    wanted, vectors = (rng.standard_normal((rows, size)).astype(np.float32) for rows in (num_queries, num_items))
    found = products(wanted, vectors)
    assert (found.shape, found.dtype) == ((num_queries, num_items), np.float32)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, wanted.astype(np.float64) @ vectors.T, atol=1e-4)


def test_items_of_several_blocks_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genre.core.products._BLOCK_BYTES", 4 * 8 * 3)  # Three items of eight numbers, and one is left.
    vectors = np.arange(80, dtype=np.float32).reshape(10, 8)
    np.testing.assert_array_equal(products(np.eye(8, dtype=np.float32)[:2], vectors), vectors.T[:2])


def test_of_a_few_each_gets_what_it_would_get_alone() -> None:
    rng = np.random.default_rng(1)
    wanted, vectors = (rng.standard_normal((rows, 64)).astype(np.float32) for rows in (5, 4_000))
    alone = np.concatenate([products(query[None], vectors) for query in wanted])
    np.testing.assert_array_equal(products(wanted, vectors), alone)
