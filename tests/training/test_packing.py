"""Sequences side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genre.core.interactions import Interactions
from genre.core.ragged import Ragged
from genre.data.packing import pack
from genre.training.packing import Packed


@given(st.lists(st.integers(0, 12), max_size=60))
def test_no_two_sequences_share_a_place(lengths: list[int]) -> None:
    rows, starts, num_rows = pack(np.array(lengths, np.int64), 12)
    taken = [
        (row, start + step) for row, start, size in zip(rows, starts, lengths, strict=True) for step in range(size)
    ]
    assert len(set(taken)) == sum(lengths)
    assert all(0 <= row < num_rows and 0 <= place < 12 for row, place in taken)


def test_rows_are_full() -> None:
    lengths = np.random.default_rng(0).integers(1, 20, 2000)
    assert lengths.sum() / (pack(lengths, 50)[2] * 50) > 0.97


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="a sequence of 5 events does not fit into a row of 4"):
        pack(np.array([5]), 4)


def test_packed_by_hand() -> None:
    sequences = Interactions.of(Ragged.of([[7, 8, 9], [], [5], [6, 4]]), np.arange(6))
    packed = Packed.of(sequences, 4)
    assert packed.items.tolist() == [[7, 8, 9, 5], [6, 4, 0, 0]]
    assert packed.segments.tolist() == [[0, 0, 0, 1], [0, 0, -1, -1]]
    assert packed.ages.tolist() == [[2, 1, 0, 0], [1, 0, 0, 0]]
    assert packed.times.tolist() == [[0, 1, 2, 3], [4, 5, 0, 0]]
    assert packed.places.tolist() == [0, 1, 2, 3, 4, 5]
    assert packed.visible[0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    assert packed.visible.diagonal(dim1=1, dim2=2).all()  # Empty places see themselves: no row of attention is empty.


def test_moving_keeps_everything() -> None:
    packed = Packed.of(Interactions.of(Ragged.of([[1, 2], [3]])), 3)
    moved = packed.to(torch.device("cpu"))
    assert torch.equal(moved.items, packed.items)
    assert torch.equal(moved.visible, packed.visible)
