from __future__ import annotations

import pytest

from genre.conversation.catalogue import Catalogue
from genre.conversation.titles import Titles
from genre.data.dataset import Dataset


@pytest.fixture(scope="module")
def titles(films: Dataset, catalogue: Catalogue) -> Titles:
    return Titles(films.items, catalogue.common_words)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("I loved Alien and the matrix", ["alien-1979", "the-matrix-1999"]),
        ("godfather", ["the-godfather-1972"]),
        ("something like Crouching Tiger", ["crouching-tiger-hidden-dragon-2000"]),
        ("i liked spirted away", ["spirited-away-2001"]),
        ("we watched amelie", ["amelie-2001"]),
        ('what about "soul"?', ["soul-2020"]),
        ("what about Dune?", ["dune-2021"]),
        ("2001太空漫游好看吗", ["2001-a-space-odyssey-1968"]),
        ("我喜欢《千与千询》", ["spirited-away-2001"]),
        ("比较一下教父和异形", ["the-godfather-1972", "alien-1979"]),
        ("more like 千与千寻", ["spirited-away-2001"]),
        ("《豹》怎么样", ["the-leopard-1963"]),
    ],
)
def test_titles(titles: Titles, films: Dataset, text: str, names: list[str]) -> None:
    found = sorted(titles.find(text), key=lambda one: one.start)
    ids = films.items.vocabulary.ids
    assert list(dict.fromkeys(ids[one.item] for one in found if one.item is not None)) == names


@pytest.mark.parametrize(
    "text",
    [
        "something about the others",
        "i want music for the soul",
        "a burning question",
        "来点功夫片",
        "乱七八糟",
        "in the ring",
    ],
)
def test_words_that_are_titles_too_are_words(titles: Titles, text: str) -> None:
    assert titles.find(text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('like "Interstellar Nights"', "Interstellar Nights"),
        ("想看《星际夜未央》", "星际夜未央"),
        ("I loved Avatar", "Avatar"),
    ],
)
def test_titles_that_are_not_there_are_told(titles: Titles, text: str, said: str) -> None:
    assert [(one.item, one.said) for one in titles.find(text)] == [(None, said)]
