"""Named arrays under one roof, and texts as arrays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genre.core.parts import below, lines_as_array, lines_of_array, text_as_array, text_of_array, with_prefix

NAMES = st.dictionaries(st.text(max_size=4), st.integers(), max_size=5)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(NAMES, NAMES)
def test_parts_of_two_come_back_apart(first: dict[str, int], second: dict[str, int]) -> None:
    whole = {**with_prefix("first.", first), **with_prefix("second.", second)}
    assert below("first.", whole) == first
    assert below("second.", whole) == second


@given(TEXTS)
def test_texts_come_back(text: str) -> None:
    assert text_of_array(text_as_array(text)) == text


@given(st.lists(TEXTS, min_size=1))
def test_lines_come_back_in_their_number(texts: list[str]) -> None:
    assert lines_of_array(lines_as_array(texts)) == [text.replace("\n", " ") for text in texts]


def test_what_is_no_text_becomes_a_question_mark() -> None:
    assert text_of_array(text_as_array("a\ud800")) == "a?"
