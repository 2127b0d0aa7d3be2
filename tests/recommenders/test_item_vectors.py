from __future__ import annotations

import pytest
import torch

from genre.recommenders.item_vectors import ItemVectors

TEXT = torch.eye(5, 3)


def built(text: torch.Tensor | None = TEXT, **settings: float) -> ItemVectors:
    torch.manual_seed(0)
    return ItemVectors(5, 4, text, **settings)  # type: ignore[arg-type]


def test_without_text_an_item_is_its_own_vector() -> None:
    vectors = built(None)
    torch.testing.assert_close(vectors(), vectors.own.weight)
    torch.testing.assert_close(vectors(torch.tensor([3, 1])), vectors.own.weight[[3, 1]])


@pytest.mark.parametrize("hidden", [0, 7])
def test_with_text_both_are_added(hidden: int) -> None:
    vectors = built(hidden=hidden).eval()
    torch.testing.assert_close(vectors(), vectors.own.weight + vectors.of_text(TEXT))
    torch.testing.assert_close(vectors(torch.tensor([4])), vectors()[4:])


def test_text_alone() -> None:
    vectors = built(own=False)
    assert vectors.own is None
    torch.testing.assert_close(vectors(), vectors.of_text(TEXT))


def test_in_training_some_items_are_read_as_if_they_were_new() -> None:
    vectors = built(own_dropout=0.5).train()
    alone, both = vectors.of_text(TEXT), vectors.own.weight + vectors.of_text(TEXT)
    seen = set()
    for _ in range(20):
        found = vectors()
        new = torch.isclose(found, alone).all(1)
        torch.testing.assert_close(found, torch.where(new[:, None], alone, both))
        seen |= set(new.tolist())
    assert seen == {True, False}
    torch.testing.assert_close(vectors.eval()(), both)


def test_texts_are_no_part_of_the_state() -> None:
    assert set(built().state_dict()) == {"own.weight", "read.0.weight", "read.0.bias"}


def test_something_must_be_read() -> None:
    with pytest.raises(ValueError, match="a vector of its own or a text"):
        built(None, own=False)
