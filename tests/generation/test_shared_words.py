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


def test_words_of_a_subject_are_those_of_these_texts_and_not_of_all() -> None:
    liked = ["The officer makes tea in Paris.", "An officer makes peace.", "In Paris an officer makes bread.", "Paris."]
    words = SharedWords([*liked, *["He makes salt."] * 60])
    assert words.among(liked, "en") == ("officer", "Paris"), "many texts hold makes"
    assert words.among(liked[:2], "en") == (), "two texts are too few"
    chinese = ["警长追查一九九九年的案子。", "一九九九年，警长追查凶手。", "警长追查到一九九九年。"]
    assert SharedWords([*chinese, *["别的故事。"] * 60]).among(chinese, "zh", 2) == ("警长", "追查")


def test_chinese_characters_are_joined_as_long_as_both_texts_hold_them() -> None:
    assert SharedWords(TEXTS).between(4, 5) == ("汤屋", "神灵")
