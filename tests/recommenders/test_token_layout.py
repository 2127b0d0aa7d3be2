"""Which token of which place stands where."""

from __future__ import annotations

import torch

from genre.recommenders.token_layout import owners, positions


def test_tokens_stand_side_by_side_and_know_whose_they_are() -> None:
    owner, within = owners(torch.tensor([[2, 1, 3], [0, 2, 0]]))
    assert owner.tolist() == [[0, 0, 1, 2, 2, 2], [1, 1, -1, -1, -1, -1]]
    assert within[owner >= 0].tolist() == [0, 1, 0, 0, 1, 2, 0, 1]


def test_nothing_is_one_empty_token() -> None:
    assert owners(torch.zeros(1, 2, dtype=torch.long))[0].tolist() == [[-1]]


def test_places_are_counted_in_each_history() -> None:
    assert positions(torch.tensor([[0, 0, 1, 1, 1, -1]])).tolist() == [[0, 1, 0, 1, 2, 0]]
