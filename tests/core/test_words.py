from __future__ import annotations

from genre.core.words import is_unspaced, words_of


def test_words_are_folded_and_chinese_runs_give_characters_and_pairs() -> None:
    assert words_of("The Ｈobbit’s 霍比特 1A!") == ["the", "hobbit", "霍", "比", "特", "霍比", "比特", "1a"]


def test_scripts_without_spaces_are_told_apart() -> None:
    assert is_unspaced("film 电影")
    assert not is_unspaced("film café")
