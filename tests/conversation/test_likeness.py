from __future__ import annotations

import numpy as np
import pytest

from genre.conversation.likeness import Likeness
from genre.core.run import RunContext
from genre.data.dataset import Dataset, Entities, Roles, Vocabulary
from genre.features.text import Language
from genre.language.hashing import HashingEncoderConfig


@pytest.fixture(scope="module")
def likeness(films: Dataset) -> Likeness:
    return Likeness(films.items, HashingEncoderConfig(), RunContext())


@pytest.mark.parametrize(
    ("text", "language", "title"),
    [
        ("robots", "en", "WALL·E"),
        ("space and loneliness", "en", "WALL·E"),
        ("机器人", "zh", "WALL·E"),
        ("太空", "zh", "Solaris"),
    ],
)
def test_wishes_find_what_speaks_of_them(
    likeness: Likeness, films: Dataset, text: str, language: Language, title: str
) -> None:
    near = likeness.to_text(text, language)
    best = np.argsort(-near)[:5]
    assert title in films.items.title.gather(best).to_list()
    assert np.isinf(near).any(), "not everything is near"


@pytest.mark.parametrize(("text", "language"), [("xylophone", "en"), ("短点", "zh"), ("", "en")])
def test_what_nothing_speaks_of_is_near_to_nothing(likeness: Likeness, text: str, language: Language) -> None:
    assert not np.isfinite(likeness.to_text(text, language)).any()


def test_items_are_alike_by_text_and_labels(likeness: Likeness, films: Dataset) -> None:
    row = int(films.items.vocabulary.rows(["spirited-away-2001"])[0])
    best = np.argsort(-likeness.to_items([row], "en"))[:4]
    assert films.items.title.gather(best).to_list()[:2] == ["Spirited Away", "My Neighbor Totoro"]


def test_what_speaks_of_a_word_is_found_in_both_languages(likeness: Likeness, films: Dataset) -> None:
    robot = int(films.items.vocabulary.rows(["wall-e-2008"])[0])
    assert likeness.speaks_of("robots", "en")[robot]
    assert likeness.speaks_of("机器人", "zh")[robot]
    assert likeness.speaks_of("机器人", "zh").sum() < 20


def test_a_catalogue_without_texts_has_no_wishes(films: Dataset) -> None:
    frame = films.items.frame.select("item_id", "genres")
    bare = Entities(Vocabulary(frame["item_id"]), frame.select("item_id"), Roles())
    assert not np.isfinite(Likeness(bare, HashingEncoderConfig(), RunContext()).to_text("robots", "en")).any()
