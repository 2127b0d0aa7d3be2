from __future__ import annotations

import numpy as np
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


def reading(share: float) -> ItemVectors:
    """Return a module that gives texts as they are: the real ones are 1 to 5, two versions 10 and 100 times that."""
    real = torch.arange(1.0, 6.0)[:, None]
    vectors = ItemVectors(5, 1, real, own=False, versions=torch.stack([10 * real, 100 * real]), versions_share=share)
    with torch.no_grad():
        vectors.read[0].weight.fill_(1)  # type: ignore[index, union-attr]
        vectors.read[0].bias.zero_()  # type: ignore[index, union-attr]
    return vectors


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("rows", [None, torch.tensor([4, 0, 2])])
def test_each_version_is_drawn_in_training_and_none_in_answers(share: float, rows: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    vectors = reading(share).train()
    real = (torch.arange(5) if rows is None else rows) + 1
    drawn = torch.stack([vectors(rows)[:, 0] / real for _ in range(2000)])
    for factor, expected in ((1, 1 - share), (10, share / 2), (100, share / 2)):
        often = (drawn == factor).float().mean(0)  # Of every item: versions are drawn for each alone.
        torch.testing.assert_close(often, torch.full_like(often, expected), atol=0.05, rtol=0)
    torch.testing.assert_close(vectors.eval()(rows)[:, 0], real.float())
    table = vectors.table(np.ones(5, bool), np.ones(5, bool), None)
    torch.testing.assert_close(table[:, 0], torch.arange(1.0, 6.0))


def test_without_versions_no_random_number_is_drawn() -> None:
    text = torch.eye(5, 3)
    for more in ({}, {"versions": torch.zeros(0, 5, 3), "versions_share": 0.5}, {"versions": text[None]}):
        vectors = built(text, **more).train()  # type: ignore[arg-type]
        state = torch.get_rng_state()
        vectors()
        assert torch.equal(torch.get_rng_state(), state)
        assert set(vectors.state_dict()) == set(built().state_dict())


def test_texts_are_no_part_of_the_state() -> None:
    assert set(built().state_dict()) == {"own.weight", "read.0.weight", "read.0.bias"}


def test_something_must_be_read() -> None:
    with pytest.raises(ValueError, match="a vector of its own or a text"):
        built(None, own=False)
