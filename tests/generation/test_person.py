"""What a history says of a person's taste."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genre.data.dataset import Entities, Roles, Vocabulary
from genre.generation.facts import FactBook, Facts
from genre.generation.person import Person, labels_of

FRAME = pl.DataFrame(
    {
        "item_id": list("abcd"),
        "title": ["A", "B", "C", None],
        "genres": [["Drama", "War"], ["Drama"], ["War", "Drama"], None],
        "country": ["France", "France", "Peru", None],
        "text": ["A robot wakes.", "The robot sleeps.", "Nobody wakes.", None],
    }
)
ROLES = Roles(text=("title", "text"), category=("genres", "country"))
BOOK = FactBook(Entities(Vocabulary(FRAME["item_id"]), FRAME, ROLES), "en")


def test_taste_by_hand() -> None:
    person = Person.of("u", np.array([0, 1, 0, 2, 3], np.int32), BOOK)
    assert person.items == (3, 2, 0, 1)
    assert person.liked == ("C", "A", "B")
    assert person.labels == ("Drama", "War")
    assert {"robot", "wakes"} <= person.words
    assert person.shared(BOOK[1]) == ("Drama",)


def test_evidence_is_all_that_is_known() -> None:
    person = Person.of("u", np.array([0, 1, 2, 3], np.int32), BOOK)
    assert person.counts == {"Drama": 3, "War": 2}
    assert person.evidence("en") == Facts(
        "", "", {"liked last": "C, B and A", "chosen most often": "Drama (3 times) and War (2 times)"}
    )
    assert person.evidence("zh").labels == {"最近喜欢": "《C》、《B》、《A》", "最常选": "Drama（3 次）、War（2 次）"}
    assert not Person("u").evidence("en").is_told


@pytest.mark.parametrize("column", ["genres", "subjects", "学科"])
def test_what_is_chosen_is_said_by_columns_of_taste(column: str) -> None:
    frame = pl.DataFrame({"item_id": ["a", "b"], column: ["Music"] * 2, "level": ["easy"] * 2})
    roles = Roles(text=("item_id",), category=(column, "level"))
    book = FactBook(Entities(Vocabulary(frame["item_id"]), frame, roles), "en")
    assert Person.of("u", np.arange(2), book).labels == ("Music",)


def test_subjects_are_neither_labels_nor_guesses() -> None:
    texts = ["A mother and an officer of drama."] * 4 + ["Fine salt."] * 90
    frame = pl.DataFrame({"item_id": [f"i{row}" for row in range(94)], "text": texts, "genres": ["Drama"] * 94})
    roles = Roles(text=("item_id", "text"), category=("genres",))
    book = FactBook(Entities(Vocabulary(frame["item_id"]), frame, roles), "en")
    person = Person.of("u", np.arange(4), book).described(book, "en")
    assert (person.subjects, person.user_id) == (("officer",), "")
    assert person.evidence("en").labels["subjects that come up"] == "officer"


def test_what_is_written_about_says_nothing_of_itself() -> None:
    person = Person.of("u", np.array([0, 1], np.int32), BOOK, but=1)
    assert person.liked == ("A",)
    assert person.labels == ()


def test_what_is_most_alike_shares_rare_labels_and_words() -> None:
    titles = ["Wanted", "Rare", "Common", "Words", "Nothing", "Other"]
    genres = [["Drama", "Western"], ["Western"], ["Drama"], ["Comedy"], ["Horror"], ["Drama"]]
    texts = ["A robot sleeps in a desert.", "One.", "Two.", "The robot of the desert sleeps.", "Three.", "Four."]
    frame = pl.DataFrame({"item_id": list("abcdef"), "title": titles, "genres": genres, "text": texts})
    book = FactBook(
        Entities(Vocabulary(frame["item_id"]), frame, Roles(text=("title", "text"), category=("genres",))), "en"
    )
    assert book.rarity("Western") > book.rarity("Drama") > 0
    assert Person.of("u", np.array([3, 2, 1, 4]), book, but=0).alike == ("Rare", "Words")
    assert Person.of("u", np.array([4]), book, but=0).alike == ()
    assert Person.of("u", np.array([1, 2]), book).alike == ()


def test_an_empty_history_says_nothing() -> None:
    assert Person.of("u", np.array([], np.int32), BOOK) == Person("u")


def test_labels_are_those_of_taste_where_there_are_any() -> None:
    assert labels_of(BOOK[0]) == ["Drama", "War"]
    assert labels_of(Facts("x", "X", {"maker": "Acme", "weight": "3.5", "in stock": "true", "库存": "否"})) == ["Acme"]
