from __future__ import annotations

from genre.generation.shared_words import SharedWords

TEXTS = [
    "The witch and the sleeping dragon of the harbour",
    "A dragon hides in the harbour; the witch does not sleep",
    "The clerk of the bank",
    "The judge of the bank of the river",
    "女孩在汤屋里为神灵干活",
    "汤屋里的神灵忘了名字",
]


def test_rare_words_of_both_texts_are_found_rarest_first() -> None:
    words = SharedWords([*TEXTS, "a witch again"])
    assert words.between(0, 1) == ("dragon", "harbour"), "three texts hold witch: more than two"
    assert SharedWords(TEXTS).between(0, 1) == ("witch", "dragon", "harbour")
    assert SharedWords(TEXTS).between(0, 1, n=1) == ("witch",)


def test_words_of_many_texts_say_nothing() -> None:
    assert SharedWords(TEXTS).between(0, 2) == ()


def test_chinese_characters_are_joined_as_long_as_both_texts_hold_them() -> None:
    assert SharedWords(TEXTS).between(4, 5) == ("汤屋", "神灵")
