"""Which fact answers a question, by hand."""

from __future__ import annotations

import pytest

from genre.features.text import Language
from genre.generation.answering import answering
from genre.generation.facts import Facts

KID = Facts(
    "kid",
    "The Kid",
    {"director": "Charlie Chaplin", "year": "1921", "screen format": "4:3"},
    "A tramp finds an abandoned baby. Five years later the two are partners in mischief.",
)
CHINESE = Facts(
    "kid", "寻子遇仙记", {"导演": "查理·卓别林", "年份": "1921"}, "流浪汉捡到一个弃婴。五年后两人相依为命。"
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who directed it?", "director: Charlie Chaplin."),
        ("When, and by which director?", "director: Charlie Chaplin; year: 1921."),
        ("Which screen format has it?", "screen format: 4:3."),
        ("Does anybody find a baby?", "A tramp finds an abandoned baby."),
        ("Are they partners?", "Five years later the two are partners in mischief."),
        ("How much does it cost?", ""),
        ("Is The Kid about robots?", ""),
        ("", ""),
    ],
)
def test_english_questions(question: str, answer: str) -> None:
    assert answering(KID, question, "en") == answer


def test_a_column_without_words_is_not_asked_for() -> None:
    named = Facts("kid", "The Kid", {"%": "12"}, KID.text)
    assert answering(named, "Does anybody find a baby?", "en") == "A tramp finds an abandoned baby."


@pytest.mark.parametrize(
    ("question", "answer"),
    [("导演是谁？", "导演：查理·卓别林。"), ("哪年上映的？", "年份：1921。"), ("谁捡到弃婴？", "流浪汉捡到一个弃婴。")],
)
def test_chinese_questions(question: str, answer: str) -> None:
    language: Language = "zh"
    assert answering(CHINESE, question, language) == answer
