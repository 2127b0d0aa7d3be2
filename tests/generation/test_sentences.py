"""Sentences, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.generation.sentences import (
    best_sentences,
    ended,
    first_sentences,
    first_words,
    is_whole,
    joined,
    labelled,
    length_of,
    rest_of,
    sentences_of,
    together,
    within,
)

TEXT = "Dr. Caligari sleeps. A town wakes! Who did it? He said “Go.” Then 3 men left."


def test_sentences_by_hand() -> None:
    assert sentences_of(TEXT) == [
        "Dr. Caligari sleeps.",
        "A town wakes!",
        "Who did it?",
        "He said “Go.”",
        "Then 3 men left.",
    ]
    assert sentences_of("F. W. Murnau made it. It is 3.5 hours long.") == [
        "F. W. Murnau made it.",
        "It is 3.5 hours long.",
    ]
    assert sentences_of("他走了。“再见！”她说。没有") == ["他走了。", "“再见！”", "她说。", "没有"]
    assert sentences_of("") == []
    assert sentences_of("他……走了。她留下。") == ["他……走了。", "她留下。"]
    assert together(["他走了。", "她留下。", "It ends."]) == "他走了。她留下。It ends."
    assert first_words("one two, three four", 2) == "one two…"
    assert first_words("一二三", 3) == "一二三"


def test_what_has_no_end_is_not_whole() -> None:
    assert [is_whole(text) for text in ("It ends.", "He said “go!”", "他走了。", "It goes on and", "")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_length_counts_words_and_chinese_characters() -> None:
    assert length_of("A town's well-known end, 1921.") == 5
    assert length_of("他走了。Two 人") == 5
    assert length_of(" … ") == 0


def test_beginnings_and_limits() -> None:
    assert first_sentences(TEXT, 2) == "Dr. Caligari sleeps. A town wakes!"
    assert first_sentences("一。二。三。", 2) == "一。二。"
    assert within(TEXT, sentences=3, words=6) == "Dr. Caligari sleeps. A town wakes!"
    assert within(TEXT, sentences=1, words=1) == "Dr. Caligari sleeps."


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        ("", "A tramp finds a baby. He stays. Years go by."),
        ("A tramp finds", "a baby. He stays. Years go by."),
        ("A tramp fi", "finds a baby. He stays. Years go by."),
        ("A tramp finds a baby", "He stays. Years go by."),
        ("A tramp finds a baby. He stays.", "Years go by."),
        ("Once he came. He stays.", "Years go by."),
        ("Something else.", "A tramp finds a baby. He stays. Years go by."),
        ("A tramp finds a baby. He stays. Years go by.", ""),
    ],
)
def test_what_comes_behind_a_beginning(begin: str, rest: str) -> None:
    assert rest_of("A tramp finds a baby. He stays. Years go by.", begin) == rest


@pytest.mark.parametrize(
    ("text", "begin", "rest"),
    [
        ("A well-known tramp.", "A well", "well-known tramp."),
        ("He doesn't know.", "He doesn", "doesn't know."),
        ("流浪汉捡到弃婴。", "流浪", "汉捡到弃婴。"),
        ("看Python入门。", "看Py", "Python入门。"),
    ],
)
def test_no_half_word_comes_behind_a_beginning(text: str, begin: str, rest: str) -> None:
    assert rest_of(text, begin) == rest


def test_a_sentence_gets_an_end_where_it_has_none() -> None:
    assert [ended(text, "en") for text in ("Go on with Airplane!", "For you: The Kid", "")] == [
        "Go on with Airplane!",
        "For you: The Kid.",
        "",
    ]
    assert ended("《飞机！》", "zh") == "《飞机！》。"


def test_labels_with_their_names() -> None:
    assert labelled({"brand": "Acme", "in stock": "yes"}, "en") == "brand: Acme; in stock: yes"
    assert labelled({"品牌": "Acme", "有货": "是"}, "zh") == "品牌：Acme；有货：是"


def test_the_sentences_with_the_most_words_stay_in_their_order() -> None:
    assert best_sentences(TEXT, {"men", "town"}, 2) == "A town wakes! Then 3 men left."
    assert best_sentences(TEXT, set(), 1) == "Dr. Caligari sleeps."
    assert best_sentences(TEXT, {"men"}, 1, 3) == "Dr. Caligari sleeps."
    assert best_sentences(TEXT, {"men"}, 1, 2) == ""


@pytest.mark.parametrize(
    ("values", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (list("abc"), "a, b and c")]
)
def test_lists_in_words(values: list[str], text: str) -> None:
    assert joined(values, "en") == text
    assert joined(values, "zh") == "、".join(values)


@given(st.text(max_size=200))
def test_no_character_is_lost(text: str) -> None:
    assert "".join("".join(sentences_of(text)).split()) == "".join(text.split())
