"""Readability against published examples and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.metrics.readability import chinese_reading, flesch, syllables

COUNTED = {
    1: "a the me like jumped makes whale lodge through cat tree need strength eyes y miles",
    2: "apple table apples wanted pages boxes wishes hybrid mammal agreed creature city don't-go",
    3: "platypus seemingly Australian reptilian readable potato ice-cream-shop mother-like",
}


@pytest.mark.parametrize(("count", "word"), [(count, word) for count, some in COUNTED.items() for word in some.split()])
def test_syllables(count: int, word: str) -> None:
    assert syllables(word) == count


def test_published_examples() -> None:
    # Both stand as examples on Wikipedia's page of the tests: 116 for six words of one syllable, 37.5 for 13 words with
    # 24 syllables.
    easy, hard = (
        "The cat sat on the mat.",
        ("The Australian platypus is seemingly a hybrid of a mammal and reptilian creature."),
    )
    found = flesch([[easy], [hard]])
    assert found[0] == pytest.approx([116.145, -1.45])
    assert found[1, 0] == pytest.approx(206.835 - 1.015 * 13 - 84.6 * 24 / 13)
    assert found[1, 0] == pytest.approx(37.5, abs=0.05)
    assert found[1, 1] == pytest.approx(0.39 * 13 + 11.8 * 24 / 13 - 15.59)


def test_sentences_and_words_are_counted_where_they_are() -> None:
    # 4 words with 4 syllables in 2 sentences; the number and the empty sentence are none.
    found = flesch([["Cats sit.", "1921!", "Dogs run.", ""]])
    assert found.tolist() == [[pytest.approx(206.835 - 1.015 * 2 - 84.6), pytest.approx(0.39 * 2 + 11.8 - 15.59)]]
    assert np.isnan(flesch([[], ["1921"]])).all()
    assert flesch([]).shape == (0, 2)


def test_chinese_by_hand() -> None:
    # 5 and 3 characters in two sentences, three clauses; 魑 and 魅 are no characters of the first level.
    found = chinese_reading([["猫来了，狗走。", "山魑魅！"], ["No Chinese."]])
    assert found[0].tolist() == [4, pytest.approx(8 / 3), pytest.approx(2 / 8)]
    assert np.isnan(found[1]).all()
    assert chinese_reading([["的一是不了人我在有他这中大来上国"]])[0, 2] == 0
    assert chinese_reading([["這國來"]])[0, 2] == 1  # Traditional ones.


@given(st.lists(st.text(max_size=40), max_size=4))
def test_bounds(sentences: list[str]) -> None:
    (ease, grade), (sentence, clause, rare) = flesch([sentences])[0], chinese_reading([sentences])[0]
    if not np.isnan(ease):
        assert ease <= 206.835 - 1.015 - 84.6 + 1e-9
        assert grade >= 0.39 + 11.8 - 15.59 - 1e-9
    if not np.isnan(sentence):
        assert 1 <= clause <= sentence
        assert 0 <= rare <= 1


@given(st.lists(st.sampled_from("the cat university mother table 猫 山".split()), min_size=1, max_size=12))  # noqa: SIM905
def test_longer_sentences_are_harder(words: list[str]) -> None:
    short, long = [f"{word}." for word in words], [" ".join(words) + "."]
    two = flesch([short, long])
    if not np.isnan(two).any():
        assert two[0, 0] >= two[1, 0] - 1e-9
        assert two[0, 1] <= two[1, 1] + 1e-9


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=15))
def test_a_word_has_at_most_a_syllable_a_vowel(word: str) -> None:
    assert 1 <= syllables(word) <= max(1, sum(letter in "aeiouy" for letter in word))
