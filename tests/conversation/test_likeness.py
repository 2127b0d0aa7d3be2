from __future__ import annotations

import numpy as np
import pytest

from genre.conversation.likeness import Likeness
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.language.hashing import HashingEncoderConfig


@pytest.fixture(scope="module")
def likeness(films: Dataset) -> Likeness:
    return Likeness(films.items, HashingEncoderConfig(), RunContext())


@pytest.mark.parametrize(
    ("text", "title"),
    [("robots", "WALL·E"), ("space and loneliness", "WALL·E"), ("机器人", "WALL·E"), ("太空", "Solaris")],
)
def test_wishes_find_what_speaks_of_them(likeness: Likeness, films: Dataset, text: str, title: str) -> None:
    near = likeness.to_text(text)
    best = np.argsort(-near)[:5]
    assert title in films.items.title.gather(best).to_list()
    assert np.isinf(near).any(), "not everything is near"


@pytest.mark.parametrize("text", ["xylophone", "短点", ""])
def test_what_nothing_speaks_of_is_near_to_nothing(likeness: Likeness, text: str) -> None:
    assert not np.isfinite(likeness.to_text(text)).any()


def test_items_are_alike_by_text_and_labels(likeness: Likeness, films: Dataset) -> None:
    row = int(films.items.vocabulary.rows(["spirited-away-2001"])[0])
    best = np.argsort(-likeness.to_items([row], "en"))[:4]
    assert films.items.title.gather(best).to_list()[:2] == ["Spirited Away", "My Neighbor Totoro"]


def test_what_speaks_of_a_word_is_found_in_both_languages(likeness: Likeness, films: Dataset) -> None:
    robot = int(films.items.vocabulary.rows(["wall-e-2008"])[0])
    assert likeness.speaks_of("robots")[robot]
    assert likeness.speaks_of("机器人")[robot]
    assert likeness.speaks_of("机器人").sum() < 20


def test_a_catalogue_without_texts_has_no_wishes(films: Dataset) -> None:
    frame = films.items.frame.select("item_id", "genres")
    bare = Entities(Vocabulary(frame["item_id"]), frame.select("item_id"), Roles())
    assert not np.isfinite(Likeness(bare, HashingEncoderConfig(), RunContext()).to_text("robots")).any()
